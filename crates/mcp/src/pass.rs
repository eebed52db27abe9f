//! One request on its way to an instance's server, or to all of a toolbox.

use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp_access::McpCaller;
use toolbox_api::problem::ProblemCode;
use toolbox_clients::dtma::{AgentError, Patience};
use toolbox_clients::supabase::mcp_access::{
    FoundMcpAccess, FoundMcpToolboxAccess, McpAccess, McpAsker,
};
use toolbox_clients::supabase::rows::EnvironmentRow;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::mcp_access::AccessToken;
use toolbox_domain::names::encode_segment;
use toolbox_edge::context::Caller;
use toolbox_edge::reply::Body;
use toolbox_edge::{Reply, RequestContext, identity};
use toolbox_http::{Headers, Passed, Response};
use toolbox_instances::reach::HttpsAgents;

/// Headers that pass to the server, beside those that begin with [`PREFIX`].
const PASSED: &[&str] = &["accept", "content-type", "last-event-id", "traceparent"];
/// How the names of the protocol's own headers begin.
const PREFIX: &str = "mcp-";

/// An answer begins within this time: the platform ends a request that has none after 150 s.
const HEAD: Duration = Duration::from_secs(140);
/// The agent begins a stream of events within 15 s, and writes into a silent one every 15 s: after three times that, its
/// machine is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// The agent ends streams in time; one that is too old for that refuses the caller. What it does not end is ended here so much
/// later.
const LATER: Duration = Duration::from_secs(5);
/// An answer that cannot be gone on with has so long. The platform lets no worker live longer than 400 s.
const LONGEST: Duration = Duration::from_secs(250);

/// Longest name of a client that is kept, in characters.
const MAX_CLIENT: usize = 200;

/// Passes a request on to an instance's server, and the answer back.
pub(crate) async fn pass(cx: &RequestContext) -> Result<Reply, ApiError> {
    let id: ToolInstanceId = cx.param(0).parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the instance, a UUID, after /mcp/",
        )
    })?;
    let access = authorise(cx, id).await?;
    if access.instance.transport.is_none() {
        return Err(ApiError::with_message(
            ErrorCode::IllegalState,
            "This tool is no MCP server",
        ));
    }
    let caller = McpCaller {
        who: access.who.clone(),
        tools: access.allowed_tools.clone(),
        read_only: access.read_only,
        client: client(cx),
        grants: Vec::new(),
        limits: access.limits.clone(),
        pins: access.pins.clone(),
    };
    let sent = send(cx, &access.toolbox, Some(id), &caller).await?;
    sent.map_err(|error| {
        failed(
            &access.toolbox,
            Some(&access.instance.status),
            &caller,
            error,
        )
    })
}

/// The same for all servers of a toolbox that the caller may use, as one.
pub(crate) async fn pass_all(cx: &RequestContext) -> Result<Reply, ApiError> {
    let id: ToolboxId = cx.param(0).parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the toolbox, a UUID, after /mcp/toolbox/",
        )
    })?;
    let asker = Asker::of(cx).await?;
    let database = &cx.state.supabase;
    let client = client(cx);
    let found = database.find_mcp_toolbox_access(id, asker.as_mcp(), client.as_deref());
    let access = match found.await? {
        FoundMcpToolboxAccess::Access(access) => access,
        FoundMcpToolboxAccess::TokenUnknown => return Err(token_unknown()),
        FoundMcpToolboxAccess::TokenExpired => return Err(token_expired()),
        FoundMcpToolboxAccess::NoAccess => {
            return Err(asker.refused(
                cx,
                "There is no such toolbox, or its MCP servers are not open to you; its owner gives access",
            ));
        }
    };
    let caller = McpCaller {
        who: access.who.clone(),
        // No server is open but by a grant.
        tools: Some(Vec::new()),
        read_only: true,
        client,
        grants: access.grants,
        limits: access.limits,
        pins: access.pins,
    };
    let sent = send(cx, &access.toolbox, None, &caller).await?;
    sent.map_err(|error| failed(&access.toolbox, None, &caller, error))
}

