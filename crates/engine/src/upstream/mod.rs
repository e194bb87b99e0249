//! Stop 5 of a request's way: connections to upstreams, kept per worker, shared between keys (a key
//! is only a header), last used first.

mod connect;
mod tls;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use api_key_lb_core::plan::Via;
use api_key_lb_core::target::Target;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response};

use crate::body::RequestBody;
use crate::error::SendError;
pub(crate) use connect::Connector;
pub(crate) use tls::Trust;

/// How long a connection is kept unused: below the idle limits of providers' front ends, so that
/// they rarely close one just as it is used.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Idle connections kept per upstream and worker: more than agents use at once.
const IDLE_MOST: usize = 128;

/// A worker's connections.
#[derive(Debug)]
pub(crate) struct Upstreams {
    connector: Connector,
    lanes: RefCell<Vec<Lane>>,
}

/// Idle connections to one upstream, the most recently used one last.
#[derive(Debug)]
struct Lane {
    target: Arc<Target>,
    proxy: Option<(String, u16)>,
    idle: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    since: Instant,
}

/// An HTTP connection: its handle, and the future that moves its bytes.
///
/// Whoever uses the connection also drives it. As a task of its own it would hand over one frame
/// per wake-up, and each event of a stream would cost a task switch and a write of its own: nine
/// times the CPU of nginx for an answer whose events come all at once.
pub(crate) struct Wire {
    pub(crate) sender: SendRequest<RequestBody>,
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
    /// Whether the driver has come to its end.
    ended: bool,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    pub(crate) fn new(
        sender: SendRequest<RequestBody>,
        driver: impl Future<Output = hyper::Result<()>> + 'static,
    ) -> Self {
        Self {
            sender,
            driver: Box::pin(driver),
            ended: false,
        }
    }

    /// Moves bytes; never asked again once it has ended.
    fn drive(&mut self, cx: &mut Context<'_>) {
        self.ended = self.ended || self.driver.as_mut().poll(cx).is_ready();
    }

    /// Sends a request and drives the connection until the head of the answer is there.
    async fn exchange(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let mut answer = pin!(self.sender.send_request(request));
        let mut queued = false;
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            // Requests that are ready to go now go together: the upstream is woken once for all.
            if !std::mem::replace(&mut queued, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Once it has ended, the answer is an error at the latest by the next poll.
            self.ended = self.ended || self.driver.as_mut().poll(cx).is_ready();
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Whether it can take a request now: idle, and not closed by the other end meanwhile.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.ended)
        })
        .await
            && self.sender.is_ready()
    }
}

/// A connection in use; given back when the answer has been read to its end, closed if dropped.
pub(crate) struct Lease {
    upstreams: Rc<Upstreams>,
    target: Arc<Target>,
    proxy: Option<(String, u16)>,
    wire: Wire,
    /// Whether others can use it.
    is_shared: bool,
}

impl Lease {
    /// Moves bytes between the socket and the answer's body. Call it when the body is pending, and
    /// look at the body again after it.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        self.wire.drive(cx);
    }

    /// Waits until an answer that accepts an upgrade has given the connection away.
    pub(crate) async fn upgraded(mut self, upgrade: OnUpgrade) -> hyper::Result<Upgraded> {
        let mut upgrade = pin!(upgrade);
        poll_fn(|cx| {
            self.drive(cx);
            upgrade.as_mut().poll(cx)
        })
        .await
    }

    /// Returns the connection for another request.
    pub(crate) fn give_back(self) {
        if self.wire.ended || self.wire.sender.is_closed() || !self.is_shared {
            return;
        }
        let mut lanes = self.upstreams.lanes.borrow_mut();
        let lane = match lanes
            .iter()
            .position(|lane| lane.leads_to(&self.target, self.proxy.as_ref()))
        {
            Some(at) => &mut lanes[at],
            None => {
                lanes.push(Lane {
                    target: self.target,
                    proxy: self.proxy,
                    idle: Vec::new(),
                });
                let last = lanes.len() - 1;
                &mut lanes[last]
            }
        };
        if lane.idle.len() == IDLE_MOST {
            lane.idle.remove(0);
        }
        lane.idle.push(Idle {
            wire: self.wire,
            since: Instant::now(),
        });
    }
}

