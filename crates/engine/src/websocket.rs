//! WebSockets: a handshake gets a key as any request does, and is then carried on bytes that nobody
//! changes. A handshake does nothing, so any refusal of one goes to another key.

mod beginning;
mod handshake;
mod open;
mod pump;
mod tunnel;
mod turns;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use api_key_lb_core::Plan;
use api_key_lb_core::object::{Keeping, Reference};
use api_key_lb_core::wire::body::BodyFacts;
use api_key_lb_core::wire::dialect::{Dialect, Endpoint};
use api_key_lb_core::wire::reply::Refusal;
use api_key_lb_core::wire::websocket as wire;
use api_key_lb_core::wire::{answer, headers};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::AnswerBody;
use crate::outcome::{Outcomes, label};
use crate::record::Record;
use crate::replies::{Answer, own};
use crate::upstream::Upstreams;
use crate::worker::Shared;
use handshake::{Accepting, Handshake, Never};
pub(crate) use open::Websockets;
use tunnel::Tunnel;

/// Why a handshake is answered with 426, on which Codex uses plain HTTP at once: on anything else it
/// tries for six seconds.
const NONE_HERE: &str = "WebSocket is switched off here (`max_websockets`)";
const TOO_MANY: &str = "too many WebSockets are open (`max_websockets`)";
const NONE_THERE: &str = "the upstream has no WebSocket here";
const BROKEN: &str = "the upstream broke the handshake off";

/// What a client's connection is to carry once it has become a WebSocket.
#[derive(Default)]
pub(crate) struct Accepted(Cell<Option<Box<Tunnel>>>);

impl Accepted {
    pub(crate) fn take(&self) -> Option<Box<Tunnel>> {
        self.0.take()
    }
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked_for(request: &Request<Incoming>) -> bool {
    wire::is_handshake(request.method(), request.version(), request.headers())
}

/// Answers a handshake.
pub(crate) async fn open(
    shared: &Shared,
    upstreams: &Rc<Upstreams>,
    plan: Arc<Plan>,
    endpoint: Endpoint,
    accepted: &Accepted,
    mut request: Request<Incoming>,
) -> Answer {
    let downstream = hyper::upgrade::on(&mut request);
    let state = &shared.state;
    let dialect = endpoint.dialect;
    let method = request.method().clone();
    let mut record = Record::new(
        Arc::clone(state),
        method,
        request.uri().path(),
        request.headers(),
    );
    let none = |record, why| own(record, &Refusal::WebSocket(why), dialect);
    let most = plan.limits.websockets;
    if most == 0 {
        return none(record, NONE_HERE);
    }
    let Some(seat) = state.websockets().enter(state, most) else {
        return none(record, TOO_MANY);
    };
    let upstreams = Rc::clone(upstreams);
    let handshake =
        match Handshake::new(Arc::clone(state), upstreams, plan, endpoint, seat, request) {
            Ok(handshake) => handshake,
            Err(refusal) => return own(record, &refusal, dialect),
        };
    if state
        .websockets()
        .lacks_all(&handshake.pool, &handshake.path)
    {
        return none(record, NONE_THERE);
    }
    let (identity, _) = handshake.recognise(BodyFacts::default());
    let facts = BodyFacts {
        model: handshake.model.clone(),
        ..BodyFacts::default()
    };
    let named = handshake.named.clone();
    record.request(&handshake.pool, &facts, &identity, named, 0);
    let session = record.session().cloned();
    let call = handshake.call(session, handshake.model_id(), 0, record.bound());
    let mut outcomes = Outcomes::default();
    let opened = handshake
        .shake(&call, None, &mut record, &mut outcomes)
        .await;
    let (plan, now) = (&*handshake.plan, state.now());
    let Accepting {
        key,
        affinity,
        mut head,
        upstream,
    } = match opened {
        Ok(accepting) => accepting,
        Err(Never::Lacking | Never::Same) => return none(record, NONE_THERE),
        // It is no use to Codex to try again, and something to fall back.
        Err(Never::Failed(error)) if error.is_broken() && dialect == Dialect::Responses => {
            return none(record, BROKEN);
        }
        Err(Never::Failed(error)) => {
            return outcomes.give_up(record, &error, plan, dialect, now);
        }
        Err(Never::Refused(answered)) => return outcomes.give(record, *answered, plan, now),
        Err(Never::NothingLeft(_)) if outcomes.is_broken() && dialect == Dialect::Responses => {
            return none(record, BROKEN);
        }
        Err(Never::NothingLeft(soonest)) => {
            return outcomes.nothing_left(record, soonest, plan, dialect, now);
        }
    };
    drop(outcomes);
    let terms = head.headers.clone();
    headers::strip_answer(&mut head.headers);
    wire::prepare_answer(&mut head.headers, &handshake.offer);
    if let Some(state) = answer::given_out(&head.headers) {
        record.gave_out(state);
    }
    if let Some(state) = head.headers.get(answer::TURN_STATE) {
        record.gave(&[Reference::new(state.as_bytes(), Keeping::Sealed)]);
    }
    label(&mut head.headers, &record, &key.label, affinity, plan);
    record.first_byte(head.status);
    let key = key.id;
    let mut answer = Response::new(AnswerBody::Own(None));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = head.headers;
    drop(call);
    accepted.0.set(Some(Box::new(Tunnel {
        handshake,
        record,
        key,
        terms,
        downstream,
        upstream,
    })));
    answer
}
