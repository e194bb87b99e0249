//! The life of one request, in order: admit, read, choose, send, judge, relay. (It was accepted by
//! the worker; it is settled when its record is dropped.)

use std::borrow::Cow;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use api_key_lb_core::fact::ModelId;
use api_key_lb_core::plan::Plan;
use api_key_lb_core::verdict::{Matter, Verdict};
use api_key_lb_core::wire::dialect::Endpoint;
use api_key_lb_core::wire::references::{self, Gives};
use api_key_lb_core::wire::reply::Refusal;
use api_key_lb_core::wire::{credential, guard, headers, patience, upload};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{Method, Request};
use hyper::body::Incoming;

use crate::attempt::{Call, frame};
use crate::error::SendError;
use crate::gather::{Gathered, gather};
use crate::issued::{self, Issued};
use crate::lists::Merging;
use crate::outcome::{Answered, Came, Outcomes};
use crate::reading::{self, Reading};
use crate::record::Record;
use crate::replies::{self, Answer, own};
use crate::upstream::Upstreams;
use crate::websocket::{self, Accepted};
use crate::worker::Shared;

/// Serves one request. There is always an answer; what could not be done says why. If it accepts a
/// WebSocket, what there is to carry is in `accepted`.
pub(crate) async fn serve(
    shared: &Shared,
    upstreams: &Rc<Upstreams>,
    accepted: &Accepted,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let plan = shared.state.plan();
    let origin = guard::allowed_origin(&plan.guard, request.headers()).cloned();
    let endpoint = reading::endpoint(request.method(), request.uri().path(), request.headers());
    // A preflight carries no credential, so it is answered before a client token is asked for.
    let mut answer = if origin.is_some() && replies::is_preflight(&request) {
        replies::preflight(&request)
    } else {
        match admit(shared, &plan, &request) {
            Err(refusal) => replies::refuse(shared, &request, &refusal, endpoint.dialect),
            Ok(()) if replies::is_control(&request) => replies::control_path(shared, request).await,
            Ok(()) if websocket::is_asked_for(&request) => {
                websocket::open(shared, upstreams, plan, endpoint, accepted, request).await
            }
            Ok(()) => forward(shared, upstreams, &plan, endpoint, request).await,
        }
    };
    if let Some(origin) = origin {
        replies::share_with(&mut answer, origin);
    }
    Ok(answer)
}

/// Whether a request without a client token is let in nevertheless.
fn is_let_in(shared: &Shared, plan: &Plan, request: &Request<Incoming>) -> bool {
    if replies::is_control(request) {
        let path = request.uri().path();
        let (method, headers) = (request.method(), request.headers());
        return shared.control.admits(method, path, headers);
    }
    issued::is_brought(&shared.state, plan, request)
}

/// Stop 2, admit: is this caller allowed, and is the request one that can be served at all?
fn admit(shared: &Shared, plan: &Plan, request: &Request<Incoming>) -> Result<(), Refusal> {
    match guard::admit(&plan.guard, request.headers(), request.uri()) {
        Err(Refusal::ClientToken) if is_let_in(shared, plan, request) => {}
        admitted => admitted?,
    }
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    if !request.uri().path().starts_with('/') {
        return Err(Refusal::BadTarget);
    }
    let limits = &plan.limits;
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > limits.target_bytes {
        return Err(Refusal::TargetTooLong(limits.target_bytes));
    }
    if headers::size(request.headers()) > limits.head_bytes {
        return Err(Refusal::HeadTooLarge(limits.head_bytes));
    }
    match request.headers().get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Refusal::Expectation)
        }
        _ => Ok(()),
    }
}

