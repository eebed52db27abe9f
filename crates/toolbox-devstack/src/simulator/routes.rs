//! The table of DigitalOcean's paths that the simulator answers, and what stands before all of them: the token, the rate, the
//! faults that a test has asked for.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query as UrlQuery, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::account::{Account, Droplet, Refusal, What};
use super::catalog::{IMAGES, Image, REGIONS, Region, SIZES, Size};
use super::faults::{Fault, Instead, MachineFault, strike};
use super::rate::Told;
use super::wire::{Query, error, page};
use super::{Asked, Simulator, lock, now};

/// How long a request that gets no answer is kept open.
const SILENCE: Duration = Duration::from_mins(1);

type Sim = State<Arc<Simulator>>;
type Answer = Result<Response, Refusal>;

pub(super) fn router(simulator: Arc<Simulator>) -> Router {
    let api = Router::new()
        .route("/account", get(account))
        .route("/account/keys", get(keys).post(add_key))
        .route("/account/keys/{key}", get(key).delete(delete_key))
        .route("/actions/{id}", get(action))
        .route("/droplets", get(droplets).post(order).delete(delete_by_tag))
        .route("/droplets/{id}", get(droplet).delete(delete_droplet))
        .route("/droplets/{id}/actions", get(actions_of).post(act))
        .route("/droplets/{id}/actions/{action}", get(action_of))
        .route("/droplets/{id}/firewalls", get(firewalls_of))
        .route("/firewalls", get(firewalls).post(make_firewall))
        .route(
            "/firewalls/{id}",
            get(firewall).put(put_firewall).delete(delete_firewall),
        )
        .route("/images", get(images))
        .route("/images/{image}", get(image))
        .route("/regions", get(regions))
        .route("/sizes", get(sizes))
        .route("/tags", get(tags).post(make_tag))
        .route("/tags/{tag}", get(tag).delete(delete_tag))
        .fallback(async || Refusal::NotFound)
        .layer(DefaultBodyLimit::max(1024 * 1024))
        .layer(from_fn_with_state(Arc::clone(&simulator), guard));
    let own = Router::new()
        .route("/faults", get(faults).put(set_faults))
        .route("/settings", put(set_settings))
        .route("/requests", get(asked))
        .route("/droplets", get(machines))
        .route("/droplets/{id}/address", put(set_address))
        .layer(from_fn_with_state(Arc::clone(&simulator), only_with_token));
    Router::new()
        .nest("/v2", api)
        .nest("/simulator", own)
        .with_state(simulator)
}

fn has_token(simulator: &Simulator, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    given == Some(&format!("Bearer {}", simulator.token))
}

fn unauthorised() -> Response {
    let text = "Unable to authenticate you";
    error(StatusCode::UNAUTHORIZED, "unauthorized", text)
}

async fn only_with_token(State(simulator): Sim, request: Request, next: Next) -> Response {
    if has_token(&simulator, request.headers()) {
        next.run(request).await
    } else {
        unauthorised()
    }
}

/// Stands before DigitalOcean's routes.
async fn guard(State(simulator): Sim, mut request: Request, next: Next) -> Response {
    let method = request.method().to_string();
    // Nested routes see the path behind `/v2`.
    let path = format!("/v2{}", request.uri().path());
    let mut answer = if has_token(&simulator, request.headers()) {
        let told = lock(&simulator.rate).take(now());
        let mut answer = if let Some(wait) = told.wait {
            too_many(wait)
        } else {
            let fault = strike(&mut lock(&simulator.faults), &method, &path);
            if let Some(machine) = fault.as_ref().and_then(|fault| fault.machine) {
                request.extensions_mut().insert(machine);
            }
            struck(fault, next.run(request)).await
        };
        tell(&mut answer, told);
        answer
    } else {
        unauthorised()
    };
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        answer.headers_mut().insert("x-request-id", id);
    }
    let status = answer.status().as_u16();
    simulator.remember(Asked {
        method,
        path,
        status,
    });
    answer
}

/// The answer that `carry_out` gives, or what a fault makes of it.
async fn struck(fault: Option<Fault>, carry_out: impl Future<Output = Response>) -> Response {
    let Some(fault) = fault else {
        return carry_out.await;
    };
    let Some(instead) = fault.answer else {
        return carry_out.await;
    };
    if fault.carried_out {
        carry_out.await;
    }
    match instead {
        Instead::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = if status == StatusCode::TOO_MANY_REQUESTS {
                error(status, "too_many_requests", "API rate limit exceeded.")
            } else {
                error(
                    status,
                    "server_error",
                    "The simulator was told to answer this.",
                )
            };
            if let Some(wait) = fault.retry_after {
                answer
                    .headers_mut()
                    .insert(header::RETRY_AFTER, wait.into());
            }
            answer
        }
        Instead::Silence => {
            sleep(SILENCE).await;
            error(
                StatusCode::GATEWAY_TIMEOUT,
                "server_error",
                "Gateway timeout",
            )
        }
        Instead::Cut => {
            let cut = std::io::Error::other("the simulator was told to cut this answer");
            let mut answer =
                Body::from_stream(stream::iter([Ok(Bytes::from_static(b"{")), Err(cut)]))
                    .into_response();
            answer.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            answer
        }
    }
}

