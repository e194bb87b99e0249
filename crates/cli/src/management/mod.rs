//! The thread that answers our own paths, so that nobody who looks on delays a token: a worker hands a
//! request over and passes on what comes back.
//!
//! `/health` and orders are answered by the worker itself: they cost next to nothing, and must be answered
//! whatever this thread is busy with.

mod actions;
mod charts;
mod events;
mod gauges;
mod page;
mod routes;
mod sources;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_control::metrics::Metrics;
use api_key_lb_control::observed::{Observed, Spent};
use api_key_lb_control::otlp::Outbox;
use api_key_lb_control::prices::Prices;
use api_key_lb_core::fact::{Fact, Usage};
use api_key_lb_core::wire::reply::Reply;
use api_key_lb_core::{KeyId, Plan, Secret};
use api_key_lb_engine::{
    ControlAnswer, ControlBody, ControlPaths, ControlReply, ControlRequest, TakenBody,
};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::admin::{Admin, WHY_PATH, refuse};
use crate::priority;

use events::Events;

pub(crate) use routes::{REQUESTS_PATH, STATE_PATH};
pub(crate) use sources::Sources;

/// Where our own paths are.
const OWN_PATHS: &str = "/_lb/";
/// Requests that wait for this thread, or are being answered by it.
const MOST_WAITING: usize = 64;
/// When one that found no room shall ask again, in seconds.
const ASK_AGAIN: &str = "1";
/// How long the thread may take to end.
const END: Duration = Duration::from_millis(500);

/// The thread, as its process sees it. It ends with the last worker.
#[derive(Debug)]
pub(crate) struct Management {
    ending: watch::Sender<bool>,
    observer: Observer,
}

/// Who is told of requests that have ended.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    observed: Arc<Observed>,
    metrics: Arc<Metrics>,
    outbox: Option<Arc<Outbox>>,
    seen: Arc<Notify>,
    token: Secret,
}

impl Observer {
    /// Takes in what `facts` say.
    pub(crate) fn observe(
        &self,
        facts: &[Fact],
        label_of: &dyn Fn(KeyId) -> String,
        prices: &Prices,
    ) {
        if facts.is_empty() {
            return;
        }
        let price = |model: &str, usage: &Usage| {
            prices.cost(model, usage).map(|cost| Spent {
                cost_usd: cost.cost_usd,
                saved_usd: cost.saved_usd(),
            })
        };
        self.observed.observe(facts, label_of, &price);
        self.metrics.observe(facts, prices, label_of);
        if let Some(outbox) = &self.outbox {
            outbox.observe(facts, &self.metrics);
        }
        self.seen.notify_waiters();
    }

    /// The token of this instance, which nobody is told.
    pub(crate) const fn token(&self) -> &Secret {
        &self.token
    }

    /// Keys are called as in `plan` from now on.
    pub(crate) fn learn(&self, plan: &Plan) {
        if let Some(outbox) = &self.outbox {
            outbox.learn(plan);
        }
    }

    /// The configuration was read again.
    pub(crate) fn reloaded(&self, successfully: bool) {
        self.metrics.reloaded(successfully);
    }
}

/// A request that was handed over.
struct Job {
    request: ControlRequest,
    reply: oneshot::Sender<ControlReply>,
    _room: OwnedSemaphorePermit,
}

/// What a worker asks.
struct Paths {
    admin: Admin,
    jobs: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

impl Management {
    /// Starts it.
    ///
    /// # Errors
    /// If there can be no further thread, or no runtime for it.
    pub(crate) fn start(
        admin: Admin,
        sources: Sources,
    ) -> std::io::Result<(Self, Arc<dyn ControlPaths>)> {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let (ending, ends) = watch::channel(false);
        let observer = Observer {
            observed: sources.observed.clone(),
            metrics: sources.metrics.clone(),
            outbox: sources.outbox.clone(),
            seen: Arc::new(Notify::new()),
            token: sources.token.clone(),
        };
        let runtime = || {
            Builder::new_current_thread()
                .enable_time()
                .max_blocking_threads(1)
                .build_local(LocalOptions::default())
        };
        // Made there, since it must not leave its thread; whether it could be made is told.
        let (ready, made) = std::sync::mpsc::sync_channel(1);
        let heard = observer.seen.clone();
        std::thread::Builder::new()
            .name("management".to_owned())
            .spawn(move || match runtime() {
                Ok(runtime) => {
                    priority::give_way();
                    let _ = ready.send(Ok(()));
                    let events = Events::new(sources, heard, ends);
                    runtime.block_on(serve(Rc::new(events), waiting));
                    runtime.shutdown_timeout(END);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })?;
        made.recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread ended at once")))?;
        let paths = Paths {
            admin,
            jobs,
            room: Arc::new(Semaphore::new(MOST_WAITING)),
        };
        Ok((Self { ending, observer }, Arc::new(paths)))
    }

    /// Who is told of requests that have ended.
    pub(crate) const fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Ends the streams of events, which would last: the workers are to end.
    pub(crate) fn end_streams(&self) {
        self.ending.send_replace(true);
    }
}

async fn serve(events: Rc<Events>, mut waiting: mpsc::UnboundedReceiver<Job>) {
    // Ends when the last worker does, which holds the other end.
    while let Some(job) = waiting.recv().await {
        let events = events.clone();
        tokio::task::spawn_local(async move {
            let reply = routes::answer(&events, job.request).await;
            // Fails if whoever asked has left.
            let _ = job.reply.send(reply);
        });
    }
}

impl ControlPaths for Paths {
    fn admits(&self, method: &Method, path: &str, headers: &HeaderMap) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let is_page = page::has(path) || (is_root(path) && page::is_wanted(headers));
        (reads && is_page) || self.admin.carries_token(headers)
    }

