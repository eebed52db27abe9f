//! Configuration: the only place that knows names of environment variables.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::toolboxes::QuotaLimits;
use toolbox_clients::digitalocean;
use toolbox_clients::email::EmailProvider;
use toolbox_domain::address::Allowed;
use toolbox_domain::receipts::ReceiptKey;
use toolbox_domain::sealing::Roots;

/// Every variable that is read, for the check against `.env.example`.
pub const VARIABLES: &[&str] = &[
    "SUPABASE_URL",
    "SUPABASE_PUBLIC_URL",
    "SUPABASE_PUBLISHABLE_KEYS",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SECRET_KEYS",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_JWKS",
    "SUPABASE_JWT_SECRET",
    "JWT_SECRET",
    "BACKEND_TO_DTMA_API_KEY",
    "BACKEND_TO_DTMA_API_KEY_PREVIOUS",
    "NODE_BACKEND_URL",
    "INTERNAL_API_SECRET",
    "DO_API_TOKEN",
    "DO_DEFAULT_IMAGE",
    "DO_DEFAULT_REGION",
    "DO_DEFAULT_SIZE",
    "DO_SSH_KEY_FINGERPRINTS",
    "TOOLBOX_ALLOWED_MACHINES",
    "TOOLBOX_ALLOWED_ORIGIN",
    "TOOLBOX_ALLOWED_WEBHOOKS",
    "TOOLBOX_ANONYMOUS_USERS",
    "TOOLBOX_CONTROL_URL",
    "TOOLBOX_DIGITALOCEAN_URL",
    "TOOLBOX_EMAIL_FROM",
    "TOOLBOX_EMAIL_KEY",
    "TOOLBOX_EMAIL_URL",
    "TOOLBOX_COMPANION_PORT",
    "TOOLBOX_JWT_ISSUERS",
    "TOOLBOX_MAX_INSTANCES",
    "TOOLBOX_MAX_PRICE",
    "TOOLBOX_MAX_TOOLBOXES",
    "TOOLBOX_MAX_USER_PRICE",
    "TOOLBOX_MCP_STREAM_SECONDS",
    "TOOLBOX_RECEIPT_KEY",
    "TOOLBOX_RELEASE_URL",
    "TOOLBOX_SITE_URL",
    "TOOLBOX_SSH_CA_KEY",
    "TOOLBOX_UPSTREAM_TIMEOUT_MS",
];

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// A worker lives shorter than this.
const MAX_TIMEOUT_MS: u64 = 600_000;
/// A worker takes new requests during the first half of its life, which is 150 s on the free plan and 400 s on others. A stream
/// that begins just then has the other half.
const DEFAULT_MCP_STREAM: Duration = Duration::from_secs(70);
const MAX_MCP_STREAM_SECONDS: u64 = 390;
const DEFAULT_MAX_INSTANCES: u32 = 100;
const DEFAULT_MAX_TOOLBOXES: u32 = 20;
const DEFAULT_MAX_PRICE: u32 = 50;
const DEFAULT_MAX_USER_PRICE: u32 = 200;
/// The image of machines that are bought, unless it is set or asked for.
const DEFAULT_IMAGE: &str = "ubuntu-24-04-x64";
const DEFAULT_COMPANION_PORT: u16 = 3000;