/// Stop 3, read: the pool, the body, the session.
async fn forward(
    shared: &Shared,
    upstreams: &Rc<Upstreams>,
    plan: &Plan,
    endpoint: Endpoint,
    request: Request<Incoming>,
) -> Answer {
    let (mut head, body) = request.into_parts();
    let mut record = Record::new(
        Arc::clone(&shared.state),
        head.method.clone(),
        head.uri.path(),
        &head.headers,
    );
    let path = head.uri.path();
    let Some(reading) = Reading::of_head(&shared.state, plan, endpoint, path, &head.headers) else {
        let names = plan
            .named_pools
            .iter()
            .map(|pool| pool.name.clone())
            .collect();
        return own(record, &Refusal::UnknownPool(names), endpoint.dialect);
    };
    let reader = reading.reader();
    let (mut body, facts) = match gather(body, &head.headers, reader, &plan.limits).await {
        Ok(gathered) => gathered,
        Err(refusal) => return own(record, &refusal, endpoint.dialect),
    };
    let (identity, mut facts) = reading.recognise(&head.headers, facts);
    let query = head.uri.query();
    let mut references = reading.references(&head.method, query, &head.headers, &mut facts);
    let Reading { pool, path, .. } = reading;
    record.gives(Gives::of(&head.method, path, endpoint, facts.stores));
    let bytes = body.length().unwrap_or(0);
    let issued = Issued::of(&shared.state, pool, &head.headers, head.uri.query());
    if let Some(issued) = &issued {
        references.named.insert(references.about, issued.reference);
    }
    shared.state.hear_of(pool, &references, &identity).await;
    let merging = Merging::of(&shared.state, pool, &head, endpoint, &references);
    record.request(pool, &facts, &identity, references, bytes);
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let seen_at = upload::seen_at(
        &head.headers,
        host.unwrap_or_default(),
        head.uri.path(),
        path,
    );
    let framed = [CONTENT_LENGTH, TRANSFER_ENCODING]
        .iter()
        .any(|name| head.headers.contains_key(name));
    let patience = patience::patience(&head.headers);
    let brought = credential::strip(&mut head.headers, head.uri.query());
    headers::strip_request(&mut head.headers);
    frame(&mut head.headers, &body, framed);
    if let Some(splice) = facts.splice {
        body.put_in(splice);
    }
    let call = Call {
        state: &shared.state,
        upstreams,
        plan,
        pool,
        endpoint,
        repeatable: endpoint.repeatable(&head.method, facts.background) && body.can_repeat(),
        method: head.method,
        path,
        query: head.uri.query().map(Cow::Borrowed),
        issued,
        seen_at,
        headers: head.headers,
        brought,
        session: record.session().cloned(),
        model: facts.model.as_deref().map(ModelId::of),
        bytes,
        patience,
        bound: record.bound(),
        turn: record.references().turn,
    };
    if let Some(merging) = merging {
        return merging.serve(call, record, &mut body).await;
    }
    let mut outcomes = Outcomes::default();
    let came = attempts(&call, &mut record, &mut outcomes, &mut body).await;
    outcomes.finish(record, came, plan, endpoint.dialect, shared.state.now())
}

/// Stops 4 to 6, choose, send and judge, until there is an answer to relay.
pub(crate) async fn attempts<'c>(
    call: &Call<'c>,
    record: &mut Record,
    outcomes: &mut Outcomes<'c>,
    body: &mut Gathered,
) -> Came<'c> {
    loop {
        let (key, affinity) = match call.choose(record).await {
            Ok(chosen) => chosen,
            Err(soonest) => return Came::NothingLeft(soonest),
        };
        let mut sent = call.ask(key, body).await;

        let now = call.state.now();
        let (verdict, may_resend) = match &mut sent {
            Ok(answer) => {
                record.answered(answer.head.status);
                if let Some(us) = &call.seen_at {
                    upload::lead_back(&mut answer.head.headers, &key.target, us);
                }
                let verdict = call.judge(key, answer, now);
                let verdict = references::judge(record.references(), answer.head.status, verdict);
                (
                    verdict,
                    body.can_repeat() && (call.repeatable || verdict.did_nothing()),
                )
            }
            Err(SendError::Connect(_)) => (Verdict::new(Matter::Network, "network"), true),
            Err(SendError::Broken(_)) => {
                (Verdict::new(Matter::Network, "network"), call.repeatable)
            }
            // Not sent again: the provider may still be at work on it.
            Err(SendError::FirstByte(_)) => (Verdict::new(Matter::Network, "network"), false),
            Err(SendError::Loop | SendError::ClientBody | SendError::ClientBodyTooLong) => {
                (Verdict::new(Matter::Request, "client"), false)
            }
        };
        let again = record.judged(&call.asked(), verdict, may_resend, now);
        match sent {
            Ok(answer) => {
                let answered = Answered {
                    label: &key.label,
                    affinity,
                    head: answer.head,
                    body: answer.body,
                    lease: answer.lease,
                    verdict,
                };
                if !again {
                    return Came::Answered(answered);
                }
                outcomes.answered(answered);
            }
            Err(error) if again => outcomes.failed(error),
            Err(error) => return Came::Failed(error),
        }
    }
}
