#!/bin/sh
# Installs DTMA, the agent of a toolbox, on a Debian or Ubuntu machine; run again, it upgrades or changes nothing.
set -eu

usage() {
  cat <<'H'
usage: install.sh [--toolbox ID] [--control-url URL] [option...]
       install.sh uninstall [--purge | --keep-state]

--toolbox ID        the toolbox that this machine is (a UUID)
--control-url URL   the function heartbeat: https://<project>.supabase.co/functions/v1/heartbeat
--token-file FILE   the single-use enrolment token (tbe_...); the file is removed once it was used
--version VERSION   which release; the latest by default
--release-url URL   where releases are; or the variable TOOLBOX_RELEASE_URL. A folder of this machine will do too
--listen ADDRESS    where the agent listens (0.0.0.0:30000)
--companion-port N  where the companion listens, at the same address (3000)
--tls-names NAMES   further names and addresses that callers use for this machine, separated by commas
uninstall           removes the programs. --purge also removes the toolbox's containers, volumes and state, --keep-state
                    keeps them; without either you are asked where there is a terminal, and else they are kept

A machine that has joined already needs none of it but the release URL, which it remembers too.
The token is never an argument, which every user of the machine could see: it is in the file, or in the variable
TOOLBOX_ENROLMENT_TOKEN, or asked for at the terminal. So this works as well:
  curl -fsSL "$TOOLBOX_RELEASE_URL/install.sh" | sh -s -- --toolbox ID --control-url URL
Docker is installed (the package docker.io) where there is none. No firewall rule is changed.
H
}

versions=/usr/local/lib/dtma
program=/usr/local/bin/dtma
etc=/etc/dtma
settings=$etc/dtma.env
state=/var/lib/dtma
init=/etc/init.d/dtma-companion
companion_log=/var/log/dtma-companion.log
# How long a started agent may take to answer, in seconds.
healthy_within=60

say() { printf 'dtma: %s\n' "$*"; }
die() { printf 'dtma: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
has_systemd() { [ -d /run/systemd/system ]; }

# The value of a setting; empty when there is none.
setting() { sed -n "s/^$1=//p" "$settings" 2>/dev/null | tail -n 1; }

# Writes a setting, in place of an earlier value. Lines of the machine's owner stay.
set_setting() {
  touch "$settings"
  { grep -v "^$1=" "$settings" || true; printf '%s=%s\n' "$1" "$2"; } >"$settings.new"
  chmod 600 "$settings.new"
  mv "$settings.new" "$settings"
}

need_root() { [ "$(id -u)" = 0 ] || die "run this as root"; }

need_debian() {
  [ -r /etc/os-release ] || die "expected Debian or Ubuntu; this machine has no /etc/os-release"
  case " $(. /etc/os-release; echo "${ID:-} ${ID_LIKE:-}") " in
    *" debian "* | *" ubuntu "*) ;;
    *) die "expected Debian or Ubuntu; this is $(. /etc/os-release; echo "${PRETTY_NAME:-another system}")" ;;
  esac
  machine=$(uname -m)
  case $machine in x86_64 | aarch64) ;; *) die "there is no release for $machine" ;; esac
}

apt_install() {
  have apt-get || die "$* is missing, and there is no apt-get to install it"
  say "installing $* (apt)"
  export DEBIAN_FRONTEND=noninteractive
  [ -n "${apt_updated:-}" ] || apt-get -qq update || say "the package lists could not be refreshed; trying with those there are"
  apt_updated=1
  apt-get -qq -y install --no-install-recommends "$@" >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; die "could not install $*"; }
}