    fn takes(&self, method: &Method, path: &str, headers: &HeaderMap) -> TakenBody {
        match path {
            _ if *method != Method::POST => TakenBody::Nothing,
            // Who asks without the token is refused whatever it sends.
            WHY_PATH if self.admin.carries_token(headers) => TakenBody::Much,
            WHY_PATH => TakenBody::Nothing,
            _ => TakenBody::Little,
        }
    }

    fn answer(&self, request: ControlRequest) -> ControlAnswer {
        if let Some(reply) = self.admin.answer(&request) {
            return ControlAnswer::Now(reply);
        }
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            return ControlAnswer::Now(busy());
        };
        let (reply, answer) = oneshot::channel();
        let job = Job {
            request,
            reply,
            _room: room,
        };
        // Fails only if the thread is gone; then the other end says so.
        let _ = self.jobs.send(job);
        ControlAnswer::Later(answer)
    }
}

fn is_root(path: &str) -> bool {
    path == "/_lb" || path == OWN_PATHS
}

fn busy() -> Reply {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "too many requests to the proxy's own paths wait already; ask again in a second",
    )
    .with(RETRY_AFTER, HeaderValue::from_static(ASK_AGAIN))
}

/// An answer that is here whole.
fn whole(reply: Reply) -> ControlReply {
    let mut response = Response::new(ControlBody::Whole(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a worker asks where so many requests may wait, and those that do.
    fn paths(room: usize) -> (Paths, mpsc::UnboundedReceiver<Job>) {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let health = json!({
            "status": "ok", "target": "https://h", "keys": [], "sessions": 0, "uptime_ms": 1
        });
        let admin = Admin {
            health: Arc::new(move || serde_json::from_value(health.clone()).unwrap()),
            token: Secret::new("the-token".into()),
            desk: Arc::default(),
        };
        let room = Arc::new(Semaphore::new(room));
        (Paths { admin, jobs, room }, waiting)
    }

    fn ask(paths: &Paths, path: &str) -> ControlAnswer {
        let mut request = ControlRequest::default();
        *request.uri_mut() = path.parse().unwrap();
        paths.answer(request)
    }

    fn status(answer: &ControlAnswer) -> Option<u16> {
        match answer {
            ControlAnswer::Now(reply) => Some(reply.status.as_u16()),
            ControlAnswer::Later(_) => None,
        }
    }

    #[test]
    fn so_many_requests_wait_and_the_next_is_told_to_come_again() {
        let (paths, mut waiting) = paths(2);
        let held = [ask(&paths, "/_lb/state"), ask(&paths, "/_lb/metrics")];
        assert_eq!(held.each_ref().map(status), [None, None]);
        let refused = ask(&paths, "/_lb/state");
        assert_eq!(status(&refused), Some(503));
        // Whatever waits there, these are answered.
        assert_eq!(status(&ask(&paths, "/health")), Some(200));
        assert_eq!(status(&ask(&paths, "/_lb/orders/1")), Some(403));
        drop(waiting.try_recv().unwrap());
        assert_eq!(status(&ask(&paths, "/_lb/state")), None, "one is done");
    }

    #[test]
    fn only_what_holds_nothing_is_let_in_without_a_clients_token() {
        let (paths, _waiting) = paths(1);
        let mut headers = HeaderMap::new();
        let admits = |headers: &HeaderMap| {
            ["/_lb/app.js", "/_lb/", "/_lb/state", "/health", "/_lb/stop"]
                .map(|path| paths.admits(&Method::GET, path, headers))
        };
        assert_eq!(admits(&headers), [true, false, false, false, false]);
        headers.insert("accept", HeaderValue::from_static("text/html"));
        assert_eq!(admits(&headers), [true, true, false, false, false]);
        for path in ["/_lb/app.js", "/_lb/"] {
            assert!(!paths.admits(&Method::POST, path, &headers), "{path}");
        }
        headers.insert("x-lb-token", HeaderValue::from_static("the-token"));
        assert_eq!(admits(&headers), [true; 5]);
    }

    #[test]
    fn a_long_body_is_read_only_to_explain_it_to_who_has_the_token() {
        let (paths, _waiting) = paths(1);
        let mut headers = HeaderMap::new();
        let of = |method, path, headers: &HeaderMap| paths.takes(&method, path, headers);
        assert_eq!(of(Method::POST, WHY_PATH, &headers), TakenBody::Nothing);
        headers.insert("x-lb-token", HeaderValue::from_static("the-token"));
        assert_eq!(of(Method::POST, WHY_PATH, &headers), TakenBody::Much);
        assert_eq!(of(Method::GET, WHY_PATH, &headers), TakenBody::Nothing);
        assert_eq!(
            of(Method::POST, "/_lb/app.css", &headers),
            TakenBody::Little
        );
        assert_eq!(of(Method::PUT, "/_lb/stop", &headers), TakenBody::Nothing);
    }
}
