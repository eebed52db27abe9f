//! What the use cases need, from the function's state and the request's context.

use std::sync::Arc;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::keys::request_fingerprint;
use toolbox_edge::RequestContext;
use toolbox_edge::host::Host as EdgeHost;
use toolbox_http::BoxFuture;
use toolbox_instances::last_resort::SshExecutor;
use toolbox_instances::reach::HttpsAgents;
use toolbox_instances::{Host, Idempotency, Instances, UserRequest};

/// The use cases, for one request.
pub(crate) fn instances(cx: &RequestContext) -> Result<Instances, ApiError> {
    let state = &cx.state;
    let agents = state.config.agents.as_ref()?;
    Ok(Instances {
        database: Arc::clone(&state.supabase),
        clock: Arc::clone(&state.clock),
        agents: Arc::new(HttpsAgents {
            transport: Arc::clone(&state.transport),
            deadline: state.config.upstream_timeout,
            root_secret: agents.root_secret.clone(),
            previous_root_secret: agents.previous_root_secret.clone(),
        }),
        last_resort: Some(Arc::new(SshExecutor {
            transport: Arc::clone(&state.transport),
            supabase_url: state.config.supabase_url.clone(),
            publishable_key: state.config.publishable_key.clone(),
        })),
        host: Arc::new(FunctionHost(Arc::clone(&state.host))),
    })
}

/// The request of the user, where it reads.
pub(crate) fn read_request(cx: &RequestContext) -> Result<UserRequest, ApiError> {
    let caller = cx.caller()?;
    Ok(UserRequest {
        id: Arc::clone(&cx.request_id),
        user: caller.user,
        token: Arc::clone(&caller.token),
        idempotency: None,
        wait: None,
    })
}

/// The request of the user, where it changes something.
pub(crate) async fn change_request(cx: &RequestContext) -> Result<UserRequest, ApiError> {
    let wait = cx.wait()?;
    let idempotency = match cx.idempotency_key()? {
        Some(key) => {
            let text = request_text(cx, cx.body().await?);
            let roots = cx.state.config.agents.as_ref()?.roots();
            let fingerprint = |root| {
                request_fingerprint(root, &text)
                    .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))
            };
            Some(Idempotency {
                key: key.to_owned(),
                fingerprint: fingerprint(roots.current)?,
                former_fingerprint: roots.previous.map(fingerprint).transpose()?,
            })
        }
        None => None,
    };
    Ok(UserRequest {
        idempotency,
        wait,
        ..read_request(cx)?
    })
}

/// Method, path and body: what a key of the caller counts for.
fn request_text(cx: &RequestContext, body: &[u8]) -> Vec<u8> {
    [cx.method.as_bytes(), cx.path.as_bytes(), body].join(&0)
}

struct FunctionHost(Arc<dyn EdgeHost>);

impl Host for FunctionHost {
    fn random_bytes(&self) -> [u8; 16] {
        self.0.random_bytes()
    }

    fn background(&self, work: BoxFuture<'static, ()>) {
        self.0.background(work);
    }

    fn log(&self, request_id: &str, what: &str, error: &ApiError) {
        toolbox_edge::context::log_error(&*self.0, what, request_id, error);
    }
}
