//! What a person can do to keys and sessions while the proxy runs; needs the token of the instance.

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::SessionId;
use api_key_lb_core::wire::reply::Reply;
use api_key_lb_engine::ControlRequest;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::Sources;
use crate::admin::{carries_token, refuse, wrong_method};

const KEYS: &str = "/_lb/keys/";
const SESSIONS: &str = "/_lb/sessions/";

/// What is to be done.
enum Action {
    Disable(Option<KeyId>, bool),
    Forget(Option<KeyId>),
    Unpin(Option<SessionId>),
}

impl Action {
    fn of(path: &str) -> Option<Self> {
        if let Some((key, verb)) = path
            .strip_prefix(KEYS)
            .and_then(|rest| rest.split_once('/'))
        {
            let key = KeyId::shown(key);
            return match verb {
                "disable" => Some(Self::Disable(key, true)),
                "enable" => Some(Self::Disable(key, false)),
                "forget" => Some(Self::Forget(key)),
                _ => None,
            };
        }
        let session = path.strip_prefix(SESSIONS)?.strip_suffix("/unpin")?;
        Some(Self::Unpin(SessionId::of_full(session)))
    }

    /// Does it; whether there is what it is about.
    fn carry_out(&self, sources: &Sources) -> bool {
        let state = &sources.state;
        match *self {
            Self::Disable(key, disabled) => key.is_some_and(|key| state.disable(key, disabled)),
            Self::Forget(key) => key.is_some_and(|key| state.forget(key)),
            Self::Unpin(session) => session.is_some_and(|session| {
                sources.observed.unpinned(session);
                state.unpin(session)
            }),
        }
    }
}

/// Answers a request for an action, if it is one.
pub(super) fn answer(sources: &Sources, request: &ControlRequest) -> Option<Reply> {
    let action = Action::of(request.uri().path())?;
    if *request.method() != Method::POST {
        return Some(wrong_method("POST"));
    }
    if !carries_token(&sources.token, request.headers()) {
        return Some(refuse(
            StatusCode::FORBIDDEN,
            "instance_token",
            "this needs the token of this instance; `api-key-lb dashboard` opens a page that has it",
        ));
    }
    if !request.body().is_empty() && !is_json(request.headers()) {
        return Some(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type",
            "the body must be empty, or of the type application/json",
        ));
    }
    Some(if action.carry_out(sources) {
        Reply::json(StatusCode::OK, &json!({"done": true}))
    } else {
        let what = match action {
            Action::Unpin(_) => ("no_such_session", "no session of this id has a home"),
            _ => (
                "no_such_key",
                "the configuration has no key of this fingerprint",
            ),
        };
        refuse(
            StatusCode::NOT_FOUND,
            what.0,
            &format!("{}; GET /_lb/state names those that there are", what.1),
        )
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
