//! Sends one request with one key, outside the traffic, as the data plane would: the same trust, the
//! same outgoing proxies, the same credential. Redirects are not followed: the key is for one host.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::plan::{Key, Plan};
use api_key_lb_core::provider;
use api_key_lb_core::wire::credential::{self, Brought, CredentialKind};
use api_key_lb_core::wire::decoding::{Decoder, Decoding};
use api_key_lb_core::wire::probe::{MAX_ANSWER, Question};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::attempt;
use crate::body::{Frames, RequestBody};
use crate::error::{EngineError, SendError};
use crate::upstream::{Connector, Destination, Lease, Trust, Upstreams};

/// Who asks.
pub(crate) const AGENT: &str = concat!("api-key-lb/", env!("CARGO_PKG_VERSION"));
pub(crate) const JSON: &str = "application/json";

/// An answer, its body decoded and cut after [`MAX_ANSWER`] bytes.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// Why there is no answer. Never names a key.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// Nothing came in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// A configured value cannot stand in a request.
    #[error("the key or its target does not fit into a request")]
    Unfit,
}

/// Asks upstreams about keys.
#[derive(Clone, Debug)]
pub struct Prober {
    pub(crate) connector: Connector,
    pub(crate) connect_timeout: Duration,
}

impl Prober {
    /// For the keys of `plan`.
    ///
    /// # Errors
    /// If the certificates to trust cannot be loaded.
    pub fn new(plan: &Plan, extra_ca: Option<&Path>) -> Result<Self, EngineError> {
        Ok(Self {
            connector: Connector {
                trust: Trust::of(plan, extra_ca)?,
                own: Arc::new([]),
            },
            connect_timeout: plan.timing.connect_timeout,
        })
    }

    /// Asks `question` with `key`, or with no credential at all unless `shown`.
    ///
    /// # Errors
    /// If there is no answer within `timeout`.
    pub async fn ask(
        &self,
        key: &Key,
        question: &Question,
        shown: bool,
        timeout: Duration,
    ) -> Result<Answer, ProbeError> {
        let asking = async {
            let to = Destination {
                target: &key.target,
                via: key.via.as_deref(),
                upgrades: false,
            };
            let make = || request(key, question, shown);
            let upstreams = Upstreams::new(self.connector.clone());
            let (response, lease) = upstreams
                .send(to, false, self.connect_timeout, make)
                .await?;
            collect(response, lease).await
        };
        // Built once more than it is sent, to tell what cannot be sent from what is refused.
        request(key, question, shown).ok_or(ProbeError::Unfit)?;
        match tokio::time::timeout(timeout, asking).await {
            Ok(answer) => answer.map_err(|error| ProbeError::Unreachable(error.to_string())),
            Err(_) => Err(ProbeError::Silent(timeout)),
        }
    }
}

fn request(key: &Key, question: &Question, shown: bool) -> Option<Request<RequestBody>> {
    let secret = key.secret.expose();
    let (path, query) = match question.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (question.path.as_str(), None),
    };
    let kind = shown.then(|| {
        let provider = provider::credential_of(&key.target, path, secret);
        CredentialKind::choose(provider, Brought::default(), question.dialect)
    });
    let query = match kind {
        Some(kind) => credential::upstream_query(query, kind, secret),
        None => query.map(str::to_owned),
    };
    let whole = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut frames = Frames::default();
    if !question.body.is_empty() {
        frames.bytes = question.body.len() as u64;
        frames.data = Arc::new(vec![Bytes::from(question.body.clone())]);
    }
    let mut request = Request::new(RequestBody::frames(frames));
    *request.method_mut() = question.method.clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static(JSON));
    if !question.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    }
    for (name, value) in &question.headers {
        headers.insert(name, HeaderValue::from_static(value));
    }
    attempt::address(&mut request, key, kind, whole.try_into().ok()?)?;
    Some(request)
}

/// The answer with the beginning of its body; the connection is closed, whatever follows.
pub(crate) async fn collect(
    response: Response<Incoming>,
    mut lease: Lease,
) -> Result<Answer, SendError> {
    let (head, mut incoming) = response.into_parts();
    let mut decoder = Decoder::new(&head.headers, MAX_ANSWER as u64);
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER {
        let frame = poll_fn(|cx| {
            let mut polled = Pin::new(&mut incoming).poll_frame(cx);
            if polled.is_pending() {
                lease.drive(cx);
                polled = Pin::new(&mut incoming).poll_frame(cx);
            }
            polled
        });
        let Some(frame) = frame.await else {
            break;
        };
        let frame = frame.map_err(|error| SendError::Broken(error.to_string()))?;
        let (Some(data), Some(decoder)) = (frame.data_ref(), &mut decoder) else {
            continue;
        };
        if decoder.feed(data, &mut |plain| body.extend_from_slice(plain)) != Decoding::Going {
            break;
        }
    }
    body.truncate(MAX_ANSWER);
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}
