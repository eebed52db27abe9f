# shellcheck shell=bash
# Sourced by the other scripts: where the tools are. Sets paths only, installs nothing.
TOOLBOX_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export TOOLBOX_ROOT

# Tools that belong to no checkout (wasm-bindgen, Postgres' binaries) are shared by all of them.
if [[ -z "${TOOLBOX_CACHE:-}" ]]; then
  if [[ $(id -u) == 0 ]]; then TOOLBOX_CACHE=/var/cache/toolbox; else TOOLBOX_CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/toolbox; fi
fi
export TOOLBOX_CACHE

# The npm shims start a Node parent that outlives a killed child, so the real binaries are named.
export TOOLBOX_DENO=$TOOLBOX_ROOT/node_modules/deno/deno
export TOOLBOX_SUPABASE=$TOOLBOX_ROOT/node_modules/@supabase/cli-linux-x64/bin/supabase
TOOLBOX_TARGET_DIR=${CARGO_TARGET_DIR:-$TOOLBOX_ROOT/target}
export TOOLBOX_TARGET_DIR

# Deno carries its own certificate roots; a company proxy is trusted only by the machine's.
export DENO_TLS_CA_STORE=${DENO_TLS_CA_STORE:-system}
export DENO_NO_UPDATE_CHECK=1 SUPABASE_TELEMETRY_DISABLED=1

case ":$PATH:" in *":$TOOLBOX_ROOT/node_modules/binaryen/bin:"*) ;; *)
  # wasm-pack takes wasm-bindgen and wasm-opt from here. Debian keeps iptables and dockerd in sbin, which a user's PATH lacks.
  PATH=$TOOLBOX_ROOT/node_modules/binaryen/bin:$TOOLBOX_CACHE/cargo/bin:$TOOLBOX_CACHE/apt/usr/bin:$PATH:${HOME:-/root}/.cargo/bin:/usr/local/sbin:/usr/sbin:/sbin ;;
esac
export PATH

# The names of the edge functions, one a line; supabase/config.toml is their list.
edge_functions() { sed -n 's/^\[functions\.\(.*\)\]$/\1/p' "$TOOLBOX_ROOT/supabase/config.toml"; }

# Whether a Docker Engine answers on its socket, asked without the CLI because that is ten times slower.
docker_answers() {
  curl --silent --fail --max-time 5 --output /dev/null --unix-socket /var/run/docker.sock http://localhost/_ping
}

# A user who has just become a member of the docker group has it in new logins only: start over with the group.
if [[ $(id -u) != 0 && -S /var/run/docker.sock && ! -w /var/run/docker.sock && -z "${TOOLBOX_WITH_DOCKER_GROUP:-}" ]] &&
  id -nG "$(id -un)" | grep -qw docker && command -v sg >/dev/null; then
  export TOOLBOX_WITH_DOCKER_GROUP=1
  # $0 counts from where the script was called; each has changed to the repository's root since.
  cd "${OLDPWD:-.}"
  exec sg docker -c "exec $(printf '%q ' "$0" "$@")"
fi
