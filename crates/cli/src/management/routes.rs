//! Which of our own paths answers what.

use api_key_lb_control::observed::Request;
use api_key_lb_core::Moment;
use api_key_lb_core::fact::RequestId;
use api_key_lb_core::wire::reply::Reply;
use api_key_lb_engine::{ControlReply, ControlRequest};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::events::Events;
use super::gauges::gauges;
use super::{actions, charts, is_root, page, whole};
use crate::admin::{WHY_PATH, carries_token, refuse, wrong_method};
use crate::why::Asked;

/// How everything is.
pub(crate) const STATE_PATH: &str = "/_lb/state";
/// The latest requests; with an id behind it, one of them.
pub(crate) const REQUESTS_PATH: &str = "/_lb/requests";
const EVENTS_PATH: &str = "/_lb/events";
const CHARTS_PATH: &str = "/_lb/charts";
const METRICS_PATH: &str = "/_lb/metrics";
/// Requests told if nobody says how many …
const REQUESTS: usize = 100;
/// … and at most: all that are kept.
const MOST_REQUESTS: usize = api_key_lb_control::observed::MOST_REQUESTS;

/// Answers a request.
pub(super) async fn answer(events: &std::rc::Rc<Events>, request: ControlRequest) -> ControlReply {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        EVENTS_PATH if reads => events.open(),
        CHARTS_PATH if reads => whole(charts::answer(&events.sources, request.uri().query()).await),
        _ => whole(at_once(events, &request, reads)),
    }
}

fn at_once(events: &Events, request: &ControlRequest, reads: bool) -> Reply {
    let (path, headers) = (request.uri().path(), request.headers());
    let posts = *request.method() == Method::POST;
    match path {
        root if is_root(root) && reads && page::is_wanted(headers) => page::page(headers),
        root if is_root(root) && reads => Reply::json(StatusCode::OK, &contents()),
        STATE_PATH if reads => told(&events.state()),
        REQUESTS_PATH if reads => requests(events, request.uri().query()),
        METRICS_PATH if reads => metrics(events, headers.get(ACCEPT)),
        WHY_PATH if posts => why(events, request),
        WHY_PATH => wrong_method("POST"),
        STATE_PATH | REQUESTS_PATH | EVENTS_PATH | CHARTS_PATH | METRICS_PATH => {
            wrong_method("GET, HEAD")
        }
        root if is_root(root) => wrong_method("GET, HEAD"),
        path if page::has(path) && !reads => wrong_method("GET, HEAD"),
        path => page::file(path, headers)
            .or_else(|| actions::answer(&events.sources, request))
            .or_else(|| of_requests(events, path, reads))
            .unwrap_or_else(|| {
                refuse(
                    StatusCode::NOT_FOUND,
                    "no_such_path",
                    &format!("there is nothing at {path}; GET /_lb/ lists what there is"),
                )
            }),
    }
}

/// Something that was different a moment ago.
pub(super) fn told(value: &impl Serialize) -> Reply {
    Reply::json(StatusCode::OK, value).with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// The value of a parameter that needs no decoding.
pub(super) fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// Requests, newest first.
#[derive(Serialize)]
struct Latest<'r> {
    requests: Vec<&'r Request>,
}

fn requests(events: &Events, query: Option<&str>) -> Reply {
    let most = parameter(query, "limit").and_then(|most| most.parse().ok());
    let most = most.unwrap_or(REQUESTS).min(MOST_REQUESTS);
    let latest = events
        .sources
        .observed
        .requests(most, parameter(query, "session"));
    told(&Latest {
        requests: latest.iter().map(|request| &**request).collect(),
    })
}

fn of_requests(events: &Events, path: &str, reads: bool) -> Option<Reply> {
    let id = path.strip_prefix(REQUESTS_PATH)?.strip_prefix('/')?;
    if !reads {
        return Some(wrong_method("GET, HEAD"));
    }
    let observed = &events.sources.observed;
    let found = id.parse::<RequestId>();
    Some(match found.ok().and_then(|id| observed.request(id)) {
        Some(request) => told(&*request),
        None => refuse(
            StatusCode::NOT_FOUND,
            "no_such_request",
            &forgotten(observed.since(), events.sources.state.now()),
        ),
    })
}

fn forgotten(since: Option<Moment>, now: Moment) -> String {
    let kept = match since {
        Some(since) => {
            let ago = crate::render::long(now.since(since));
            format!("the oldest one that is remembered began {ago} ago")
        }
        None => "all since the proxy started are remembered".to_owned(),
    };
    format!(
        "no request of this id is remembered: the last {MOST_REQUESTS} that have ended are, and {kept}"
    )
}

fn why(events: &Events, request: &ControlRequest) -> Reply {
    if !carries_token(&events.sources.token, request.headers()) {
        return refuse(
            StatusCode::FORBIDDEN,
            "instance_token",
            "explaining needs the token of this instance; use `api-key-lb why` as the user who started it",
        );
    }
    let asked = serde_json::from_slice::<Asked>(request.body()).ok();
    match asked.and_then(|asked| (events.sources.why)(&asked)) {
        Some(why) => Reply::json(StatusCode::OK, &why),
        // Without the reason, which might quote a credential.
        None => refuse(
            StatusCode::BAD_REQUEST,
            "bad_question",
            "the body must be {\"method\", \"path\", \"headers\": [[name, value], …], \"body\": text}; \
             use `api-key-lb why --request FILE`",
        ),
    }
}

fn metrics(events: &Events, accept: Option<&HeaderValue>) -> Reply {
    let state = events.state();
    let started = events.sources.state.started();
    let gauges = gauges(&state, started);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    let rendered = events.sources.metrics.render(&gauges, accept);
    Reply {
        status: StatusCode::OK,
        headers: vec![(
            CONTENT_TYPE,
            HeaderValue::from_static(rendered.content_type),
        )],
        body: rendered.body,
    }
}

fn contents() -> Value {
    json!({
        "name": "api-key-lb",
        "version": env!("CARGO_PKG_VERSION"),
        "paths": {
            "GET /health": "how the proxy and its keys are doing",
            "GET /_lb/": "this list, or to a browser the dashboard",
            "GET /_lb/state": "keys, sessions, sums and problems",
            "GET /_lb/requests": "the latest requests, newest first; ?limit=N&session=ID",
            "GET /_lb/requests/ID": "one of them, by its x-lb-request-id",
            "GET /_lb/events": "both of these as they change (server-sent events)",
            "GET /_lb/charts": "how it went; ?span=1h, 24h or 30d",
            "GET /_lb/metrics": "metrics for Prometheus",
            "POST /_lb/keys/FINGERPRINT/disable": "takes a key out of use; needs the token of the instance, as all that follow",
            "POST /_lb/keys/FINGERPRINT/enable": "undoes that",
            "POST /_lb/keys/FINGERPRINT/forget": "ends its account's cooldown or refusal",
            "POST /_lb/sessions/FULLID/unpin": "has a session find a home anew",
            "POST /_lb/why": "explains what would become of a request; `api-key-lb why` knows the token",
            "POST /_lb/reload": "reads the configuration again, as `api-key-lb reload`",
            "POST /_lb/restart": "hands over to a new process, as `api-key-lb restart`",
            "GET /_lb/orders/NUMBER": "what came of such an order",
            "POST /_lb/stop": "stops the proxy, as `api-key-lb stop`",
        },
    })
}
