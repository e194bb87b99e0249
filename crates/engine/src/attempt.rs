//! Stops 4 and 5 of a request's way: the next key for it, and the request as that key sends it.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::fact::{Affinity, ModelId};
use api_key_lb_core::object::ObjectId;
use api_key_lb_core::plan::{Key, Plan, Pool};
use api_key_lb_core::policy::{Asked, Bound, Choice, Session};
use api_key_lb_core::provider;
use api_key_lb_core::verdict::Matter;
use api_key_lb_core::wire::answer::TURN_STATE;
use api_key_lb_core::wire::credential::{self, Brought, CredentialKind};
use api_key_lb_core::wire::dialect::Endpoint;
use api_key_lb_core::wire::{judge, limits, owner};
use api_key_lb_core::{Moment, Verdict};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;

use crate::asking;
use crate::body::RequestBody;
use crate::error::SendError;
use crate::gather::Gathered;
use crate::issued::Issued;
use crate::opening::Opened;
use crate::record::Record;
use crate::state::State;
use crate::upstream::{Destination, Lease, Upstreams};

/// What stays the same over all attempts of one request.
pub(crate) struct Call<'c> {
    pub(crate) state: &'c Arc<State>,
    pub(crate) upstreams: &'c Rc<Upstreams>,
    pub(crate) plan: &'c Plan,
    pub(crate) pool: &'c Pool,
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    /// The client's path, without the segment that chose the pool.
    pub(crate) path: &'c str,
    pub(crate) query: Option<Cow<'c, str>>,
    /// The client's headers without credentials, framed anew.
    pub(crate) headers: HeaderMap,
    pub(crate) brought: Brought,
    pub(crate) session: Option<Session>,
    pub(crate) model: Option<ModelId>,
    /// Bytes of its body.
    pub(crate) bytes: u64,
    /// How long the client waits for the first byte.
    pub(crate) patience: Duration,
    /// Which accounts the objects allow that it names.
    pub(crate) bound: Bound,
    /// What a provider has given it to route it by.
    pub(crate) turn: Option<ObjectId>,
    /// The client's own credential, if its provider has issued it for it: it goes on as it is.
    pub(crate) issued: Option<Issued>,
    /// Where the client sees us, if an answer may lead it past us.
    pub(crate) seen_at: Option<String>,
    /// Whether it may be sent again although an earlier attempt may have had an effect.
    pub(crate) repeatable: bool,
}