/// Asks the agent, and gives its answer back.
async fn send(
    cx: &RequestContext,
    toolbox: &EnvironmentRow,
    id: Option<ToolInstanceId>,
    caller: &McpCaller,
) -> Result<Result<Reply, AgentError>, ApiError> {
    let config = cx.state.config.agents.as_ref()?;
    let agents = HttpsAgents {
        transport: std::sync::Arc::clone(&cx.state.transport),
        deadline: cx.state.config.upstream_timeout,
        root_secret: config.root_secret.clone(),
        previous_root_secret: config.previous_root_secret.clone(),
    };
    let agent = agents.program_at(toolbox, toolbox.dtma_port, &cx.request_id)?;
    let listens =
        cx.method == "GET" || cx.headers.get("mcp-method") == Some("subscriptions/listen");
    let stream = cx.state.config.mcp_stream;
    let patience = Patience {
        head: if begins_soon(cx) { SILENCE } else { HEAD },
        silence: SILENCE,
        longest: if listens { stream + LATER } else { LONGEST },
        stream,
        listens,
    };
    let body = cx.body.stream().await;
    let headers = passed(&cx.headers);
    let answer = match agent
        .mcp(&cx.method, id, caller, &headers, body, patience)
        .await
    {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    if answer.status == 401 {
        // To the client it would mean that its own token is refused.
        return Err(ApiError::with_message(
            ErrorCode::AgentFailed,
            "The MCP server itself asks for credentials (HTTP 401); its owner sets them by upstreamHeaders or environmentVariables",
        ));
    }
    Ok(Ok(Response {
        status: answer.status,
        headers: answer.headers,
        body: match answer.body {
            Passed::Whole(bytes) if bytes.is_empty() => Body::Empty,
            Passed::Whole(bytes) => Body::Bytes(bytes),
            Passed::Stream(stream) => Body::Stream(stream),
        },
    }))
}

/// Who asks, by what they present.
enum Asker {
    Token(String),
    User(Caller),
}

impl Asker {
    async fn of(cx: &RequestContext) -> Result<Self, ApiError> {
        if let Some(text) = token(&cx.headers) {
            let token = AccessToken::parse(text).ok_or_else(|| {
                ApiError::with_message(ErrorCode::InvalidToken, "The access token is malformed")
            })?;
            return Ok(Self::Token(token.hash()));
        }
        let caller = identity::user_or_program(&cx.state.identity, &cx.headers).await?;
        Ok(Self::User(caller))
    }

    fn as_mcp(&self) -> McpAsker<'_> {
        match self {
            Self::Token(token_hash) => McpAsker::Token { token_hash },
            Self::User(caller) => McpAsker::User {
                user_id: caller.user,
                client_id: caller.client.as_deref(),
            },
        }
    }

    /// Why nothing is open to them here: an application can be let in by its user, which others cannot.
    fn refused(&self, cx: &RequestContext, text: &str) -> ApiError {
        match self {
            Self::User(Caller {
                client: Some(client),
                ..
            }) => not_let_in(cx, client),
            _ => ApiError::with_message(ErrorCode::Forbidden, text),
        }
    }
}

/// Whether the answer can begin as a stream of events, before there is anything to say. It cannot where a session begins,
/// whose id stands in the head; nothing of a session or of a revision is known then.
fn begins_soon(cx: &RequestContext) -> bool {
    let accepts = cx.headers.get("accept").unwrap_or_default();
    let mut known = ["mcp-session-id", "mcp-protocol-version", "mcp-method"].into_iter();
    accepts.contains("text/event-stream") && known.any(|name| cx.headers.get(name).is_some())
}

/// Who calls, and what they may do.
async fn authorise(cx: &RequestContext, id: ToolInstanceId) -> Result<Box<McpAccess>, ApiError> {
    let asker = Asker::of(cx).await?;
    let client = client(cx);
    let database = &cx.state.supabase;
    let found = database.find_mcp_access(id, asker.as_mcp(), client.as_deref());
    match found.await? {
        FoundMcpAccess::Access(access) => Ok(access),
        FoundMcpAccess::TokenUnknown => Err(token_unknown()),
        FoundMcpAccess::TokenExpired => Err(token_expired()),
        FoundMcpAccess::NoAccess => Err(asker.refused(
            cx,
            "There is no such MCP server, or it is not open to you; its owner gives access",
        )),
    }
}

