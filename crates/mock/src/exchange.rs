//! One request and its answer: what is checked in which order, and where faults strike.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::answer::{Answer, Body, Headers};
use crate::call::{Call, CallDefaults};
use crate::canned::CannedAnswers;
use crate::clock::http_date;
use crate::connection::{BodyEnd, ClientGone, Connection, NoHead, RequestBody, Transport};
use crate::control;
use crate::delivery::{Delivery, Script};
use crate::dialect::{self, AnswerContext, Dialect, Route, error, models};
use crate::fault::{Close, FaultKind};
use crate::head::Head;
use crate::objects;
use crate::state::{State, Ticket, now_seconds};
use crate::stub::Stub;
use crate::websocket::{self, Speech};

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    /// Close in good order.
    Close,
    /// Close in the middle of something.
    Tear(Close),
}

/// Counts a connection as open while it lives.
#[derive(Debug)]
struct OpenConnection(Arc<State>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

/// Serves a connection to its end. `number` is what [`State::connection_opened`] returned.
pub(crate) async fn serve<T: Transport>(
    state: Arc<State>,
    canned: Option<Arc<CannedAnswers>>,
    stream: T,
    number: u64,
) {
    let _open = OpenConnection(Arc::clone(&state));
    let mut connection = Connection::new(stream, number);
    loop {
        if let Some(canned) = &canned {
            match canned.serve(&mut connection, &state).await {
                Ok(()) => {}
                Err(ClientGone) => return,
            }
        }
        let after = match connection.head().await {
            Ok(head) => exchange(&state, &mut connection, &head).await,
            Err(NoHead::Closed) => return,
            Err(NoHead::Bad(status, reason)) => {
                let answer = error::status(Dialect::OpenAi, status, Some(reason), "");
                let delivery = Delivery {
                    answer,
                    head_only: false,
                    minor: 1,
                    keep_alive: false,
                };
                let _ = delivery
                    .run(&mut connection, None, &Script::default())
                    .await;
                Ok(After::Close)
            }
        };
        match after {
            Ok(After::KeepAlive) => {}
            Ok(After::Close) => return connection.close().await,
            Ok(After::Tear(close)) => return connection.tear(close).await,
            Err(ClientGone) => return,
        }
    }
}

async fn exchange<T: Transport>(
    state: &Arc<State>,
    connection: &mut Connection<T>,
    head: &Head,
) -> Result<After, ClientGone> {
    let route = Route::of(&head.method, head.path());
    if route == Route::Control {
        return control_exchange(state, connection, head).await;
    }
    let (mut ticket, fault) = state.arrive(head, connection.number, &mut connection.keys_seen);
    let result = answered(state, connection, head, route, &mut ticket, fault).await;
    if result.is_err() {
        ticket.client_gone();
    }
    result
}

async fn control_exchange<T: Transport>(
    state: &Arc<State>,
    connection: &mut Connection<T>,
    head: &Head,
) -> Result<After, ClientGone> {
    let (body, end) = read_body(connection, head, None).await?;
    let (answer, keep_alive) = match end {
        BodyEnd::Complete => (
            control::answer(state, head, &body.bytes),
            head.keeps_alive(),
        ),
        _ => (
            error::status(Dialect::OpenAi, 400, Some("bad request body"), ""),
            false,
        ),
    };
    deliver(
        connection,
        head,
        answer,
        keep_alive,
        None,
        &Script::default(),
    )
    .await
}

async fn read_body<T: Transport>(
    connection: &mut Connection<T>,
    head: &Head,
    stop_after: Option<u64>,
) -> Result<(RequestBody, BodyEnd), ClientGone> {
    if head.expects_continue() && head.minor > 0 && connection.inbox.is_empty() {
        connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    Ok(connection.body(head.framing, stop_after).await)
}

async fn answered<T: Transport>(
    state: &Arc<State>,
    connection: &mut Connection<T>,
    head: &Head,
    route: Route,
    ticket: &mut Ticket,
    fault: Option<FaultKind>,
) -> Result<After, ClientGone> {
    let stop_after = match &fault {
        Some(FaultKind::ResetBody { after_bytes, .. }) => Some(*after_bytes),
        _ => None,
    };
    let (body, end) = read_body(connection, head, stop_after).await?;
    ticket.record(head, &body);
    let dialect = route.dialect(head);
    let request_id = format!("req_{}", state.next_id());
    match (&fault, end) {
        (_, BodyEnd::Gone) => return Err(ClientGone),
        (Some(FaultKind::ResetBody { close, .. }), _) => return Ok(After::Tear(*close)),
        (_, BodyEnd::Complete) => {}
        (_, end) => {
            let (status, reason) = match end {
                BodyEnd::TooLarge => (413, "request body too large"),
                _ => (400, "malformed chunked body"),
            };
            let answer = error::status(dialect, status, Some(reason), &request_id);
            let answer = identified(answer, dialect, ticket, &request_id);
            return deliver(
                connection,
                head,
                answer,
                false,
                Some(ticket),
                &Script::default(),
            )
            .await;
        }
    }
    if let Some(FaultKind::Reset { close }) = &fault {
        return Ok(After::Tear(*close));
    }
    let mut pause = Duration::ZERO;
    let mut begun: Option<(Call, dialect::Usage)> = None;
    if fault.is_none()
        && ticket.has_account()
        && let Some(speech) = Speech::of(head)
    {
        ticket.status(101);
        ticket.finish();
        return websocket::serve(state, connection, head, speech).await;
    }
    let answer = if let Some(FaultKind::Status {
        status,
        headers,
        body,
    }) = &fault
    {
        scripted(dialect, *status, headers, body.as_deref(), &request_id)
    } else if route == Route::Echo {
        control::echo(head, &body)
    } else if !ticket.has_account() {
        error::unauthorized(dialect, ticket.key.as_deref(), &request_id)
    } else if route == Route::Unknown || (route == Route::Objects && !state.config.keeps_objects) {
        let message = format!("Invalid URL ({} {})", head.method, head.path());
        error::status(dialect, 404, Some(&message), &request_id)
    } else if route == Route::Objects {
        let id = state.next_id();
        let answer = ticket.objects(|objects| objects.answer(head, dialect, &id, &body.bytes));
        if let Some(credential) = objects::issued(head.path(), &id) {
            ticket.issue(credential);
        }
        answer.unwrap_or_else(|| error::status(dialect, 404, None, &request_id))
    } else if route == Route::Models {
        models::answer(
            head.path(),
            &state.config.models,
            dialect == Dialect::Anthropic,
        )
    } else {
        match call(state, head, route, ticket, &body, &request_id) {
            // A count of tokens reads a prompt without running it: no delay, no cache.
            Ok((.., answer)) if !route.is_call() => answer,
            Ok((call, usage, answer)) => {
                let config = &state.config;
                let fresh = usage.prompt.saturating_sub(usage.cached);
                pause = config.head_delay + config.prefill.mul_f64(fresh as f64 / 1_000.0);
                begun = Some((call, usage));
                answer
            }
            Err(answer) => answer,
        }
    };
    match &fault {
        Some(FaultKind::Stall { ms }) => {
            connection.pause(ms.map(Duration::from_millis)).await?;
        }
        Some(FaultKind::Delay { ms }) => connection.pause(Some(Duration::from_millis(*ms))).await?,
        _ => {}
    }
    connection.pause(Some(pause)).await?;
    if let Some((call, usage)) = &begun {
        ticket.begin(call, *usage);
    }
    let mut answer = identified(answer, dialect, ticket, &request_id);
    if let (Some(FaultKind::ErrorEvent { events, data }), Body::Events(list)) =
        (&fault, &mut answer.body)
    {
        list.truncate(usize::try_from(*events).unwrap_or(usize::MAX));
        let event = dialect::error_event(route, data.as_deref(), list.len() as u64);
        list.push(event.into());
    }
    let script = Script::of(fault.as_ref(), state.config.event_delay);
    deliver(
        connection,
        head,
        answer,
        head.keeps_alive(),
        Some(ticket),
        &script,
    )
    .await
}

/// Parses, admits and answers a model call; an error is an answer too.
pub(crate) fn call(
    state: &State,
    head: &Head,
    route: Route,
    ticket: &mut Ticket,
    body: &RequestBody,
    request_id: &str,
) -> Result<(Call, dialect::Usage, Answer), Answer> {
    let dialect = route.dialect(head);
    let defaults = CallDefaults {
        output_tokens: state.config.output_tokens,
        max_output_tokens: state.config.max_output_tokens,
        block_tokens: state.config.cache_block_tokens,
        keeps_objects: state.config.keeps_objects,
    };
    let stubs = Arc::clone(&state.lock().stubs);
    let stub = Stub::of(&stubs, &body.bytes);
    let call = Call::parse(route, &head.target, &body.bytes, defaults, stub)
        .map_err(|message| error::status(dialect, 400, Some(&message), request_id))?;
    let mut named = Value::Null;
    if state.config.keeps_objects {
        named = serde_json::from_slice(&body.bytes).unwrap_or_default();
        let missing = ticket.objects(|objects| objects.missing(&named)).flatten();
        if let Some((what, id)) = missing {
            return Err(objects::refused(dialect, what, &id));
        }
    }
    let mut usage = dialect::Usage::default();
    let mut limits = Headers::default();
    if route.is_call() {
        let admission = ticket.admit(dialect, &call).map_err(|refused| {
            let account = ticket.account_name().unwrap_or_default();
            let mut answer =
                error::refused(dialect, &refused.refusal, &call.model, account, request_id);
            answer.headers.0.extend(refused.headers.0);
            answer
        })?;
        usage = admission.usage;
        limits = admission.headers;
    }
    let id = state.next_id();
    let context = AnswerContext {
        call: &call,
        usage,
        id: &id,
        created: now_seconds(),
    };
    if state.config.keeps_objects {
        ticket.objects(|objects| objects::keep_answer(objects, route, &id, &named));
    }
    let mut answer = dialect::answer(route, &context);
    answer.headers.0.extend(limits.0);
    Ok((call, usage, answer))
}

/// The answer of a status fault.
pub(crate) fn scripted(
    dialect: Dialect,
    status: u16,
    headers: &[(String, String)],
    body: Option<&str>,
    request_id: &str,
) -> Answer {
    let mut answer = error::status(dialect, status, None, request_id);
    if let Some(body) = body {
        answer.body = Body::Whole(body.to_owned().into());
    }
    let mut scripted = Headers::default();
    for (name, value) in headers {
        scripted.add(name.clone(), value.clone());
    }
    if !scripted.has("content-type") {
        scripted
            .0
            .insert(0, ("content-type".into(), "application/json".to_owned()));
    }
    answer.headers = scripted;
    answer
}

/// Adds the headers that say who answered.
fn identified(mut answer: Answer, dialect: Dialect, ticket: &Ticket, request_id: &str) -> Answer {
    let account = ticket.account_name();
    let headers = &mut answer.headers;
    headers.add("date", http_date(SystemTime::now()));
    match dialect {
        Dialect::OpenAi => {
            headers.add("x-request-id", request_id);
            if let Some(account) = account {
                headers.add("openai-organization", account);
                headers.add(
                    "openai-processing-ms",
                    ticket.elapsed().as_millis().to_string(),
                );
                headers.add("openai-version", "2020-10-01");
            }
        }
        Dialect::Anthropic => {
            headers.add("request-id", request_id);
            if let Some(account) = account {
                headers.add("anthropic-organization-id", account);
            }
        }
        Dialect::Gemini => headers.add("x-request-id", request_id),
    }
    answer
}

async fn deliver<T: Transport>(
    connection: &mut Connection<T>,
    head: &Head,
    answer: Answer,
    keep_alive: bool,
    ticket: Option<&mut Ticket>,
    script: &Script,
) -> Result<After, ClientGone> {
    let head_only = head.method == "HEAD";
    let delivery = Delivery {
        answer,
        head_only,
        minor: head.minor,
        keep_alive,
    };
    delivery.run(connection, ticket, script).await
}