# fetch NAME FILE: a file of the release.
fetch() {
  case $release_url in
    https://* | http://127.0.0.1[:/]* | http://localhost[:/]*)
      have curl || apt_install curl ca-certificates
      curl -fsS --proto '=https,http' --max-time 300 --max-filesize 134217728 -o "$2" "$release_url/$1" || die "could not fetch $release_url/$1"
      ;;
    /*) cp "$release_url/$1" "$2" || die "there is no $release_url/$1" ;;
    "") die "say where releases are: --release-url, or TOOLBOX_RELEASE_URL" ;;
    *) die "expected TOOLBOX_RELEASE_URL to be https://..., or a folder of this machine" ;;
  esac
}

# Leaves the program of the release in $work/dtma, checked. Nothing of the machine is changed yet.
fetch_program() {
  if [ -z "$version" ]; then
    fetch latest "$work/latest"
    version=$(head -n 1 "$work/latest")
  fi
  case $version in
    "" | [!0-9]* | *[!0-9A-Za-z.+-]*) die "expected a version such as 1.2.3, got '$version'" ;;
  esac
  [ "${#version}" -le 64 ] || die "a version has at most 64 characters"
  fetch "$version/dtma-$machine.sha256" "$work/sha256"
  sha256=$(cut -d ' ' -f 1 "$work/sha256")
  case $sha256 in *[!0-9a-f]* | "") die "$release_url/$version/dtma-$machine.sha256 holds no SHA-256" ;; esac
  fetch "$version/dtma-$machine" "$work/dtma"
  actual=$(sha256sum "$work/dtma" | cut -d ' ' -f 1)
  [ "$actual" = "$sha256" ] || die "the program's SHA-256 is $actual and should be $sha256; nothing was changed"
  chmod 755 "$work/dtma"
  says=$("$work/dtma" --version) || die "the program does not run on this machine; nothing was changed"
  [ "$says" = "dtma $version" ] || die "the program says that it is '$says', not version $version; nothing was changed"
}

docker_answers() { [ -S /var/run/docker.sock ] && docker version >/dev/null 2>&1; }

need_docker() {
  if ! have docker; then
    apt_install docker.io iptables ca-certificates
    # Newer Debian keeps the command line in a package of its own.
    have docker || apt_install docker-cli
  fi
  docker_answers && return
  if has_systemd; then
    systemctl enable --quiet --now docker || die "Docker does not start; see: journalctl -u docker"
  elif [ -x /etc/init.d/docker ]; then
    /etc/init.d/docker start >/dev/null || die "Docker does not start; see /var/log/docker.log"
  fi
  tries=0
  until docker_answers; do
    tries=$((tries + 1))
    [ $tries -le 60 ] || die "Docker does not answer on /var/run/docker.sock; start it and run this again"
    sleep 0.5
  done
}

# A link is at any moment what it was or what it becomes.
set_link() {
  ln -sfn "$1" "$versions/.$2.new"
  mv -T "$versions/.$2.new" "$versions/$2"
}

put_program() {
  before=$(readlink "$versions/current" 2>/dev/null || true)
  mkdir -p "$versions/$version" "$(dirname "$program")"
  if ! cmp -s "$work/dtma" "$versions/$version/dtma"; then
    if [ "$before" = "$version" ]; then
      say "the program of version $version is replaced"
      before=""
    fi
    install -m 755 "$work/dtma" "$versions/$version/.dtma.new"
    mv "$versions/$version/.dtma.new" "$versions/$version/dtma"
    changed=1
  fi
  if [ "$before" != "$version" ]; then
    [ -z "$before" ] || set_link "$before" previous
    set_link "$version" current
    changed=1
  fi
  ln -sfn "$versions/current/dtma" "$program"
}

put_settings() {
  mkdir -p "$etc" "$state"
  chmod 700 "$etc" "$state"
  [ -r "$settings" ] && cp "$settings" "$work/settings" || : >"$work/settings"
  set_setting DTMA_TOOLBOX_ID "$toolbox"
  set_setting DTMA_CONTROL_URL "$control_url"
  set_setting DTMA_LISTEN "$listen"
  set_setting DTMA_COMPANION_PORT "$companion_port"
  set_setting DTMA_ENROLMENT_TOKEN_FILE "$etc/enrolment"
  if has_systemd; then set_setting DTMA_SUPERVISION systemd; else set_setting DTMA_SUPERVISION docker; fi
  case $release_url in http*) set_setting TOOLBOX_RELEASE_URL "$release_url" ;; esac
  [ -z "$tls_names" ] || set_setting DTMA_TLS_NAMES "$tls_names"
  cmp -s "$settings" "$work/settings" || changed=1
}

# Whether there is a token, in $work/token, which only root can read.
take_token() {
  if [ -n "$token_file" ]; then
    cat "$token_file" >"$work/token" || die "could not read $token_file"
  elif [ -n "${TOOLBOX_ENROLMENT_TOKEN:-}" ]; then
    printf '%s\n' "$TOOLBOX_ENROLMENT_TOKEN" >"$work/token"
  elif [ ! -e "$state/keys.json" ] && (: >/dev/tty) 2>/dev/null; then
    printf 'Enrolment token (tbe_...): ' >/dev/tty
    stty -echo </dev/tty
    IFS= read -r token </dev/tty || token=""
    stty echo </dev/tty
    echo >/dev/tty
    printf '%s\n' "$token" >"$work/token"
  else
    return 1
  fi
  [ -s "$work/token" ]
}

enrol() {
  take_token || {
    [ -e "$state/keys.json" ] || die "there is no enrolment token: --token-file FILE, or the variable TOOLBOX_ENROLMENT_TOKEN. Everything else is done; run this again with one"
    return 0
  }
  # The agent holds its state while it runs.
  stop_all
  changed=1
  set -- --toolbox-id "$toolbox" --control-url "$control_url"
  (
    set -a
    . "$settings"
    set +a
    unset DTMA_ENROLMENT_TOKEN_FILE
    "$program" enrol "$@" <"$work/token"
  ) || {
    # A machine that joined before goes on as it was.
    if [ -e "$state/keys.json" ]; then
      [ -z "$before" ] || set_link "$before" current
      start_all || true
    fi
    die "the machine did not join; run this again with a token that is good"
  }
  [ -z "$token_file" ] || rm -f "$token_file"
}

put_units() {
  cat >"$work/dtma.service" <<'U'
[Unit]
Description=DTMA, the agent of a toolbox
Wants=network-online.target docker.service
After=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
EnvironmentFile=/etc/dtma/dtma.env
ExecStart=/usr/local/lib/dtma/current/dtma agent
Restart=always
RestartSec=2
# Open requests may end: 30 s, and what comes after them.
TimeoutStopSec=45
# Docker's socket gives it the power of root anyway. It sets the rules that keep tools away from the machine; the rest it
# does not need.
# It counts what tools keep in folders that are theirs alone.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/var/lib/dtma /etc/dtma
ProtectHome=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
LogRateLimitIntervalSec=30
LogRateLimitBurst=3000

[Install]
WantedBy=multi-user.target
U
  cat >"$work/dtma-companion.service" <<'U'
[Unit]
Description=DTMA companion: keeps the agent of a toolbox running and replaces it
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
EnvironmentFile=/etc/dtma/dtma.env
ExecStart=/usr/local/bin/dtma companion
Restart=always
RestartSec=2
TimeoutStopSec=15
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/var/lib/dtma /usr/local/lib/dtma
ProtectHome=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
RestrictSUIDSGID=yes
LogRateLimitIntervalSec=30
LogRateLimitBurst=3000

[Install]
WantedBy=multi-user.target
U
  for unit in dtma.service dtma-companion.service; do
    cmp -s "$work/$unit" "/etc/systemd/system/$unit" && continue
    install -m 644 "$work/$unit" "/etc/systemd/system/$unit"
    changed=1
  done
  systemctl daemon-reload
  systemctl enable --quiet dtma.service dtma-companion.service
}

put_init_script() {
  cat >"$work/init" <<'U'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          dtma-companion
# Required-Start:    $network $remote_fs docker
# Required-Stop:     $network $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: DTMA companion, which keeps the agent of a toolbox running in a container
### END INIT INFO
pid=/run/dtma-companion.pid
log=/var/log/dtma-companion.log
case "$1" in
  start)
    set -a
    . /etc/dtma/dtma.env
    set +a
    start-stop-daemon --start --oknodo --background --make-pidfile --pidfile "$pid" --name dtma \
      --startas /bin/sh -- -c "exec /usr/local/bin/dtma companion >>$log 2>&1 </dev/null"
    ;;
  stop) start-stop-daemon --stop --oknodo --pidfile "$pid" --name dtma --retry TERM/20/KILL/5 --remove-pidfile ;;
  restart | force-reload) "$0" stop && "$0" start ;;
  status) start-stop-daemon --status --pidfile "$pid" --name dtma ;;
  *) echo "usage: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
U
  if ! cmp -s "$work/init" "$init"; then
    install -D -m 755 "$work/init" "$init"
    changed=1
  fi
  if have update-rc.d; then update-rc.d dtma-companion defaults >/dev/null 2>&1 || say "the companion is not started at boot: update-rc.d refused"; fi
  mkdir -p /etc/logrotate.d
  printf '%s {\n  size 10M\n  rotate 3\n  copytruncate\n  missingok\n  notifempty\n}\n' "$companion_log" >/etc/logrotate.d/dtma
}

# An agent that was started by hand keeps its keys elsewhere: beside it, this machine would become another one.
refuse_other_agent() {
  image=$(docker inspect --format '{{.Config.Image}}' dtma 2>/dev/null) || return 0
  [ "$image" = toolbox/dtma-host:1 ] ||
    die "a container \"dtma\" of the image $image is the agent here; stop it, copy its /var/lib/dtma to $state, remove it, and run this again"
}

stop_all() {
  # The companion first: it would start the agent again.
  if has_systemd; then
    systemctl stop dtma-companion.service dtma.service 2>/dev/null || true
  else
    [ ! -x "$init" ] || "$init" stop >/dev/null || true
    # Made anew at the next start, so that it has the settings of then.
    ! have docker || docker stop --time 45 dtma >/dev/null 2>&1 || true
    ! have docker || docker rm -f dtma >/dev/null 2>&1 || true
  fi
}

start_all() {
  # Without systemd the companion makes and starts the agent's container.
  if has_systemd; then systemctl start dtma.service dtma-companion.service; else "$init" start >/dev/null; fi
}

# answers PORT [VERSION]: the program there says of itself that it is healthy, and of that version.
answers() {
  host=${listen%:*}
  case $host in 0.0.0.0 | "[::]") host=127.0.0.1 ;; esac
  # Asked on this machine; who is there is known by the port alone.
  found=$(curl -ksS --max-time 5 "https://$host:$1/health" 2>/dev/null) || return 1
  case $found in *'"status":"healthy"'*) ;; *) return 1 ;; esac
  case $found in *"\"version\":\"${2:-}"*) ;; *) return 1 ;; esac
}

wait_until_healthy() {
  have curl || apt_install curl ca-certificates
  waited=0
  # The companion is of the new version at its next start.
  until answers "${listen##*:}" "$(readlink "$versions/current")\"" && answers "$companion_port"; do
    waited=$((waited + 1))
    [ $waited -le "$healthy_within" ] || return 1
    sleep 1
  done
}

# What the log of the agent says is the best help there is.
show_log() {
  if has_systemd; then journalctl -u dtma -u dtma-companion -n 20 --no-pager >&2 || true; else tail -n 20 "$companion_log" >&2 || true; docker logs --tail 20 dtma >&2 || true; fi
}

install_all() {
  need_root
  need_debian
  version="" token_file="" toolbox="" control_url="" listen="" companion_port="" tls_names=""
  release_url=${TOOLBOX_RELEASE_URL:-}
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value; see --help"
    case $1 in
      --toolbox) toolbox=$2 ;;
      --control-url) control_url=$2 ;;
      --token-file) token_file=$2 ;;
      --version) version=$2 ;;
      --release-url) release_url=$2 ;;
      --listen) listen=$2 ;;
      --companion-port) companion_port=$2 ;;
      --tls-names) tls_names=$2 ;;
      *) die "there is no option $1; see --help" ;;
    esac
    shift 2
  done
  known=$(setting DTMA_TOOLBOX_ID)
  [ -z "$toolbox" ] || [ -z "$known" ] || [ "$toolbox" = "$known" ] ||
    die "this machine is toolbox $known; uninstall it with --purge before it becomes another one"
  : "${toolbox:=$known}" "${control_url:=$(setting DTMA_CONTROL_URL)}" "${release_url:=$(setting TOOLBOX_RELEASE_URL)}"
  : "${listen:=$(setting DTMA_LISTEN)}" "${companion_port:=$(setting DTMA_COMPANION_PORT)}"
  : "${listen:=0.0.0.0:30000}" "${companion_port:=3000}"
  release_url=${release_url%/}
  [ -n "$toolbox" ] || die "say which toolbox this machine is: --toolbox ID"
  [ -n "$control_url" ] || die "say where the control plane is: --control-url URL"
  changed=""
  fetch_program
  need_docker
  refuse_other_agent
  put_program
  put_settings
  if has_systemd; then put_units; else put_init_script; fi
  enrol
  if [ -z "$changed" ] && wait_until_healthy; then
    say "version $version is installed and healthy; nothing was changed"
    return 0
  fi
  stop_all
  start_all
  if ! wait_until_healthy; then
    show_log
    if [ -n "$before" ] && [ "$before" != "$version" ]; then
      say "version $version is not healthy; going back to $before"
      set_link "$before" current
      stop_all
      start_all
      wait_until_healthy || die "version $before is not healthy either; the log is above"
      die "version $version was not healthy within $healthy_within s, and $before runs again; the log is above"
    fi
    die "the agent is not healthy within $healthy_within s; the log is above"
  fi
  # How a machine is reached whose programs do not answer.
  if "$program" ssh-setup --help >/dev/null 2>&1; then "$program" ssh-setup || say "SSH was not set up; see above"; fi
  say "version $version runs as toolbox $toolbox"
  say "no firewall rule was changed: let in TCP ${listen##*:} (the agent) and $companion_port (the companion)"
}

uninstall() {
  need_root
  purge=""
  case ${1:-} in
    --purge) purge=yes ;;
    --keep-state) purge=no ;;
    "") ;;
    *) die "there is no option $1; see --help" ;;
  esac
  toolbox=$(setting DTMA_TOOLBOX_ID)
  if [ -z "$purge" ] && (: >/dev/tty) 2>/dev/null; then
    printf 'Also remove the containers and volumes of toolbox %s, its keys and its settings? [y/N] ' "$toolbox" >/dev/tty
    IFS= read -r answer </dev/tty || answer=""
    case $answer in y | Y | yes) purge=yes ;; esac
  fi
  [ "$purge" != yes ] || ! have docker || docker_answers ||
    die "Docker does not answer, so the tools' containers and volumes cannot be removed; start it, or uninstall with --keep-state"
  stop_all
  if has_systemd; then systemctl disable --quiet dtma.service dtma-companion.service 2>/dev/null || true; fi
  rm -f /etc/systemd/system/dtma.service /etc/systemd/system/dtma-companion.service
  if has_systemd; then systemctl daemon-reload; fi
  if "$program" ssh-setup --help >/dev/null 2>&1; then "$program" ssh-setup --remove || say "what SSH was given could not be removed; see above"; fi
  if have update-rc.d && [ -e "$init" ]; then rm -f "$init"; update-rc.d dtma-companion remove >/dev/null 2>&1 || true; fi
  rm -f "$init" /etc/logrotate.d/dtma "$companion_log" "$program"
  rm -rf "$versions"
  if have docker && docker_answers; then
    docker image rm toolbox/dtma-host:1 >/dev/null 2>&1 || true
    # The agent's end may have cut its trial of the firewall short.
    trial="toolbox-$(printf %.8s "$toolbox")-probe"
    docker rm -f "$trial" >/dev/null 2>&1 || true
    docker image rm -f "$trial" >/dev/null 2>&1 || true
    docker network rm "$trial" >/dev/null 2>&1 || true
    if [ "$purge" = yes ] && [ -n "$toolbox" ]; then
      label="label=io.toolbox.toolbox_id=$toolbox"
      containers=$(docker ps -aq --filter "$label")
      # shellcheck disable=SC2086
      [ -z "$containers" ] || docker rm -fv $containers >/dev/null
      for kind in network volume; do
        found=$(docker $kind ls -q --filter "$label")
        # shellcheck disable=SC2086
        [ -z "$found" ] || docker $kind rm $found >/dev/null
      done
    fi
  fi
  if [ "$purge" = yes ]; then
    # The rules that kept its containers away from the machine.
    ! have nft || nft delete table inet "toolbox_$(printf %.8s "$toolbox")" 2>/dev/null || true
    rm -rf "$state" "$etc"
    say "uninstalled, with everything of toolbox $toolbox; Docker itself stays"
  else
    say "uninstalled; the tools' containers go on running, and $state and $etc stay for another installation (uninstall --purge removes them)"
  fi
}

# The last line calls it, so a script that was cut short does nothing.
main() {
  umask 022
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' INT TERM HUP
  case ${1:-} in
    -h | --help) usage ;;
    uninstall) shift; uninstall "$@" ;;
    install) shift; install_all "$@" ;;
    *) install_all "$@" ;;
  esac
}

main "$@"