/// What an edge function is configured with: what all need, and parts that only some do. What is wrong with such a
/// part fails the requests that need it and no others.
#[derive(Clone)]
pub struct Config {
    /// `SUPABASE_URL`, without a slash at the end.
    pub supabase_url: String,
    /// Where users and machines reach the project: `SUPABASE_PUBLIC_URL`, or `SUPABASE_URL` without one; no slash at the end.
    pub public_url: String,
    /// `SUPABASE_PUBLIC_URL` is set.
    pub has_public_url: bool,
    /// `TOOLBOX_SITE_URL`: where people use the console, without a slash at the end.
    pub site_url: Option<String>,
    /// Sent with a caller's token.
    pub publishable_key: String,
    /// Sent with the writes of the control plane.
    pub secret_key: String,
    /// All secret keys of the project: whoever presents one acts for the project itself.
    pub secret_keys: Vec<String>,
    /// All API keys of the project: none of them is a user.
    pub api_keys: Vec<String>,
    /// `SUPABASE_JWKS`: the public keys of the project, as JSON.
    pub jwks: Option<String>,
    /// `SUPABASE_JWT_SECRET` or `JWT_SECRET`: for legacy HS256 tokens.
    pub jwt_secret: Option<String>,
    /// Whose tokens count.
    pub issuers: Issuers,
    /// `TOOLBOX_ANONYMOUS_USERS` is `refuse`: a user without an account may not call.
    pub refuse_anonymous: bool,
    /// `TOOLBOX_ALLOWED_ORIGIN`: `*`, or origins separated by commas.
    pub allowed_origins: Vec<String>,
    /// `TOOLBOX_SSH_CA_KEY`: the seed of the key whose certificates machines let in by SSH. Without it none is reached so.
    pub ssh_ca_key: Option<String>,
    /// `TOOLBOX_UPSTREAM_TIMEOUT_MS`: for each call to the database or an agent.
    pub upstream_timeout: Duration,
    /// `TOOLBOX_MCP_STREAM_SECONDS`: after so long a stream of an MCP server ends, and goes on in another one.
    pub mcp_stream: Duration,
    /// For functions that call agents or give them keys.
    pub agents: Result<AgentConfig, ConfigError>,
    /// For functions that make tools or toolboxes.
    pub quotas: Result<Quotas, ConfigError>,
    /// For functions that tell users of alerts.
    pub alerts: Result<AlertConfig, ConfigError>,
    /// For the function that writes receipts: what `TOOLBOX_RECEIPT_KEY` gives, or the root secret without one.
    pub receipt_key: Result<ReceiptKey, ConfigError>,
    /// For the function that looks after machines.
    pub machines: Result<MachineConfig, ConfigError>,
    /// For functions that let machines join, `TOOLBOX_CONTROL_URL`: the function `heartbeat` as machines reach it.
    pub control_url: Result<String, ConfigError>,
    /// For the function that makes agents' tool environments: the backend that does it instead, if there is one.
    pub backend: Result<Option<BackendConfig>, ConfigError>,
    /// For functions that let machines join, `TOOLBOX_ALLOWED_MACHINES`: their addresses that count although they are not
    /// public.
    pub allowed_machines: Result<Allowed, ConfigError>,
    /// For the function that tells users how a machine joins, `TOOLBOX_RELEASE_URL`: where machines fetch the installer and the
    /// agent, without a slash at the end.
    pub release_url: Result<String, ConfigError>,
    /// For functions that buy machines.
    pub provisioning: Result<ProvisioningConfig, ConfigError>,
}

/// How alerts reach users.
#[derive(Clone)]
pub struct AlertConfig {
    /// `TOOLBOX_ALLOWED_WEBHOOKS`: targets of webhooks that count although they are not public.
    pub allowed: Allowed,
    /// `TOOLBOX_EMAIL_URL`, `TOOLBOX_EMAIL_KEY` and `TOOLBOX_EMAIL_FROM`: who sends mail. All three, or none.
    pub email: Option<EmailProvider>,
}

/// A server that does the work of `manage-agent-tool-environment`.
#[derive(Clone)]
pub struct BackendConfig {
    /// `NODE_BACKEND_URL`, without a slash at the end.
    pub url: String,
    /// `INTERNAL_API_SECRET`: what it knows its callers by.
    pub secret: String,
}

/// How machines are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineConfig {
    /// `TOOLBOX_COMPANION_PORT`: where the companions listen.
    pub companion_port: u16,
}

/// How machines are bought.
#[derive(Clone)]
pub struct ProvisioningConfig {
    /// `TOOLBOX_DIGITALOCEAN_URL`: DigitalOcean's API, without a slash at the end.
    pub digitalocean_url: String,
    /// `DO_API_TOKEN`: whoever has it can buy and remove machines.
    pub digitalocean_token: String,
    /// `DO_DEFAULT_REGION`: of orders that name none.
    pub default_region: Option<String>,
    /// `DO_DEFAULT_SIZE`: of orders that name none.
    pub default_size: Option<String>,
    /// `DO_DEFAULT_IMAGE`: of orders that name none.
    pub default_image: String,
    /// `DO_SSH_KEY_FINGERPRINTS`: keys of the account that may log in on the machines as root.
    pub ssh_keys: Vec<String>,
}

/// What the keys of agents are derived from.
#[derive(Clone)]
pub struct AgentConfig {
    /// `BACKEND_TO_DTMA_API_KEY`: the root secret of the toolboxes' keys.
    pub root_secret: String,
    /// `BACKEND_TO_DTMA_API_KEY_PREVIOUS`: the root secret before, while toolboxes still hold keys of it.
    pub previous_root_secret: Option<String>,
}

impl AgentConfig {
    /// Both root secrets.
    pub fn roots(&self) -> Roots<'_> {
        Roots {
            current: self.root_secret.as_bytes(),
            previous: self.previous_root_secret.as_deref().map(str::as_bytes),
        }
    }
}