fn too_many(wait: u64) -> Response {
    let text = "API rate limit exceeded.";
    let mut answer = error(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", text);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, wait.into());
    answer
}

fn tell(answer: &mut Response, told: Told) {
    let headers = answer.headers_mut();
    headers.insert("ratelimit-limit", told.limit.into());
    headers.insert("ratelimit-remaining", told.remaining.into());
    headers.insert("ratelimit-reset", told.reset.into());
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::BadRequest(format!("error parsing request body: {error}")))
}

/// Where a list is, as its links say.
fn url(headers: &HeaderMap, list: &str) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}/v2/{list}", host.unwrap_or("localhost"))
}

fn with(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

fn found(body: Value) -> Response {
    with(StatusCode::OK, body)
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

async fn account() -> Response {
    found(json!({ "account": Account::view() }))
}

async fn keys(
    State(simulator): Sim,
    UrlQuery(query): UrlQuery<Query>,
    headers: HeaderMap,
) -> Json<Value> {
    let all = lock(&simulator.account).keys();
    page("ssh_keys", all, &query, &url(&headers, "account/keys"))
}

#[derive(Deserialize)]
struct NewKey {
    #[serde(default)]
    name: String,
    #[serde(default)]
    public_key: String,
}

async fn add_key(State(simulator): Sim, body: Bytes) -> Answer {
    let new: NewKey = parse(&body)?;
    let key = lock(&simulator.account).add_key(&new.name, &new.public_key)?;
    Ok(with(StatusCode::CREATED, json!({ "ssh_key": key })))
}

async fn key(State(simulator): Sim, Path(key): Path<String>) -> Answer {
    let key = lock(&simulator.account).show_key(&key)?;
    Ok(found(json!({ "ssh_key": key })))
}

async fn delete_key(State(simulator): Sim, Path(key): Path<String>) -> Answer {
    lock(&simulator.account).delete_key(&key)?;
    Ok(done())
}

async fn action(State(simulator): Sim, Path(id): Path<u64>) -> Answer {
    let action = lock(&simulator.account).action(id)?;
    Ok(found(json!({ "action": action })))
}

async fn action_of(State(simulator): Sim, Path((droplet, id)): Path<(u64, u64)>) -> Answer {
    let action = lock(&simulator.account).action(id)?;
    if action["resource_id"] != droplet {
        return Err(Refusal::NotFound);
    }
    Ok(found(json!({ "action": action })))
}

async fn droplets(
    State(simulator): Sim,
    UrlQuery(query): UrlQuery<Query>,
    headers: HeaderMap,
) -> Json<Value> {
    let is_asked_for = |droplet: &&Droplet| {
        query
            .tag_name
            .as_ref()
            .is_none_or(|tag| droplet.tags.contains(tag))
            && query.name.as_ref().is_none_or(|name| droplet.name == *name)
    };
    let listed = lock(&simulator.account).listed(now());
    let all = listed.iter().filter(is_asked_for).map(Droplet::view);
    page(
        "droplets",
        all.collect(),
        &query,
        &url(&headers, "droplets"),
    )
}

async fn order(
    State(simulator): Sim,
    fault: Option<Extension<MachineFault>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fault = fault.map(|Extension(fault)| fault);
    let (droplet, action) = simulator.order(parse(&body)?, fault)?;
    let href = url(&headers, &format!("actions/{action}"));
    let links = json!({ "actions": [{ "id": action, "rel": "create", "href": href }] });
    let body = json!({ "droplet": droplet.view(), "links": links });
    Ok(with(StatusCode::ACCEPTED, body))
}

async fn delete_by_tag(State(simulator): Sim, UrlQuery(query): UrlQuery<Query>) -> Answer {
    let Some(tag) = query.tag_name else {
        let text = "tag_name is required".to_owned();
        return Err(Refusal::Unprocessable(text));
    };
    let has_tag = |droplet: &&Droplet| droplet.tags.contains(&tag);
    let ids: Vec<u64> = lock(&simulator.account)
        .droplets()
        .filter(has_tag)
        .map(|droplet| droplet.id)
        .collect();
    for id in ids {
        simulator.delete(id)?;
    }
    Ok(done())
}

async fn droplet(State(simulator): Sim, Path(id): Path<u64>) -> Answer {
    let view = lock(&simulator.account).droplet(id)?.view();
    Ok(found(json!({ "droplet": view })))
}

async fn delete_droplet(State(simulator): Sim, Path(id): Path<u64>) -> Answer {
    simulator.delete(id)?;
    Ok(done())
}

async fn actions_of(
    State(simulator): Sim,
    Path(id): Path<u64>,
    UrlQuery(query): UrlQuery<Query>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let all = lock(&simulator.account).actions_of(id)?;
    let url = url(&headers, &format!("droplets/{id}/actions"));
    Ok(page("actions", all, &query, &url))
}

async fn act(State(simulator): Sim, Path(id): Path<u64>, body: Bytes) -> Answer {
    let what: What = serde_json::from_slice(&body).map_err(|_| {
        let text = "You specified an invalid action, or one that the simulator does not know.";
        Refusal::Unprocessable(text.to_owned())
    })?;
    let action = simulator.act(id, what)?;
    let action = lock(&simulator.account).action(action)?;
    Ok(with(StatusCode::CREATED, json!({ "action": action })))
}

async fn firewalls_of(
    State(simulator): Sim,
    Path(id): Path<u64>,
    UrlQuery(query): UrlQuery<Query>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let all = lock(&simulator.account).firewalls_of(id)?;
    let url = url(&headers, &format!("droplets/{id}/firewalls"));
    Ok(page("firewalls", all, &query, &url))
}

async fn firewalls(
    State(simulator): Sim,
    UrlQuery(query): UrlQuery<Query>,
    headers: HeaderMap,
) -> Json<Value> {
    let all = lock(&simulator.account).firewalls();
    page("firewalls", all, &query, &url(&headers, "firewalls"))
}

async fn make_firewall(State(simulator): Sim, body: Bytes) -> Answer {
    let id = Uuid::new_v4().to_string();
    let made = lock(&simulator.account).put_firewall(&id, parse(&body)?, now())?;
    Ok(with(StatusCode::ACCEPTED, json!({ "firewall": made })))
}

async fn firewall(State(simulator): Sim, Path(id): Path<String>) -> Answer {
    let view = lock(&simulator.account).firewall(&id)?;
    Ok(found(json!({ "firewall": view })))
}

async fn put_firewall(State(simulator): Sim, Path(id): Path<String>, body: Bytes) -> Answer {
    let mut account = lock(&simulator.account);
    account.firewall(&id)?;
    let changed = account.put_firewall(&id, parse(&body)?, now())?;
    Ok(found(json!({ "firewall": changed })))
}

async fn delete_firewall(State(simulator): Sim, Path(id): Path<String>) -> Answer {
    lock(&simulator.account).delete_firewall(&id)?;
    Ok(done())
}

async fn images(UrlQuery(query): UrlQuery<Query>, headers: HeaderMap) -> Json<Value> {
    let all = IMAGES.iter().map(Image::view).collect();
    page("images", all, &query, &url(&headers, "images"))
}

async fn image(Path(image): Path<String>) -> Answer {
    let image = Image::find(&image).ok_or(Refusal::NotFound)?;
    Ok(found(json!({ "image": image.view() })))
}

async fn regions(UrlQuery(query): UrlQuery<Query>, headers: HeaderMap) -> Json<Value> {
    let all = REGIONS.iter().map(Region::view).collect();
    page("regions", all, &query, &url(&headers, "regions"))
}

async fn sizes(UrlQuery(query): UrlQuery<Query>, headers: HeaderMap) -> Json<Value> {
    let all = SIZES.iter().map(Size::view).collect();
    page("sizes", all, &query, &url(&headers, "sizes"))
}

async fn tags(
    State(simulator): Sim,
    UrlQuery(query): UrlQuery<Query>,
    headers: HeaderMap,
) -> Json<Value> {
    let all = lock(&simulator.account).tags();
    page("tags", all, &query, &url(&headers, "tags"))
}

#[derive(Deserialize)]
struct NewTag {
    #[serde(default)]
    name: String,
}

async fn make_tag(State(simulator): Sim, body: Bytes) -> Answer {
    let new: NewTag = parse(&body)?;
    let tag = lock(&simulator.account).make_tag(&new.name)?;
    Ok(with(StatusCode::CREATED, json!({ "tag": tag })))
}

async fn tag(State(simulator): Sim, Path(tag): Path<String>) -> Answer {
    let tag = lock(&simulator.account).tag(&tag)?;
    Ok(found(json!({ "tag": tag })))
}

async fn delete_tag(State(simulator): Sim, Path(tag): Path<String>) -> Answer {
    lock(&simulator.account).delete_tag(&tag)?;
    Ok(done())
}

async fn faults(State(simulator): Sim) -> Response {
    found(json!(*lock(&simulator.faults)))
}

async fn set_faults(State(simulator): Sim, body: Bytes) -> Answer {
    *lock(&simulator.faults) = parse(&body)?;
    Ok(done())
}

async fn set_settings(State(simulator): Sim, body: Bytes) -> Answer {
    simulator.change(&parse(&body)?);
    Ok(done())
}

async fn asked(State(simulator): Sim) -> Response {
    found(json!(*lock(&simulator.asked)))
}

async fn machines(State(simulator): Sim) -> Response {
    let account = lock(&simulator.account);
    let all = account.droplets().map(|droplet| {
        let mut view = droplet.view();
        view["user_data"] = droplet.user_data.clone().into();
        view["public_keys"] = droplet.public_keys.clone().into();
        view
    });
    found(all.collect())
}

async fn set_address(State(simulator): Sim, Path(id): Path<u64>, body: Bytes) -> Answer {
    lock(&simulator.account).move_droplet(id, parse(&body)?)?;
    Ok(done())
}
