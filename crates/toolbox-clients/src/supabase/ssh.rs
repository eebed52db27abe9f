//! Machines as SSH reaches them.

use std::net::IpAddr;

use serde::Deserialize;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::names::ContainerName;

use super::{DatabaseError, Supabase};

/// Which machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshTarget {
    /// That of this toolbox.
    Toolbox(ToolboxId),
    /// The one at this address. Several may be: machines of other networks, or rows of one machine.
    Address(IpAddr),
}

/// Which instances of it.
#[derive(Clone, Copy, Debug)]
pub enum InstanceFilter<'a> {
    /// None.
    None,
    /// The one with this id.
    Id(ToolInstanceId),
    /// Those whose container, or that themselves, are called so.
    Name(&'a ContainerName),
}

/// A machine, and the instances that were asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct SshMachineRow {
    /// Its toolbox.
    pub id: ToolboxId,
    /// Where it is.
    pub public_ip_address: Option<String>,
    /// The host key that it was enrolled with.
    pub ssh_host_key: Option<String>,
    /// Where its sshd listens.
    pub ssh_port: u16,
    /// Instances of it.
    #[serde(default)]
    pub account_tool_instances: Vec<SshInstanceRow>,
}

/// An instance.
#[derive(Clone, Debug, Deserialize)]
pub struct SshInstanceRow {
    /// Its id.
    pub id: ToolInstanceId,
}

impl Supabase {
    /// The machines that `target` is for the holder of `token`: none, one, or two where there are more.
    pub async fn ssh_machines(
        &self,
        token: &str,
        target: SshTarget,
        instances: InstanceFilter<'_>,
    ) -> Result<Vec<SshMachineRow>, DatabaseError> {
        let target = match target {
            SshTarget::Toolbox(id) => format!("id=eq.{id}"),
            SshTarget::Address(address) => format!("public_ip_address=eq.{address}"),
        };
        let (embedded, filter) = match instances {
            InstanceFilter::None => ("", String::new()),
            InstanceFilter::Id(id) => (
                ",account_tool_instances(id)",
                format!("&account_tool_instances.id=eq.{id}"),
            ),
            // Neither letters, digits, dots, underscores nor hyphens need to be encoded; in quotes, a dot separates nothing.
            InstanceFilter::Name(name) => (
                ",account_tool_instances(id)",
                format!(
                    "&account_tool_instances.or=(container_name.eq.%22{name}%22,instance_name_on_toolbox.eq.%22{name}%22)"
                ),
            ),
        };
        let query = format!(
            "account_tool_environments?{target}&status=neq.deprovisioned&limit=2&select=id,public_ip_address,ssh_host_key,ssh_port{embedded}{filter}"
        );
        self.read(token, &query).await
    }
}