/// How much a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// `TOOLBOX_MAX_INSTANCES`: instances in one toolbox.
    pub max_instances: u32,
    /// `TOOLBOX_MAX_TOOLBOXES`: toolboxes of one user.
    pub max_toolboxes: u32,
    /// `TOOLBOX_MAX_PRICE`: most that one machine may cost a month, in US dollars.
    pub max_price: u32,
    /// `TOOLBOX_MAX_USER_PRICE`: most that all machines of one user may cost a month, in US dollars.
    pub max_user_price: u32,
}

/// Variables that are missing or malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("set {}", .0.join(", "))]
pub struct ConfigError(pub Vec<&'static str>);

impl From<&ConfigError> for ApiError {
    fn from(error: &ConfigError) -> Self {
        Self::new(ErrorCode::NotConfigured).caused_by(error)
    }
}

/// `{"default": "sb_…"}`, as Supabase sets it.
type NamedKeys = BTreeMap<String, String>;

impl Config {
    /// Reads the configuration; `lookup` gives the value of a variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let get = |name: &'static str| lookup(name).filter(|value| !value.trim().is_empty());

        let supabase_url = get("SUPABASE_URL").filter(|url| url.starts_with("http"));
        let publishable = Keys::read(get("SUPABASE_PUBLISHABLE_KEYS"), get("SUPABASE_ANON_KEY"));
        let secret = Keys::read(
            get("SUPABASE_SECRET_KEYS"),
            get("SUPABASE_SERVICE_ROLE_KEY"),
        );
        let timeout = match number(&get, "TOOLBOX_UPSTREAM_TIMEOUT_MS") {
            Ok(Some(milliseconds)) if milliseconds > MAX_TIMEOUT_MS => {
                Err(ConfigError(vec!["TOOLBOX_UPSTREAM_TIMEOUT_MS"]))
            }
            timeout => timeout,
        };

        let mcp_stream = mcp_stream(&get);

        // A spelling that is not known must not let anybody in.
        let refuse_anonymous = match get("TOOLBOX_ANONYMOUS_USERS").as_deref().map(str::trim) {
            None | Some("allow") => Some(false),
            Some("refuse") => Some(true),
            Some(_) => None,
        };

        let (
            Some(url),
            Some(publishable_key),
            Some(secret_key),
            Ok(timeout),
            Ok(mcp_stream),
            Some(refuse_anonymous),
        ) = (
            &supabase_url,
            &publishable.first,
            &secret.first,
            &timeout,
            &mcp_stream,
            refuse_anonymous,
        )
        else {
            let wrong = [
                (supabase_url.is_none(), "SUPABASE_URL"),
                (publishable.first.is_none(), "SUPABASE_PUBLISHABLE_KEYS"),
                (secret.first.is_none(), "SUPABASE_SECRET_KEYS"),
                (timeout.is_err(), "TOOLBOX_UPSTREAM_TIMEOUT_MS"),
                (mcp_stream.is_err(), "TOOLBOX_MCP_STREAM_SECONDS"),
                (refuse_anonymous.is_none(), "TOOLBOX_ANONYMOUS_USERS"),
            ];
            return Err(ConfigError::of(wrong));
        };
        let supabase_url = url.trim_end_matches('/').to_owned();
        let public_url = get("SUPABASE_PUBLIC_URL").filter(|url| url.starts_with("http"));
        let has_public_url = public_url.is_some();
        let public_url = public_url.as_deref().unwrap_or(&supabase_url);
        let public_url = public_url.trim_end_matches('/').to_owned();
        let issuers = Issuers::read(&supabase_url, &get);
        let mut allowed_origins = list(get("TOOLBOX_ALLOWED_ORIGIN"));
        if allowed_origins.is_empty() {
            allowed_origins.push("*".to_owned());
        }
        let secret_keys = secret.all.clone();
        let provisioning = ProvisioningConfig::read(&get);
        Ok(Self {
            supabase_url,
            public_url: public_url.clone(),
            has_public_url,
            site_url: site_url(&get),
            publishable_key: publishable_key.clone(),
            secret_key: secret_key.clone(),
            secret_keys,
            api_keys: publishable.all.into_iter().chain(secret.all).collect(),
            jwks: get("SUPABASE_JWKS"),
            jwt_secret: get("SUPABASE_JWT_SECRET").or_else(|| get("JWT_SECRET")),
            issuers,
            refuse_anonymous,
            allowed_origins,
            ssh_ca_key: get("TOOLBOX_SSH_CA_KEY"),
            upstream_timeout: timeout.map_or(DEFAULT_TIMEOUT, Duration::from_millis),
            mcp_stream: *mcp_stream,
            agents: AgentConfig::read(&get),
            quotas: Quotas::read(&get),
            alerts: AlertConfig::read(&get),
            receipt_key: receipt_key(&get),
            machines: MachineConfig::read(&get),
            control_url: http_url(
                &get,
                "TOOLBOX_CONTROL_URL",
                &format!("{public_url}/functions/v1/heartbeat"),
            ),
            backend: BackendConfig::read(&get),
            allowed_machines: get("TOOLBOX_ALLOWED_MACHINES")
                .unwrap_or_default()
                .parse::<Allowed>()
                .map_err(|_| ConfigError(vec!["TOOLBOX_ALLOWED_MACHINES"])),
            release_url: get("TOOLBOX_RELEASE_URL")
                .map(|url| url.trim().trim_end_matches('/').to_owned())
                .filter(|url| is_release_url(url))
                .ok_or_else(|| ConfigError(vec!["TOOLBOX_RELEASE_URL"])),
            provisioning,
        })
    }
}