impl Lane {
    /// Whether a connection of this lane goes to the same place; the path does not matter.
    fn leads_to(&self, target: &Target, proxy: Option<&(String, u16)>) -> bool {
        self.target.tls() == target.tls()
            && self.target.port() == target.port()
            && self.target.host().eq_ignore_ascii_case(target.host())
            && self.proxy.as_ref() == proxy
    }
}

/// One attempt's destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'d> {
    pub(crate) target: &'d Arc<Target>,
    pub(crate) via: Option<&'d Via>,
    /// Whether it becomes something else than HTTP. An outgoing proxy then has to lead a tunnel,
    /// since few pass an upgrade on.
    pub(crate) upgrades: bool,
}

impl Destination<'_> {
    /// Whether an outgoing proxy leads a tunnel to it.
    pub(crate) fn is_tunnelled(&self) -> bool {
        self.via.is_some() && (self.target.tls() || self.upgrades)
    }

    /// Whether other requests can use the connection.
    fn is_shared(&self) -> bool {
        self.is_tunnelled() == (self.via.is_some() && self.target.tls())
    }
}

impl Upstreams {
    pub(crate) fn new(connector: Connector) -> Rc<Self> {
        Rc::new(Self {
            connector,
            lanes: RefCell::new(Vec::new()),
        })
    }

    /// Sends a request and waits for the head of its answer. `make` builds the request, and builds
    /// it again for the one quiet retry that a kept connection allows: the upstream may have
    /// closed it just as it was used. A request that must not be sent twice gets a new connection.
    pub(crate) async fn send(
        self: &Rc<Self>,
        to: Destination<'_>,
        repeatable: bool,
        connect_timeout: Duration,
        mut make: impl FnMut() -> Option<Request<RequestBody>>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let proxy = to.via.map(|via| (via.host.clone(), via.port));
        let spent = || SendError::Broken("the request body was already sent".into());
        let repeatable = repeatable && to.is_shared();
        if repeatable && let Some(wire) = self.checkout(to.target, proxy.as_ref()).await {
            let mut lease = self.lease(to, proxy.clone(), wire);
            match lease.wire.exchange(make().ok_or_else(spent)?).await {
                Ok(answer) => return Ok((answer, lease)),
                // Only a connection that died before a byte of the answer; a garbled answer did come.
                Err(error) if error.is_parse() => return Err(broken(error)),
                Err(_) => {}
            }
        }
        let wire = self.connector.connect(to, connect_timeout).await?;
        let mut lease = self.lease(to, proxy, wire);
        match lease.wire.exchange(make().ok_or_else(spent)?).await {
            Ok(answer) => Ok((answer, lease)),
            Err(error) => Err(broken(error)),
        }
    }

    fn lease(
        self: &Rc<Self>,
        to: Destination<'_>,
        proxy: Option<(String, u16)>,
        wire: Wire,
    ) -> Lease {
        Lease {
            upstreams: Rc::clone(self),
            target: Arc::clone(to.target),
            proxy,
            wire,
            is_shared: to.is_shared(),
        }
    }

    async fn checkout(&self, target: &Target, proxy: Option<&(String, u16)>) -> Option<Wire> {
        loop {
            let mut wire = self.pop(target, proxy)?;
            // One that is not usable has its last answer unread or its end seen.
            if wire.is_usable().await {
                return Some(wire);
            }
        }
    }

    fn pop(&self, target: &Target, proxy: Option<&(String, u16)>) -> Option<Wire> {
        let mut lanes = self.lanes.borrow_mut();
        let lane = lanes.iter_mut().find(|lane| lane.leads_to(target, proxy))?;
        let idle = lane.idle.pop()?;
        if idle.since.elapsed() > IDLE_LIMIT {
            // Everything below it is older still.
            lane.idle.clear();
            return None;
        }
        Some(idle.wire)
    }

    /// Closes what has been unused for too long.
    pub(crate) fn prune(&self) {
        for lane in self.lanes.borrow_mut().iter_mut() {
            lane.idle.retain(|idle| idle.since.elapsed() <= IDLE_LIMIT);
        }
    }
}

/// The kind of failure, with the cause that a person can act on.
fn broken(error: hyper::Error) -> SendError {
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        match inner.downcast_ref::<SendError>() {
            Some(SendError::ClientBody) => return SendError::ClientBody,
            Some(SendError::ClientBodyTooLong) => return SendError::ClientBodyTooLong,
            _ => cause = inner.source(),
        }
    }
    SendError::Broken(match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}
