//! What the stack says once everything runs: JSON for tests, text for people.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use uuid::Uuid;

use crate::progress::answer;

/// The ready line of `--json`. Times are Unix seconds; `pids` holds every process by the name of its service.
#[derive(Serialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    /// The web console; none without --web.
    pub(crate) console_url: Option<String>,
    pub(crate) db_url: String,
    /// The same database as its superuser.
    pub(crate) admin_db_url: String,
    pub(crate) publishable_key: String,
    pub(crate) secret_key: String,
    pub(crate) anon_key: String,
    pub(crate) service_role_key: String,
    pub(crate) jwt_secret: String,
    pub(crate) demo: Demo,
    pub(crate) toolbox_id: Uuid,
    /// `BACKEND_TO_DTMA_API_KEY`.
    pub(crate) agent_root: String,
    pub(crate) dtma: Option<Dtma>,
    pub(crate) pids: BTreeMap<String, u32>,
    pub(crate) functions: BTreeMap<String, String>,
    /// None without --droplets.
    pub(crate) digitalocean: Option<DigitalOcean>,
    /// None without --backend.
    pub(crate) backend: Option<Backend>,
    pub(crate) data_dir: PathBuf,
    pub(crate) control_url: String,
    pub(crate) control_token: String,
}

#[derive(Serialize)]
pub(crate) struct Demo {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) access_token: String,
    pub(crate) user_id: Uuid,
}

#[derive(Serialize)]
pub(crate) struct Dtma {
    pub(crate) url: String,
    /// Where its companion answers; none without one.
    pub(crate) companion_url: Option<String>,
    /// Holds the key that the control plane presents.
    pub(crate) key_file: PathBuf,
    /// Holds the certificate that is pinned in the row; none in plain HTTP.
    pub(crate) certificate_file: Option<PathBuf>,
    /// Where the agent looks for a single-use token when it starts.
    pub(crate) token_file: PathBuf,
    pub(crate) pid: u32,
    pub(crate) state_dir: PathBuf,
}

/// supabase/seed.sql makes this catalog entry for the sample server that scripts/build-images builds.
const SAMPLE: &str = "00000000-0000-0000-0000-0000000000aa";

/// The simulator of DigitalOcean's API.
#[derive(Serialize)]
pub(crate) struct DigitalOcean {
    pub(crate) url: String,
    pub(crate) token: String,
}

/// The server toolbox-backend.
#[derive(Serialize)]
pub(crate) struct Backend {
    pub(crate) url: String,
    /// `INTERNAL_API_SECRET`.
    pub(crate) secret: String,
}

impl Ready {
    /// Prints it on standard output.
    pub(crate) fn print(&self, as_json: bool) {
        let text = if as_json {
            serde_json::to_string(self).unwrap_or_default()
        } else {
            self.for_people()
        };
        answer(text);
    }

    fn for_people(&self) -> String {
        let Self {
            url,
            demo,
            toolbox_id,
            publishable_key,
            ..
        } = self;
        let data = self.data_dir.display();
        let console = self
            .console_url
            .as_ref()
            .map(|url| format!("  web console      {url}\n"));
        let console = console.unwrap_or_default();
        let simulator = self.digitalocean.as_ref().map(|simulator| {
            let DigitalOcean { url, token } = simulator;
            format!("  DigitalOcean     a simulator at {url}, token {token}\n")
        });
        let simulator = simulator.unwrap_or_default();
        let backend = self.backend.as_ref().map(|backend| {
            let Backend { url, secret } = backend;
            format!("  toolbox-backend  {url}, secret {secret}\n")
        });
        let backend = backend.unwrap_or_default();
        // Without an agent here there is nothing that "local" could run on: a toolbox is ordered.
        let (first, next) = if self.digitalocean.is_some() {
            (String::new(), for_buyers(url))
        } else {
            let local = format!("  toolbox          \"local\", {toolbox_id}\n");
            (local, for_the_local_toolbox(url, *toolbox_id))
        };
        format!(
            "
Toolbox is running at {url}. Ctrl-C stops it.

{console}  sign in as       {email}, password {password}
  publishable key  {publishable_key}
{first}  data and logs    {data}
{simulator}{backend}
A token of the demo user, good for one hour; the same line gets the next one:

export TOKEN=$(curl -sS '{url}/auth/v1/token?grant_type=password' -H 'apikey: {publishable_key}' -H 'Content-Type: application/json' -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}' | grep -oE '\"access_token\":\"[^\"]+' | cut -d'\"' -f4)
{next}",
            email = demo.email,
            password = demo.password,
        )
    }
}

const CURL: &str = "curl -sS -H \"Authorization: Bearer $TOKEN\"";

fn deploy(tools: &str) -> String {
    format!(
        "{CURL} -H 'Content-Type: application/json' -H 'Prefer: wait=20' {tools} -d '{{\"toolCatalogId\":\"{SAMPLE}\",\"instanceNameOnToolbox\":\"Sample\"}}'"
    )
}

fn for_the_local_toolbox(url: &str, toolbox: Uuid) -> String {
    let tools = format!("{url}/functions/v1/toolbox-tools/{toolbox}/tools");
    format!(
        "
Deploy the sample MCP server, list what runs, stop it:

{deploy}
{CURL} {tools}
{CURL} -X POST -H 'Prefer: wait=20' {tools}/Sample/stop

Connect Claude Code to it while it runs; `/mcp` there opens the console, where you sign in and let it in:

claude mcp add --transport http sample $({CURL} {tools}/Sample/mcp | grep -oE '\"public_url\":\"[^\"]+' | cut -d'\"' -f4)
",
        deploy = deploy(&tools),
    )
}

fn for_buyers(url: &str) -> String {
    let toolboxes = format!("{url}/functions/v1/toolboxes-user");
    let toolbox = format!("{url}/functions/v1/toolbox-tools/$TOOLBOX");
    // The first id of an answer is that of what it is about.
    let id = "grep -oE '\"id\":\"[^\"]+' | head -n 1 | cut -d'\"' -f4";
    format!(
        "
Order a toolbox, and see how far it is; it takes some seconds:

export TOOLBOX=$({CURL} -H 'Content-Type: application/json' {toolboxes} -d '{{\"kind\":\"droplet\",\"name\":\"My first toolbox\"}}' | {id})
{CURL} {toolboxes}/$TOOLBOX

When its status is active: deploy the sample MCP server, and get the URL and the token for an MCP client:

export SAMPLE=$({deploy} | {id})
{CURL} -H 'Content-Type: application/json' {toolbox}/mcp-access -d '{{\"name\":\"My client\",\"instanceId\":\"'$SAMPLE'\"}}'

Remove it with its machine:

{CURL} -X DELETE {toolboxes}/$TOOLBOX
",
        deploy = deploy(&format!("{toolbox}/tools")),
    )
}