/// `TOOLBOX_SITE_URL`, without a slash at the end.
fn site_url(get: &impl Fn(&'static str) -> Option<String>) -> Option<String> {
    let url = get("TOOLBOX_SITE_URL")?;
    let url = url.trim().trim_end_matches('/');
    url.starts_with("http").then(|| url.to_owned())
}

/// Issuers whose tokens count, if the project's key signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers {
    /// `SUPABASE_URL` and `SUPABASE_PUBLIC_URL` with `/auth/v1`, and those in `TOOLBOX_JWT_ISSUERS`.
    named: Vec<String>,
    /// Whether this machine's own addresses count too. They do where `SUPABASE_URL` is local: `supabase functions serve`
    /// gives functions the address of a container (`http://kong:8000`), and users sign in at `http://127.0.0.1:PORT`.
    loopback: bool,
}

impl Issuers {
    fn read(supabase_url: &str, get: &impl Fn(&'static str) -> Option<String>) -> Self {
        let public_url = get("SUPABASE_PUBLIC_URL");
        let urls = std::iter::once(supabase_url).chain(public_url.as_deref());
        let named = urls
            .map(|url| format!("{}/auth/v1", url.trim_end_matches('/')))
            .chain(list(get("TOOLBOX_JWT_ISSUERS")))
            .collect();
        Self {
            named,
            loopback: host_of(supabase_url).is_some_and(|host| {
                // Names of the CLI's and of self-hosted gateways, as functions in containers see them.
                is_loopback(&host) || matches!(&*host, "kong" | "host.docker.internal")
            }),
        }
    }

    /// Whether tokens of this issuer count.
    pub fn contains(&self, issuer: &str) -> bool {
        self.named.iter().any(|named| named == issuer)
            || self.loopback
                && issuer
                    .strip_suffix("/auth/v1")
                    .and_then(host_of)
                    .is_some_and(|host| is_loopback(&host))
    }
}

/// The host of `http://host` or `https://host`, with a port or without one; `None` when there is anything else in it.
fn host_of(url: &str) -> Option<String> {
    let read: Uri = url.parse().ok()?;
    let (scheme, host) = (read.scheme_str()?, read.host()?);
    let origin = match read.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    (matches!(scheme, "http" | "https") && origin == url).then(|| host.to_owned())
}

/// Whether only this machine answers there.
fn is_loopback(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl AgentConfig {
    fn read(get: &impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let is_root = |root: &String| root.len() >= toolbox_domain::keys::MIN_ROOT_BYTES;
        let root_secret = get("BACKEND_TO_DTMA_API_KEY").filter(is_root);
        // The same secret twice is no rotation.
        let previous_root_secret = get("BACKEND_TO_DTMA_API_KEY_PREVIOUS")
            .filter(|previous| Some(previous) != root_secret.as_ref());
        let is_previous_wrong = !previous_root_secret.iter().all(is_root);
        match root_secret {
            Some(root_secret) if !is_previous_wrong => Ok(Self {
                root_secret,
                previous_root_secret,
            }),
            root_secret => Err(ConfigError::of([
                (root_secret.is_none(), "BACKEND_TO_DTMA_API_KEY"),
                (is_previous_wrong, "BACKEND_TO_DTMA_API_KEY_PREVIOUS"),
            ])),
        }
    }
}

impl AlertConfig {
    fn read(get: &impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let allowed = get("TOOLBOX_ALLOWED_WEBHOOKS")
            .unwrap_or_default()
            .parse::<Allowed>()
            .map_err(|_| ConfigError(vec!["TOOLBOX_ALLOWED_WEBHOOKS"]))?;
        let url = get("TOOLBOX_EMAIL_URL").filter(|url| url.starts_with("http"));
        let (key, from) = (get("TOOLBOX_EMAIL_KEY"), get("TOOLBOX_EMAIL_FROM"));
        let email = match (url, key, from) {
            (Some(url), Some(key), Some(from)) => Some(EmailProvider { url, key, from }),
            (None, None, None) if get("TOOLBOX_EMAIL_URL").is_none() => None,
            (url, key, from) => {
                return Err(ConfigError::of([
                    (url.is_none(), "TOOLBOX_EMAIL_URL"),
                    (key.is_none(), "TOOLBOX_EMAIL_KEY"),
                    (from.is_none(), "TOOLBOX_EMAIL_FROM"),
                ]));
            }
        };
        Ok(Self { allowed, email })
    }
}

impl Quotas {
    /// What a user may have for whom no operator set something else.
    pub fn for_everybody(&self) -> QuotaLimits {
        QuotaLimits {
            toolboxes: self.max_toolboxes,
            monthly_usd: self.max_user_price,
            tools: self.max_instances,
        }
    }

    fn read(get: &impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let max_instances = number(get, "TOOLBOX_MAX_INSTANCES");
        let max_toolboxes = number(get, "TOOLBOX_MAX_TOOLBOXES");
        let max_price = number(get, "TOOLBOX_MAX_PRICE");
        let max_user_price = number(get, "TOOLBOX_MAX_USER_PRICE");
        match (max_instances, max_toolboxes, max_price, max_user_price) {
            (Ok(instances), Ok(toolboxes), Ok(price), Ok(user_price)) => Ok(Self {
                max_instances: instances.unwrap_or(DEFAULT_MAX_INSTANCES),
                max_toolboxes: toolboxes.unwrap_or(DEFAULT_MAX_TOOLBOXES),
                max_price: price.unwrap_or(DEFAULT_MAX_PRICE),
                max_user_price: user_price.unwrap_or(DEFAULT_MAX_USER_PRICE),
            }),
            (instances, toolboxes, price, user_price) => Err(ConfigError::of([
                (instances.is_err(), "TOOLBOX_MAX_INSTANCES"),
                (toolboxes.is_err(), "TOOLBOX_MAX_TOOLBOXES"),
                (price.is_err(), "TOOLBOX_MAX_PRICE"),
                (user_price.is_err(), "TOOLBOX_MAX_USER_PRICE"),
            ])),
        }
    }
}

/// Whether the installer takes releases from there.
fn is_release_url(url: &str) -> bool {
    let is_local = ["http://127.0.0.1", "http://localhost"]
        .iter()
        .filter_map(|local| url.strip_prefix(local))
        .any(|rest| rest.is_empty() || rest.starts_with([':', '/']));
    (url.starts_with("https://") || is_local) && url.parse::<Uri>().is_ok()
}

fn receipt_key(get: &impl Fn(&'static str) -> Option<String>) -> Result<ReceiptKey, ConfigError> {
    let (name, secret) = match get("TOOLBOX_RECEIPT_KEY") {
        Some(secret) => ("TOOLBOX_RECEIPT_KEY", secret),
        None => (
            "BACKEND_TO_DTMA_API_KEY",
            get("BACKEND_TO_DTMA_API_KEY").unwrap_or_default(),
        ),
    };
    ReceiptKey::derive(secret.as_bytes()).map_err(|_| ConfigError(vec![name]))
}

impl BackendConfig {
    fn read(get: &impl Fn(&'static str) -> Option<String>) -> Result<Option<Self>, ConfigError> {
        let Some(url) = get("NODE_BACKEND_URL") else {
            return Ok(None);
        };
        let url = url.trim().trim_end_matches('/').to_owned();
        let is_url = url.starts_with("http") && url.parse::<Uri>().is_ok();
        match get("INTERNAL_API_SECRET") {
            Some(secret) if is_url => Ok(Some(Self { url, secret })),
            secret => Err(ConfigError::of([
                (!is_url, "NODE_BACKEND_URL"),
                (secret.is_none(), "INTERNAL_API_SECRET"),
            ])),
        }
    }
}

impl MachineConfig {
    fn read(get: &impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let port = get("TOOLBOX_COMPANION_PORT").map(|text| text.trim().parse::<u16>().ok());
        if matches!(port, Some(None | Some(0))) {
            return Err(ConfigError(vec!["TOOLBOX_COMPANION_PORT"]));
        }
        Ok(Self {
            companion_port: port.flatten().unwrap_or(DEFAULT_COMPANION_PORT),
        })
    }
}

impl ProvisioningConfig {
    fn read(get: &impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let token = get("DO_API_TOKEN").map(|token| token.trim().to_owned());
        let url = http_url(get, "TOOLBOX_DIGITALOCEAN_URL", digitalocean::DEFAULT_URL);
        let (Some(digitalocean_token), Ok(digitalocean_url)) = (&token, &url) else {
            return Err(ConfigError::of([
                (token.is_none(), "DO_API_TOKEN"),
                (url.is_err(), "TOOLBOX_DIGITALOCEAN_URL"),
            ]));
        };
        Ok(Self {
            digitalocean_url: digitalocean_url.clone(),
            digitalocean_token: digitalocean_token.clone(),
            default_region: get("DO_DEFAULT_REGION").map(|slug| slug.trim().to_owned()),
            default_size: get("DO_DEFAULT_SIZE").map(|slug| slug.trim().to_owned()),
            default_image: get("DO_DEFAULT_IMAGE")
                .map_or_else(|| DEFAULT_IMAGE.to_owned(), |slug| slug.trim().to_owned()),
            ssh_keys: list(get("DO_SSH_KEY_FINGERPRINTS")),
        })
    }
}

impl ConfigError {
    fn of<const N: usize>(variables: [(bool, &'static str); N]) -> Self {
        let wrong = variables.into_iter().filter(|(is_wrong, _)| *is_wrong);
        Self(wrong.map(|(_, name)| name).collect())
    }
}

/// An address of HTTP, without a slash at the end.
fn http_url(
    get: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
    default: &str,
) -> Result<String, ConfigError> {
    let url = get(name).unwrap_or_else(|| default.to_owned());
    let url = url.trim().trim_end_matches('/').to_owned();
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    if is_http && url.parse::<Uri>().is_ok() {
        Ok(url)
    } else {
        Err(ConfigError(vec![name]))
    }
}

/// A whole number above 0, where the variable is set.
fn number<T: FromStr + Default + PartialOrd>(
    get: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
) -> Result<Option<T>, ConfigError> {
    match get(name).map(|text| text.trim().parse::<T>()) {
        None => Ok(None),
        Some(Ok(value)) if value > T::default() => Ok(Some(value)),
        Some(_) => Err(ConfigError(vec![name])),
    }
}

fn mcp_stream(get: &impl Fn(&'static str) -> Option<String>) -> Result<Duration, ConfigError> {
    const NAME: &str = "TOOLBOX_MCP_STREAM_SECONDS";
    let seconds: Option<u64> = number(get, NAME)?;
    let Some(seconds) = seconds else {
        return Ok(DEFAULT_MCP_STREAM);
    };
    if seconds > MAX_MCP_STREAM_SECONDS {
        return Err(ConfigError(vec![NAME]));
    }
    Ok(Duration::from_secs(seconds))
}

fn list(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Keys of one kind: the one to use, and all of them.
struct Keys {
    first: Option<String>,
    all: Vec<String>,
}

impl Keys {
    fn read(named: Option<String>, legacy: Option<String>) -> Self {
        let named: NamedKeys = named
            .and_then(|text| serde_json::from_str::<NamedKeys>(&text).ok())
            .unwrap_or_default();
        let first = named
            .get("default")
            .or_else(|| named.values().next())
            .cloned();
        let all = named.into_values().chain(legacy.clone()).collect();
        Self {
            first: first.or(legacy),
            all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| {
            assert!(VARIABLES.contains(&name), "{name} is not listed");
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    const ROOT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn new_keys_win_over_legacy_ones_and_all_are_known() {
        let config = read(&[
            ("SUPABASE_URL", "https://p.supabase.co/"),
            (
                "SUPABASE_PUBLISHABLE_KEYS",
                r#"{"default":"sb_publishable_a","other":"sb_publishable_b"}"#,
            ),
            ("SUPABASE_ANON_KEY", "anon"),
            ("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_a"}"#),
            ("SUPABASE_SERVICE_ROLE_KEY", "service"),
            ("BACKEND_TO_DTMA_API_KEY", ROOT),
            (
                "TOOLBOX_JWT_ISSUERS",
                "http://127.0.0.1:54321/auth/v1, https://x",
            ),
        ])
        .unwrap();
        assert_eq!(config.supabase_url, "https://p.supabase.co");
        assert_eq!(config.publishable_key, "sb_publishable_a");
        assert_eq!(config.secret_key, "sb_secret_a");
        assert_eq!(config.secret_keys, ["sb_secret_a", "service"]);
        assert_eq!(config.api_keys.len(), 5);
        assert_eq!(
            config.issuers.named,
            [
                "https://p.supabase.co/auth/v1",
                "http://127.0.0.1:54321/auth/v1",
                "https://x"
            ]
        );
        assert_eq!(config.allowed_origins, ["*"]);
        assert_eq!(config.upstream_timeout, DEFAULT_TIMEOUT);
    }

    fn issuers(variables: &[(&str, &str)]) -> Issuers {
        let keys = [
            ("SUPABASE_ANON_KEY", "anon"),
            ("SUPABASE_SERVICE_ROLE_KEY", "service"),
        ];
        read(&[variables, &keys].concat()).unwrap().issuers
    }

    #[test]
    fn a_local_project_issues_tokens_at_every_address_of_this_machine() {
        for url in [
            "http://kong:8000",
            "http://127.0.0.1:54321",
            "http://localhost:54321/",
            "http://[::1]:54321",
            "http://host.docker.internal:54321",
        ] {
            let issuers = issuers(&[("SUPABASE_URL", url)]);
            for issuer in [
                "http://127.0.0.1:54321/auth/v1",
                "https://127.0.0.1:8443/auth/v1",
                "http://localhost:1/auth/v1",
                "http://localhost/auth/v1",
                "http://[::1]:54321/auth/v1",
                "http://[::1]/auth/v1",
                &format!("{}/auth/v1", url.trim_end_matches('/')),
            ] {
                assert!(issuers.contains(issuer), "{issuer} at {url}");
            }
            for issuer in [
                "https://p.supabase.co/auth/v1",
                "http://127.0.0.1.example.org/auth/v1",
                "http://localhost.example.org:54321/auth/v1",
                "http://localhost:54321@example.org/auth/v1",
                "http://example.org:1@localhost:1/auth/v1",
                "http://127.0.0.1:54321/auth/v1/",
                "http://127.0.0.1:54321/x/auth/v1",
                "http://127.0.0.1:54321",
                "http://127.0.0.1:99999/auth/v1",
                "http://10.0.0.1:54321/auth/v1",
                "ftp://127.0.0.1/auth/v1",
                "/auth/v1",
                "",
            ] {
                assert!(!issuers.contains(issuer), "{issuer} at {url}");
            }
        }
    }

    #[test]
    fn a_hosted_project_has_no_local_issuers() {
        for url in [
            "https://p.supabase.co",
            "https://supabase.example.org:8443",
            "http://kong.example.org:8000",
            "http://127.0.0.1.example.org",
            "http://10.0.0.1:8000",
        ] {
            let issuers = issuers(&[("SUPABASE_URL", url)]);
            assert!(issuers.contains(&format!("{url}/auth/v1")));
            for issuer in [
                "http://127.0.0.1:54321/auth/v1",
                "http://localhost:54321/auth/v1",
                "http://[::1]:54321/auth/v1",
                "http://kong:8000/auth/v1",
            ] {
                assert!(!issuers.contains(issuer), "{issuer} at {url}");
            }
        }
    }

    #[test]
    fn a_project_behind_a_gateway_issues_tokens_at_its_public_address() {
        let issuers = issuers(&[
            ("SUPABASE_URL", "http://kong:8000"),
            ("SUPABASE_PUBLIC_URL", "https://supabase.example.org/"),
        ]);
        assert!(issuers.contains("https://supabase.example.org/auth/v1"));
        assert!(!issuers.contains("https://other.example.org/auth/v1"));
    }

    #[test]
    fn legacy_keys_are_enough() {
        let config = read(&PROJECT).unwrap();
        assert_eq!(
            (config.publishable_key.as_str(), config.secret_key.as_str()),
            ("anon", "service")
        );
    }

    const PROJECT: [(&str, &str); 3] = [
        ("SUPABASE_URL", "http://127.0.0.1:54321"),
        ("SUPABASE_ANON_KEY", "anon"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service"),
    ];

    #[test]
    fn what_all_functions_need_is_named_when_missing_or_malformed() {
        for timeout in ["soon", "0", "600001"] {
            let error = read(&[("TOOLBOX_UPSTREAM_TIMEOUT_MS", timeout)])
                .map(|_| ())
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "set SUPABASE_URL, SUPABASE_PUBLISHABLE_KEYS, SUPABASE_SECRET_KEYS, \
                 TOOLBOX_UPSTREAM_TIMEOUT_MS"
            );
        }
    }

    #[test]
    fn a_stream_of_an_mcp_server_ends_before_the_platform_ends_it() {
        let setting = |seconds| {
            let variables = [
                PROJECT.as_slice(),
                &[("TOOLBOX_MCP_STREAM_SECONDS", seconds)],
            ];
            read(&variables.concat())
                .map(|config| config.mcp_stream.as_secs())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(&PROJECT).unwrap().mcp_stream, DEFAULT_MCP_STREAM);
        assert_eq!(setting("190"), Ok(190));
        for value in ["0", "391", "long"] {
            let error = "set TOOLBOX_MCP_STREAM_SECONDS";
            assert_eq!(setting(value), Err(error.to_owned()), "{value}");
        }
    }

    #[test]
    fn anonymous_users_are_refused_only_where_the_operator_says_so() {
        let setting = |value| {
            let variables = [PROJECT.as_slice(), &[("TOOLBOX_ANONYMOUS_USERS", value)]].concat();
            read(&variables)
                .map(|config| config.refuse_anonymous)
                .map_err(|error| error.to_string())
        };
        assert!(!read(&PROJECT).unwrap().refuse_anonymous);
        for (value, refuses) in [("", false), ("allow", false), ("refuse", true)] {
            assert_eq!(setting(value), Ok(refuses), "{value}");
        }
        for value in ["Refuse!", "no", "true"] {
            assert_eq!(
                setting(value),
                Err("set TOOLBOX_ANONYMOUS_USERS".to_owned())
            );
        }
    }

    #[test]
    fn machines_have_a_port_of_the_companion() {
        let config =
            |more: &[(&str, &str)]| read(&[PROJECT.as_slice(), more].concat()).unwrap().machines;
        assert_eq!(config(&[]).unwrap().companion_port, 3000);
        let set = config(&[("TOOLBOX_COMPANION_PORT", "3101")]).unwrap();
        assert_eq!(set.companion_port, 3101);
        for port in ["0", "65536", "x"] {
            let error = config(&[("TOOLBOX_COMPANION_PORT", port)]).unwrap_err();
            assert_eq!(error.to_string(), "set TOOLBOX_COMPANION_PORT");
        }
    }

    #[test]
    fn the_key_of_receipts_is_made_of_the_secret_as_it_is() {
        let id = |more: &[(&str, &str)]| {
            let config = read(&[PROJECT.as_slice(), more].concat()).unwrap();
            config.receipt_key.unwrap().id().to_owned()
        };
        // As scripts/receipts does.
        for secret in [ROOT, &format!(" {ROOT}\n")] {
            let key = ReceiptKey::derive(secret.as_bytes()).unwrap();
            assert_eq!(id(&[("TOOLBOX_RECEIPT_KEY", secret)]), key.id());
            assert_eq!(
                id(&[
                    ("TOOLBOX_RECEIPT_KEY", " "),
                    ("BACKEND_TO_DTMA_API_KEY", secret)
                ]),
                key.id()
            );
        }
    }

    #[test]
    fn releases_are_where_the_installer_fetches_them() {
        let of = |url| {
            let variables = [PROJECT.as_slice(), &[("TOOLBOX_RELEASE_URL", url)]].concat();
            let read = read(&variables).unwrap().release_url;
            read.map_err(|error| error.to_string())
        };
        for (given, read) in [
            ("https://r.example/x/", "https://r.example/x"),
            ("http://127.0.0.1:8099", "http://127.0.0.1:8099"),
            ("http://localhost/releases", "http://localhost/releases"),
        ] {
            assert_eq!(of(given).as_deref(), Ok(read));
        }
        for given in [
            "",
            "http://r.example",
            "http://127.0.0.1.example",
            "/root/release",
            "https://a b",
        ] {
            assert_eq!(
                of(given),
                Err("set TOOLBOX_RELEASE_URL".to_owned()),
                "{given}"
            );
        }
    }

    #[test]
    fn what_some_functions_need_does_not_break_the_others() {
        let wrong = [
            ("BACKEND_TO_DTMA_API_KEY", "short"),
            ("BACKEND_TO_DTMA_API_KEY_PREVIOUS", "short"),
            ("TOOLBOX_MAX_INSTANCES", "0"),
            ("TOOLBOX_ALLOWED_MACHINES", "10.0.0.0/99"),
        ];
        let config = read(&[PROJECT.as_slice(), wrong.as_slice()].concat()).unwrap();
        assert_eq!(
            config.agents.map(|_| ()).unwrap_err().to_string(),
            "set BACKEND_TO_DTMA_API_KEY, BACKEND_TO_DTMA_API_KEY_PREVIOUS"
        );
        assert_eq!(
            config.quotas.unwrap_err().to_string(),
            "set TOOLBOX_MAX_INSTANCES"
        );
        assert_eq!(
            config.allowed_machines.unwrap_err().to_string(),
            "set TOOLBOX_ALLOWED_MACHINES"
        );
        let config = read(&PROJECT).unwrap();
        assert_eq!(
            config.agents.map(|_| ()).unwrap_err().to_string(),
            "set BACKEND_TO_DTMA_API_KEY"
        );
        assert_eq!(config.quotas.unwrap().max_instances, DEFAULT_MAX_INSTANCES);
    }
}
