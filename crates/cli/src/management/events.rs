//! Streams of events: what changed, to whoever looks on. One that reads slowly is told less often, never
//! waited for and never kept a backlog for.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_control::observed::State;
use api_key_lb_engine::{ControlBody, ControlReply};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Sources, whole};
use crate::admin::refuse;

/// Streams that are open at once; each costs a look at everything per second, shared by all.
const MOST_STREAMS: usize = 16;
/// When one that found no room shall ask again, in seconds.
const ASK_AGAIN: &str = "5";
/// How often the state is told, if it has changed.
const STATE_EVERY: Duration = Duration::from_secs(1);
/// Pause between two events about requests.
const REQUESTS_EVERY: Duration = Duration::from_millis(200);
/// Requests told at once; of more, the latest.
const MOST_REQUESTS: usize = 100;
/// How often a stream that has nothing to tell shows that it lives.
const PING_EVERY: Duration = Duration::from_secs(15);

/// What is told, and who is being told.
pub(super) struct Events {
    pub(super) sources: Sources,
    seen: Arc<Notify>,
    ends: watch::Receiver<bool>,
    streams: Cell<usize>,
    latest: RefCell<Option<Latest>>,
}

/// The state as it was last looked at, for all streams.
#[derive(Clone)]
struct Latest {
    at: Instant,
    /// Another one if anything but the time has changed.
    version: u64,
    event: Bytes,
}

/// Counts a stream for as long as it is open.
struct Open(Rc<Events>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

impl Events {
    pub(super) const fn new(
        sources: Sources,
        seen: Arc<Notify>,
        ends: watch::Receiver<bool>,
    ) -> Self {
        Self {
            sources,
            seen,
            ends,
            streams: Cell::new(0),
            latest: RefCell::new(None),
        }
    }

    /// How everything is now.
    pub(super) fn state(&self) -> State {
        self.sources.look()
    }

    /// Opens a stream.
    pub(super) fn open(self: &Rc<Self>) -> ControlReply {
        if self.streams.get() >= MOST_STREAMS {
            let refusal = refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_streams",
                "there are 16 streams of events already; close a dashboard, or ask /_lb/state",
            );
            return whole(refusal.with(RETRY_AFTER, HeaderValue::from_static(ASK_AGAIN)));
        }
        self.streams.set(self.streams.get() + 1);
        let open = Open(self.clone());
        // One piece at a time: the next is made when this one has been taken.
        let (pieces, body) = mpsc::channel(1);
        tokio::task::spawn_local(async move {
            let mut ends = open.0.ends.clone();
            tokio::select! {
                _ = ends.wait_for(|ends| *ends) => {}
                () = pieces.closed() => {}
                () = open.0.tell(&pieces) => {}
            }
        });
        let mut response = Response::new(ControlBody::Stream(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Tells what changes, until nobody listens.
    async fn tell(&self, pieces: &mpsc::Sender<Bytes>) {
        let observed = &self.sources.observed;
        let mut known = observed.count();
        let mut version = None;
        let mut next_state = Instant::now();
        let mut next_requests = next_state;
        let mut ping = next_state + PING_EVERY;
        // First there is room, then one looks what there is to tell: so nobody is told what is old.
        while let Ok(room) = pieces.reserve().await {
            let event = loop {
                let news = self.seen.notified();
                let now = Instant::now();
                if now >= next_state {
                    next_state = now + STATE_EVERY;
                    let latest = self.latest(now);
                    if version.replace(latest.version) != Some(latest.version) {
                        break latest.event;
                    }
                }
                if now >= next_requests && observed.count() != known {
                    next_requests = now + REQUESTS_EVERY;
                    let (requests, count) = observed.after(known, MOST_REQUESTS);
                    known = count;
                    let requests: Vec<_> = requests.iter().map(|request| &**request).collect();
                    break event("request", &requests);
                }
                if now >= ping {
                    break Bytes::from_static(b": ping\n\n");
                }
                let pause = if observed.count() == known {
                    next_state
                } else {
                    next_state.min(next_requests)
                };
                tokio::select! {
                    () = sleep_until(pause.min(ping)) => {}
                    () = news => {}
                }
            };
            ping = Instant::now() + PING_EVERY;
            room.send(event);
        }
    }

    fn latest(&self, now: Instant) -> Latest {
        let mut latest = self.latest.borrow_mut();
        if let Some(latest) = &*latest
            && now.duration_since(latest.at) < STATE_EVERY / 2
        {
            return latest.clone();
        }
        let state = self.state();
        let event = event("state", &state);
        let mut hash = DefaultHasher::new();
        hash.write(&serde_json::to_vec(&state.stilled()).unwrap_or_default());
        latest
            .insert(Latest {
                at: now,
                version: hash.finish(),
                event,
            })
            .clone()
    }
}

/// An event as it goes over the wire; JSON has no line breaks of its own.
fn event(name: &str, data: &impl serde::Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