/// An application whose user has not let it in here, or may not themself: which of the two it is, only the user may know.
fn not_let_in(cx: &RequestContext, client: &str) -> ApiError {
    let server = &cx.path;
    let page = cx.state.config.site_url.as_ref().map(|site| {
        let (client, server) = (encode_segment(client), encode_segment(server));
        format!("{site}/oauth/grant?client_id={client}&server={server}")
    });
    let place = match &page {
        Some(page) => format!("at {page}"),
        None => "in the console, under connected applications".to_owned(),
    };
    let mut error = ApiError::with_message(
        ErrorCode::McpGrantRequired,
        format!(
            "You are signed in, and this application has not been let in to this MCP server. Its user can do that {place}; then try again"
        ),
    );
    error.details.get_or_insert_default().grant_url = page;
    error
}

fn token_unknown() -> ApiError {
    ApiError::with_message(
        ErrorCode::InvalidToken,
        "The access token is not one of this project, or was revoked",
    )
}

fn token_expired() -> ApiError {
    ApiError::with_message(ErrorCode::InvalidToken, "The access token has expired")
}

/// What the client that asks calls itself.
fn client(cx: &RequestContext) -> Option<String> {
    cx.headers.get("user-agent").map(client_name)
}

/// The access token that is presented, if it is meant to be one of ours.
fn token(headers: &Headers) -> Option<&str> {
    let (scheme, token) = headers.get("authorization")?.split_once(' ')?;
    Some(token.trim())
        .filter(|token| scheme.eq_ignore_ascii_case("bearer") && AccessToken::has_form(token))
}

/// What a client calls itself, as far as it is kept.
fn client_name(agent: &str) -> String {
    let legal = agent.chars().filter(|c| !c.is_control());
    legal.take(MAX_CLIENT).collect()
}

/// The headers that pass. Nobody's credentials are among them.
fn passed(given: &Headers) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in given.iter() {
        if PASSED.contains(&name) || name.starts_with(PREFIX) {
            headers.set_named(name.to_owned(), value);
        }
    }
    headers
}

/// Why there is no answer, in words for whoever uses the server. `status` is the instance's, where one was asked for.
fn failed(
    toolbox: &EnvironmentRow,
    status: Option<&str>,
    caller: &McpCaller,
    error: AgentError,
) -> ApiError {
    // An agent of before pins refuses callers that have some, rather than to let them in to whatever is listed.
    if !caller.pins.is_empty()
        && matches!(&error, AgentError::Problem(p) if p.code == ProblemCode::InvalidBody)
    {
        return ApiError::with_message(
            ErrorCode::AgentTooOld,
            "The tools of this MCP server are pinned, and the agent on its machine is too old to compare them; its owner redeploys the agent",
        )
        .caused_by(&error);
    }
    let is_unknown = error.is_instance_unknown();
    let is_slow = matches!(error, AgentError::Timeout(_));
    let is_gone = error.is_unreachable();
    let mut error = ApiError::from(error);
    if is_slow {
        error.message = Some(
            "The MCP server did not begin its answer in time, or its machine is gone. The call may have been carried out: \
             look at what it did before you make it again"
                .to_owned(),
        );
    } else if is_gone {
        let since = toolbox.unresponsive_since.as_deref();
        let since = since.map_or_else(String::new, |at| format!(" (last heard of at {at})"));
        error.message = Some(format!(
            "The machine of this MCP server does not answer{since}; try again when it is back"
        ));
    } else if let (true, Some(status)) = (is_unknown, status) {
        error = ApiError::with_message(
            ErrorCode::AgentUnreachable,
            format!("The machine does not hold this MCP server yet; its status is {status}"),
        );
    }
    error
}