impl<'c> Call<'c> {
    /// As the policy is asked.
    pub(crate) const fn asked(&self) -> Asked<'_> {
        Asked {
            pool: self.pool,
            session: self.session.as_ref(),
            model: self.model,
            bytes: self.bytes,
            patience: self.patience,
            bound: self.bound,
        }
    }

    /// The next key, its attempt begun. If the best one will be usable soon, the request waits for
    /// it, in the order in which requests came. If there is none: in how long the soonest cooling
    /// account is back.
    pub(crate) async fn choose(
        &self,
        record: &mut Record,
    ) -> Result<(&'c Key, Affinity), Option<Duration>> {
        let asked = self.asked();
        loop {
            // Listens before it asks, or what changes in between would be missed.
            let changed = self.state.changed().notified();
            let now = self.state.now();
            match record.choose(&asked, now) {
                Choice::Use { key, affinity, .. } => return Ok((&self.pool.keys[key], affinity)),
                Choice::Exhausted { soonest } => {
                    return Err(soonest.map(|soonest| soonest.since(now)));
                }
                Choice::Hold { until, .. } => {
                    let wait = until.since(now);
                    // Either way it asks again.
                    let _ = tokio::time::timeout(wait, changed).await;
                }
            }
        }
    }

    /// What an answer comes to, and what it tells besides.
    pub(crate) fn judge(&self, key: &Key, answer: &Opened, now: Moment) -> Verdict {
        let (status, headers) = (answer.head.status, &answer.head.headers);
        let provider = key.target.provider();
        let left = limits::read(headers, provider, now);
        let owner = owner::of_answer(provider, headers, &answer.signals);
        let mut policy = self.state.policy();
        policy.told(key, self.model, &left, owner, now);
        drop(policy);
        if answer.broke_off {
            return Verdict::new(Matter::Network, "network");
        }
        let own = &self.plan.error_rules;
        let verdict = judge::judge_by(own, provider, status, headers, &answer.signals, now);
        match verdict.matter {
            // It is not our key that is refused.
            Matter::Key | Matter::Suspicion | Matter::Entitlement if self.issued.is_some() => {
                Verdict::new(Matter::Request, "the client's own credential")
            }
            _ => verdict,
        }
    }

    /// Sends the request with `key` and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        key: &Key,
        body: &mut Gathered,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let timing = &self.plan.timing;
        let to = Destination {
            target: &key.target,
            via: key.via.as_deref(),
            upgrades: false,
        };
        let make = || self.request(key, body.take()?);
        let sending = self
            .upstreams
            .send(to, self.repeatable, timing.connect_timeout, make);
        tokio::time::timeout(timing.first_byte_timeout, sending)
            .await
            .unwrap_or(Err(SendError::FirstByte(timing.first_byte_timeout)))
    }

    /// Whether what routes it was given out by another account: elsewhere it would lead nowhere.
    pub(crate) fn is_foreign(&self, key: &Key) -> bool {
        self.turn.is_some_and(|turn| {
            let (now, policy) = (self.state.now(), self.state.policy());
            policy.is_foreign(self.pool, key, turn, now)
        })
    }

    /// The upstream request: the client's, with exactly one credential, for the key's own host.
    /// `None` only if a configured value is unfit for a header, which validation has excluded.
    fn request(&self, key: &Key, body: RequestBody) -> Option<Request<RequestBody>> {
        let secret = key.secret.expose();
        let provider = provider::credential_of(&key.target, self.path, secret);
        let kind = CredentialKind::choose(provider, self.brought, self.endpoint.dialect);
        let query = match &self.issued {
            Some(own) => own.query(self.query.as_deref()),
            None => credential::upstream_query(self.query.as_deref(), kind, secret),
        };
        let path = key.target.join(self.path, query.as_deref()).ok()?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        asking::reframe(&mut request);
        if self.is_foreign(key) {
            request.headers_mut().remove(TURN_STATE);
        }
        if let Some(own) = &self.issued {
            own.put(request.headers_mut(), None);
        }
        let kind = self.issued.is_none().then_some(kind);
        address(&mut request, key, kind, path)?;
        Some(request)
    }
}

/// Has a request without any credential go to the host of `key`, the only one that may see its
/// secret, and gives it that secret unless `kind` is none. `None` only if a configured value is
/// unfit for a header.
pub(crate) fn address(
    request: &mut Request<RequestBody>,
    key: &Key,
    kind: Option<CredentialKind>,
    path: PathAndQuery,
) -> Option<()> {
    let headers = request.headers_mut();
    if let Some(kind) = kind {
        kind.set(headers, key.secret.expose()).ok()?;
    }
    headers.insert(
        HOST,
        HeaderValue::from_str(key.target.authority().as_str()).ok()?,
    );
    let uri = match &key.via {
        // Through an outgoing proxy without a tunnel, the target is named whole.
        Some(via) if !key.target.tls() => {
            if let Some(authorization) = &via.authorization {
                let mut value = HeaderValue::from_str(authorization.expose()).ok()?;
                value.set_sensitive(true);
                headers.insert(PROXY_AUTHORIZATION, value);
            }
            Uri::builder()
                .scheme("http")
                .authority(key.target.authority().clone())
                .path_and_query(path)
                .build()
                .ok()?
        }
        _ => Uri::from(path),
    };
    *request.uri_mut() = uri;
    Some(())
}

/// Declares the body's length upstream, as the client declared one or as it has turned out.
/// `framed` says whether the client sent a body at all.
pub(crate) fn frame(headers: &mut HeaderMap, body: &Gathered, framed: bool) {
    match body.length() {
        Some(length) if body.trailers().is_none() => {
            if framed {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        // Trailers, and a length nobody knows, need the chunked coding.
        _ => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}
