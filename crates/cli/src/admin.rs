//! What a worker answers itself: `/health`, and orders to the process. The other paths under `/_lb/`
//! are answered by [`crate::management`].

use std::sync::Arc;

use api_key_lb_control::health::Health;
use api_key_lb_core::Secret;
use api_key_lb_core::wire::reply::{ERROR_HEADER, Reply};
use api_key_lb_engine::ControlRequest;
use http::header::{ALLOW, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::desk::{Desk, Order, Standing};
use crate::why::{Asked, Why};

/// Asks the process to stop; needs the token of the instance.
pub(crate) const STOP_PATH: &str = "/_lb/stop";
/// Has the process read its configuration again; needs the token of the instance.
pub(crate) const RELOAD_PATH: &str = "/_lb/reload";
/// Has the process hand over to a new one; needs the token of the instance.
pub(crate) const RESTART_PATH: &str = "/_lb/restart";
/// What came of an order, whose number follows; needs the token of the instance.
pub(crate) const ORDERS_PATH: &str = "/_lb/orders/";
/// Explains what would become of a request; needs the token of the instance.
pub(crate) const WHY_PATH: &str = "/_lb/why";
/// Where how it is going is told.
pub(crate) const HEALTH_PATH: &str = "/health";
/// The header that may carry the token of the instance besides `Authorization: Bearer`, which is
/// taken when the proxy wants a client token too.
pub(crate) const TOKEN_HEADER: &str = "x-lb-token";

/// Explains a request.
pub(crate) type Explain = Arc<dyn Fn(&Asked) -> Option<Why> + Send + Sync>;

/// What these paths can see and do.
pub(crate) struct Admin {
    /// What `/health` answers now.
    pub(crate) health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// What a request that needs the token of the instance must carry.
    pub(crate) token: Secret,
    /// Takes what the process shall do.
    pub(crate) desk: Arc<Desk>,
}

impl Admin {
    /// The answer, if it is one that can be given at once; the other paths are answered elsewhere.
    pub(crate) fn answer(&self, request: &ControlRequest) -> Option<Reply> {
        let read = *request.method() == Method::GET || *request.method() == Method::HEAD;
        let posts = *request.method() == Method::POST;
        Some(match request.uri().path() {
            HEALTH_PATH if read => Reply::json(StatusCode::OK, &(self.health)()),
            STOP_PATH if posts => self.take(Order::Stop, request.headers()),
            RELOAD_PATH if posts => self.take(Order::Reload, request.headers()),
            RESTART_PATH if posts => self.take(Order::Restart, request.headers()),
            HEALTH_PATH => wrong_method("GET, HEAD"),
            STOP_PATH | RELOAD_PATH | RESTART_PATH => wrong_method("POST"),
            path if path.starts_with(ORDERS_PATH) && read => self.outcome(request),
            _ => return None,
        })
    }

    /// Takes an order: it is carried out elsewhere, since a worker must not be held up.
    fn take(&self, order: Order, headers: &HeaderMap) -> Reply {
        let (doing, command) = match order {
            Order::Stop => ("stopping", "stop"),
            Order::Reload => ("reloading", "reload"),
            Order::Restart => ("restarting", "restart"),
        };
        if !self.carries_token(headers) {
            return refuse(
                StatusCode::FORBIDDEN,
                "instance_token",
                &format!(
                    "{doing} needs the token of this instance; use `api-key-lb {command}` as the user who started it"
                ),
            );
        }
        let number = self.desk.order(order);
        Reply::json(
            StatusCode::ACCEPTED,
            &json!({"status": doing, "order": number}),
        )
    }

    /// What came of an order.
    fn outcome(&self, request: &ControlRequest) -> Reply {
        if !self.carries_token(request.headers()) {
            return refuse(
                StatusCode::FORBIDDEN,
                "instance_token",
                "what came of an order is told with the token of this instance only",
            );
        }
        let number = request.uri().path().strip_prefix(ORDERS_PATH);
        let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        match self.desk.standing(number) {
            Standing::Open => Reply::json(StatusCode::OK, &json!({"done": false})),
            Standing::Done(outcome) => {
                Reply::json(StatusCode::OK, &json!({"done": true, "outcome": outcome}))
            }
            Standing::Unknown => refuse(
                StatusCode::NOT_FOUND,
                "no_such_order",
                "there is no order of that number, or it was too long ago",
            ),
        }
    }

    /// Whether a request carries the token of the instance.
    pub(crate) fn carries_token(&self, headers: &HeaderMap) -> bool {
        carries_token(&self.token, headers)
    }
}

/// Whether a request carries this token.
pub(crate) fn carries_token(token: &Secret, headers: &HeaderMap) -> bool {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let own = headers.get(TOKEN_HEADER).map(HeaderValue::as_bytes);
    [bearer, own]
        .into_iter()
        .flatten()
        .any(|offered| token.matches(offered))
}

pub(crate) fn wrong_method(allowed: &'static str) -> Reply {
    refuse(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        &format!("this path takes {allowed}"),
    )
    .with(ALLOW, HeaderValue::from_static(allowed))
}

pub(crate) fn refuse(status: StatusCode, code: &'static str, message: &str) -> Reply {
    let body = json!({"error": {"message": message, "type": "api_key_lb_error", "code": code}});
    Reply::json(status, &body).with(ERROR_HEADER, HeaderValue::from_static(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> (Admin, Arc<Desk>) {
        let desk = Arc::new(Desk::default());
        let admin = Admin {
            health: Arc::new(|| {
                serde_json::from_value(json!({
                    "status": "ok", "target": "https://h", "keys": [], "sessions": 0, "uptime_ms": 1
                }))
                .unwrap()
            }),
            token: Secret::new("the-token".into()),
            desk: desk.clone(),
        };
        (admin, desk)
    }

    fn ask(
        admin: &Admin,
        method: Method,
        path: &str,
        header: Option<(&'static str, &str)>,
    ) -> Reply {
        let mut request = ControlRequest::default();
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        admin.answer(&request).unwrap()
    }

    fn stops(desk: &Desk) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::select! {
                biased;
                (_, order) = desk.next() => order == Order::Stop,
                () = std::future::ready(()) => false,
            }
        })
    }

    #[test]
    fn health_is_indented_json_with_the_old_fields_first() {
        let reply = ask(&admin().0, Method::GET, "/health", None);
        assert_eq!(reply.status.as_u16(), 200);
        assert!(
            reply
                .body
                .starts_with("{\n  \"status\": \"ok\",\n  \"target\"")
        );
    }

    #[test]
    fn only_the_token_of_the_instance_stops_it() {
        let (admin, stop) = admin();
        for header in [
            None,
            Some(("authorization", "Bearer other")),
            Some(("x-lb-token", "the-toke")),
        ] {
            assert_eq!(
                ask(&admin, Method::POST, STOP_PATH, header).status.as_u16(),
                403
            );
            assert!(!stops(&stop));
        }
        for header in [
            ("authorization", "Bearer the-token"),
            ("x-lb-token", "the-token"),
        ] {
            assert_eq!(
                ask(&admin, Method::POST, STOP_PATH, Some(header))
                    .status
                    .as_u16(),
                202
            );
            assert!(stops(&stop));
        }
    }

    #[test]
    fn an_order_gets_a_number_under_which_its_outcome_is_told_to_who_has_the_token() {
        let (admin, desk) = admin();
        let token = Some(("x-lb-token", "the-token"));
        for path in [RELOAD_PATH, RESTART_PATH] {
            assert_eq!(ask(&admin, Method::POST, path, None).status.as_u16(), 403);
            let reply = ask(&admin, Method::POST, path, token);
            assert_eq!(reply.status.as_u16(), 202);
        }
        let told = |number: &str, header| {
            ask(
                &admin,
                Method::GET,
                &format!("{ORDERS_PATH}{number}"),
                header,
            )
        };
        assert!(told("1", token).body.contains("\"done\": false"));
        desk.done(1, crate::desk::Outcome::failed("because"));
        assert!(told("1", token).body.contains("because"));
        assert_eq!(told("1", None).status.as_u16(), 403);
        for number in ["0", "3", "x"] {
            assert_eq!(told(number, token).status.as_u16(), 404);
        }
    }

    #[test]
    fn a_wrong_method_is_told_what_is_right() {
        let (admin, stop) = admin();
        let reply = ask(
            &admin,
            Method::GET,
            STOP_PATH,
            Some(("x-lb-token", "the-token")),
        );
        assert_eq!(reply.status.as_u16(), 405);
        assert!(
            reply
                .headers
                .iter()
                .any(|(name, value)| name == ALLOW && value == "POST")
        );
        assert!(!stops(&stop));
        assert_eq!(
            ask(&admin, Method::DELETE, "/health", None).status.as_u16(),
            405
        );
    }
}
