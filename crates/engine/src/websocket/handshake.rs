//! A client's handshake, made with one key after the other until an upstream accepts it.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::conversation::Identity;
use api_key_lb_core::fact::{Affinity, ModelId};
use api_key_lb_core::object::References;
use api_key_lb_core::plan::{Key, KeyId, Plan, Pool};
use api_key_lb_core::policy::Bound;
use api_key_lb_core::policy::Session;
use api_key_lb_core::provider;
use api_key_lb_core::verdict::{Matter, Verdict};
use api_key_lb_core::wire::answer::TURN_STATE;
use api_key_lb_core::wire::body::BodyFacts;
use api_key_lb_core::wire::credential::{self, Brought, CredentialKind};
use api_key_lb_core::wire::dialect::{Dialect, Endpoint};
use api_key_lb_core::wire::reply::Refusal;
use api_key_lb_core::wire::signals::Signals;
use api_key_lb_core::wire::websocket::{self as wire, Offer};
use api_key_lb_core::wire::{headers, limits, owner, patience, references};
use http::header::PROXY_AUTHORIZATION;
use http::response::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;

use super::open::Seat;
use crate::attempt::{Call, address};
use crate::body::{Frames, RequestBody};
use crate::error::SendError;
use crate::issued::Issued;
use crate::opening::{self, Opened};
use crate::outcome::{Answered, Outcomes};
use crate::reading::Reading;
use crate::record::Record;
use crate::state::State;
use crate::upstream::{Destination, Upstreams};

/// How long an upstream may take to answer a handshake, for which it has nothing to do.
const WITHIN: Duration = Duration::from_secs(20);
/// The query parameter that names the model (Realtime).
const MODEL: &str = "model=";

/// A handshake, and everything to make it again with another key.
pub(super) struct Handshake {
    pub(super) state: Arc<State>,
    upstreams: Rc<Upstreams>,
    pub(super) plan: Arc<Plan>,
    endpoint: Endpoint,
    /// A copy of the plan's: a connection lives long.
    pub(super) pool: Pool,
    pub(super) path: String,
    pub(super) uri: Uri,
    /// The client's headers without credentials: what it says of itself …
    pub(super) own: HeaderMap,
    /// … and what of that goes on.
    sent: HeaderMap,
    pub(super) offer: Offer,
    brought: Brought,
    issued: Option<Issued>,
    pub(super) model: Option<String>,
    /// The objects that it names.
    pub(super) named: References,
    pub(super) patience: Duration,
    _seat: Seat,
}

/// An upstream that has accepted.
pub(super) struct Accepting<'h> {
    pub(super) key: &'h Key,
    pub(super) affinity: Affinity,
    pub(super) head: Parts,
    pub(super) upstream: Upgraded,
}

/// Why none has.
pub(super) enum Never<'h> {
    /// There is no WebSocket.
    Lacking,
    /// The best one is the one that serves already.
    Same,
    /// The last one answered so.
    Refused(Box<Answered<'h>>),
    /// The last one did not answer.
    Failed(SendError),
    /// Each has been asked, or the soonest is back only then.
    NothingLeft(Option<Duration>),
}

enum Shaken {
    Accepted(Box<Parts>, Upgraded),
    Answered(Box<Opened>),
}

impl Handshake {
    pub(super) fn new(
        state: Arc<State>,
        upstreams: Rc<Upstreams>,
        plan: Arc<Plan>,
        endpoint: Endpoint,
        seat: Seat,
        request: Request<Incoming>,
    ) -> Result<Self, Refusal> {
        let (head, _) = request.into_parts();
        let Some((pool, path)) = plan.route(head.uri.path()) else {
            let names = plan.named_pools.iter().map(|pool| pool.name.clone());
            return Err(Refusal::UnknownPool(names.collect()));
        };
        let (pool, path) = (pool.clone(), path.to_owned());
        let mut own = head.headers;
        let issued = Issued::of(&state, &pool, &own, head.uri.query());
        let offer = Offer::take(&mut own);
        let brought = credential::strip(&mut own, head.uri.query());
        let mut sent = own.clone();
        headers::strip_request(&mut sent);
        wire::prepare(&mut sent);
        let query = head.uri.query();
        let mut named = references::of_head(&Method::GET, &path, query, &own, endpoint);
        if let Some(issued) = &issued {
            named.named.insert(named.about, issued.reference);
        }
        let model = head.uri.query().and_then(|query| {
            let model = query.split('&').find_map(|pair| pair.strip_prefix(MODEL));
            model.filter(|model| !model.is_empty()).map(str::to_owned)
        });
        Ok(Self {
            state,
            upstreams,
            endpoint,
            pool,
            path,
            patience: patience::patience(&own),
            uri: head.uri,
            own,
            sent,
            offer,
            brought,
            issued,
            model,
            named,
            plan,
            _seat: seat,
        })
    }

