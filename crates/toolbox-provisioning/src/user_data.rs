//! What a machine does on its first start: `#cloud-config`.

use serde_json::json;
use toolbox_domain::ids::ToolboxId;

use crate::ProvisioningSettings;

/// Most bytes of user data; DigitalOcean takes 64 KiB, other providers this.
pub const MAX_BYTES: usize = 16 * 1024;

/// Where the machine keeps what it needs to join, until it has.
const FOLDER: &str = "/var/lib/toolbox";

/// Fetches the installer and runs it, and tries again while the network or the mirrors are not ready. All values are arguments.
const JOIN: &str = r#"#!/bin/sh
# Lets this machine join as a toolbox: join RELEASE_URL TOOLBOX CONTROL_URL
set -eu
umask 077
cd "$(dirname "$0")"
nft -f /etc/toolbox-firewall.nft || echo "toolbox: the machine's own firewall could not be set" >&2
try=1
until
  curl -fsS --proto '=https,http' --retry 5 --max-time 120 -o install.sh "$1/install.sh" && {
    if [ -e token ]; then
      sh ./install.sh --release-url "$1" --toolbox "$2" --control-url "$3" --token-file token
    else
      sh ./install.sh --release-url "$1"
    fi
  }
do
  [ "$try" -lt 8 ] || { echo "toolbox: the installer failed $try times; see above" >&2; exit 1; }
  try=$((try + 1))
  sleep 15
done
rm -f install.sh token
"#;

/// Lets in what the firewall at DigitalOcean lets in. Packets to containers do not pass this chain, and what containers may reach
/// of the machine is for the agent's table to say.
const FIREWALL: &str = "\
table inet toolbox_host
delete table inet toolbox_host
table inet toolbox_host {
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    iifname \"docker0\" accept
    iifname \"br-*\" accept
    iifname \"tbx*\" accept
    ct state established,related accept
    ct state invalid drop
    meta l4proto { icmp, ipv6-icmp } accept
    udp sport 67 udp dport 68 accept
    tcp dport { 22, 3000, 30000, 31000-32767 } accept
  }
}
";

const FIREWALL_UNIT: &str = "\
[Unit]
Description=Firewall of a toolbox
Before=network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/toolbox-firewall.nft

[Install]
WantedBy=multi-user.target
";

const UPGRADES: &str = "\
APT::Periodic::Update-Package-Lists \"1\";
APT::Periodic::Unattended-Upgrade \"1\";
";

/// The user data of a toolbox' machine. Its only secret is the single-use token.
pub fn user_data(toolbox: ToolboxId, token: &str, settings: &ProvisioningSettings) -> String {
    let file = |path: &str, permissions: &str, content: &str| json!({ "path": path, "permissions": permissions, "owner": "root:root", "content": content });
    let join = format!("{FOLDER}/join");
    let config = json!({
        "ssh_pwauth": false,
        "package_update": true,
        "packages": ["ca-certificates", "curl", "nftables", "unattended-upgrades"],
        "write_files": [
            file(&format!("{FOLDER}/token"), "0600", token),
            file(&join, "0700", JOIN),
            file("/etc/toolbox-firewall.nft", "0644", FIREWALL),
            file("/etc/systemd/system/toolbox-firewall.service", "0644", FIREWALL_UNIT),
            file("/etc/apt/apt.conf.d/20auto-upgrades", "0644", UPGRADES),
        ],
        // Lists are not read by a shell: cloud-init quotes each word.
        "runcmd": [
            ["systemctl", "enable", "toolbox-firewall.service"],
            [join, settings.release_url, toolbox.to_string(), settings.control_url],
        ],
    });
    format!("#cloud-config\n{}\n", as_yaml(&format!("{config:#}")))
}

/// JSON is YAML, except for characters that YAML takes only as escapes.
fn as_yaml(json: &str) -> String {
    use std::fmt::Write as _;
    let mut yaml = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' | ' '..='~' | '\u{10000}'.. => yaml.push(c),
            // Only texts hold such characters, and texts are quoted.
            other => {
                let _ = write!(yaml, "\\u{:04x}", u32::from(other));
            }
        }
    }
    yaml
}

#[cfg(test)]
#[path = "user_data_tests.rs"]
mod tests;