    pub(super) fn model_id(&self) -> Option<ModelId> {
        self.model.as_deref().map(ModelId::of)
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.endpoint.dialect
    }

    /// Waits until the plan has this key no more, or a person has taken it out of use.
    pub(super) async fn is_without(&self, key: KeyId) {
        loop {
            let changed = self.state.websockets().replanned().notified();
            let plan = self.state.plan();
            if !plan
                .pools()
                .any(|pool| pool.keys.iter().any(|known| known.id == key))
                || self.state.policy().is_disabled(key)
            {
                return;
            }
            drop(plan);
            changed.await;
        }
    }

    /// How its messages are read.
    pub(super) fn reading(&self) -> Option<Reading<'_>> {
        let path = self.uri.path();
        Reading::of_head(&self.state, &self.plan, self.endpoint, path, &self.own)
    }

    /// Which conversation a message with these facts belongs to.
    pub(super) fn recognise(&self, facts: BodyFacts) -> (Identity, BodyFacts) {
        match self.reading() {
            Some(reading) => reading.recognise(&self.own, facts),
            None => (Identity::default(), facts),
        }
    }

    /// The call that it is, or that a message makes.
    pub(super) fn call(
        &self,
        session: Option<Session>,
        model: Option<ModelId>,
        bytes: u64,
        bound: Bound,
    ) -> Call<'_> {
        Call {
            state: &self.state,
            upstreams: &self.upstreams,
            plan: &self.plan,
            pool: &self.pool,
            endpoint: self.endpoint,
            method: Method::GET,
            path: &self.path,
            query: self.uri.query().map(Cow::Borrowed),
            // It is set here.
            issued: self.issued.clone(),
            seen_at: None,
            headers: HeaderMap::new(),
            brought: self.brought,
            session,
            model,
            bytes,
            patience: self.patience,
            bound,
            turn: self.named.turn,
            repeatable: true,
        }
    }

    /// Makes it with one key after the other, but not with the `current` one.
    pub(super) async fn shake<'h>(
        &self,
        call: &'h Call<'h>,
        current: Option<KeyId>,
        record: &mut Record,
        outcomes: &mut Outcomes<'h>,
    ) -> Result<Accepting<'h>, Never<'h>> {
        loop {
            let chosen = call.choose(record).await;
            let (key, affinity) = chosen.map_err(Never::NothingLeft)?;
            if current == Some(key.id) {
                return Err(Never::Same);
            }
            if call.state.websockets().lacks(key, call.path) {
                let verdict = Verdict::new(Matter::Request, "no WebSocket");
                record.judged(&call.asked(), verdict, false, call.state.now());
                return Err(Never::Lacking);
            }
            let shaken = self.send(call, key).await;
            let now = call.state.now();
            let (verdict, answered) = match shaken {
                Ok(Shaken::Accepted(head, upstream)) => {
                    record.answered(head.status);
                    let provider = key.target.provider();
                    let left = limits::read(&head.headers, provider, now);
                    let owner = owner::of_answer(provider, &head.headers, &Signals::default());
                    let mut policy = call.state.policy();
                    policy.told(key, call.model, &left, owner, now);
                    return Ok(Accepting {
                        key,
                        affinity,
                        head: *head,
                        upstream,
                    });
                }
                Ok(Shaken::Answered(answer)) => {
                    record.answered(answer.head.status);
                    if self.is_lacking(&answer) {
                        let verdict = Verdict::new(Matter::Request, "no WebSocket");
                        record.judged(&call.asked(), verdict, false, now);
                        call.state.websockets().lacking(key, call.path);
                        return Err(Never::Lacking);
                    }
                    (call.judge(key, &answer, now), Ok(answer))
                }
                Err(error) => {
                    let matter = match error {
                        SendError::Loop => Matter::Request,
                        _ => Matter::Network,
                    };
                    (Verdict::new(matter, "network"), Err(error))
                }
            };
            let again = record.judged(&call.asked(), verdict, true, now);
            match answered {
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
                        return Err(Never::Refused(Box::new(answered)));
                    }
                    outcomes.answered(answered);
                }
                Err(error) if again => outcomes.failed(error),
                Err(error) => return Err(Never::Failed(error)),
            }
        }
    }

    async fn send(&self, call: &Call<'_>, key: &Key) -> Result<Shaken, SendError> {
        let to = Destination {
            target: &key.target,
            via: key.via.as_deref(),
            upgrades: true,
        };
        let timing = &call.plan.timing;
        let within = timing.first_byte_timeout.min(WITHIN);
        let shaking = async {
            let make = || self.request(call, key);
            let sending = self.upstreams.send(to, true, timing.connect_timeout, make);
            let (mut answer, lease) = sending.await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                let opened = opening::open(&call.method, answer, lease).await;
                return Ok(Shaken::Answered(Box::new(opened)));
            }
            if !wire::is_accepted(answer.headers()) {
                let why = "it switched to something that is no WebSocket".to_owned();
                return Err(SendError::Broken(why));
            }
            let upgrade = hyper::upgrade::on(&mut answer);
            let upgraded = lease.upgraded(upgrade).await;
            let upgraded = upgraded.map_err(|error| SendError::Broken(error.to_string()))?;
            let (head, _) = answer.into_parts();
            Ok(Shaken::Accepted(Box::new(head), upgraded))
        };
        tokio::time::timeout(within, shaking)
            .await
            .unwrap_or(Err(SendError::FirstByte(within)))
    }

    /// The handshake with the credential of `key`, where the client had its own.
    fn request(&self, call: &Call<'_>, key: &Key) -> Option<Request<RequestBody>> {
        let secret = key.secret.expose();
        let provider = provider::credential_of(&key.target, call.path, secret);
        let kind = CredentialKind::choose(provider, self.brought, self.endpoint.dialect);
        let mut headers = self.sent.clone();
        if call.is_foreign(key) {
            headers.remove(TURN_STATE);
        }
        let (kind, query) = if let Some(issued) = &self.issued {
            issued.put(&mut headers, Some(&self.offer));
            (None, issued.query(call.query.as_deref()))
        } else {
            let query = credential::upstream_query(call.query.as_deref(), kind, secret);
            let in_protocols =
                kind == CredentialKind::Bearer && self.offer.put(&mut headers, secret);
            ((!in_protocols).then_some(kind), query)
        };
        let path = key.target.join(call.path, query.as_deref()).ok()?;
        let mut request = Request::new(RequestBody::frames(Frames::default()));
        *request.headers_mut() = headers;
        let direct = Uri::from(path.clone());
        address(&mut request, key, kind, path)?;
        // Whichever way it goes, no outgoing proxy reads it.
        *request.uri_mut() = direct;
        request.headers_mut().remove(PROXY_AUTHORIZATION);
        Some(request)
    }

    /// Whether an answer says that there is no WebSocket at this path. What gives another reason in
    /// the words of an API is passed on, but for the responses API, whose clients can do without.
    fn is_lacking(&self, answer: &Opened) -> bool {
        let reasons = !answer.signals.is_empty() && self.endpoint.dialect != Dialect::Responses;
        match answer.head.status.as_u16() {
            426 | 501 | 405 => true,
            200..400 => !answer.signals.is_error_envelope(),
            400 | 404 => !reasons,
            _ => false,
        }
    }
}
