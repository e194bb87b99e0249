//! Sends JSON to somebody who is no upstream: the same trust, the same outgoing proxies, no credential
//! but what it is given. Redirects are not followed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::Secret;
use api_key_lb_core::plan::Via;
use api_key_lb_core::target::Target;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};

use crate::body::{Frames, RequestBody};
use crate::probe::{AGENT, Answer, JSON, ProbeError, Prober, collect};
use crate::upstream::{Destination, Upstreams};

/// Where to, and with what.
#[derive(Clone, Debug)]
pub struct Address {
    /// The server; its path is not looked at.
    pub target: Arc<Target>,
    /// The outgoing proxy on the way to it.
    pub via: Option<Arc<Via>>,
    /// The path.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(HeaderName, Secret)>,
}

/// Sends one after the other. Stays on its thread.
#[derive(Debug)]
pub struct Poster {
    upstreams: Rc<Upstreams>,
    connect_timeout: Duration,
}

impl Poster {
    /// Trusts whom `prober` trusts.
    pub fn new(prober: Prober) -> Self {
        Self {
            connect_timeout: prober.connect_timeout,
            upstreams: Upstreams::new(prober.connector),
        }
    }

    /// Sends `body` and takes the answer.
    ///
    /// # Errors
    /// If there is no answer within `timeout`.
    pub async fn post(
        &self,
        address: &Address,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Answer, ProbeError> {
        let body = Bytes::from(body);
        let sending = async {
            let to = Destination {
                target: &address.target,
                via: address.via.as_deref(),
                upgrades: false,
            };
            let make = || request(address, body.clone());
            let sent = self.upstreams.send(to, false, self.connect_timeout, make);
            let (response, lease) = sent.await?;
            collect(response, lease).await
        };
        request(address, body.clone()).ok_or(ProbeError::Unfit)?;
        match tokio::time::timeout(timeout, sending).await {
            Ok(answer) => answer.map_err(|error| ProbeError::Unreachable(error.to_string())),
            Err(_) => Err(ProbeError::Silent(timeout)),
        }
    }
}

fn request(address: &Address, body: Bytes) -> Option<Request<RequestBody>> {
    let length = body.len();
    let frames = Frames {
        bytes: length as u64,
        data: Arc::new(vec![body]),
        ..Frames::default()
    };
    let mut request = Request::new(RequestBody::frames(frames));
    *request.method_mut() = Method::POST;
    let target = &address.target;
    // A plain proxy wants to be told the whole address.
    *request.uri_mut() = match (&address.via, target.tls()) {
        (Some(_), false) => format!("http://{}{}", target.authority(), address.path),
        _ => address.path.clone(),
    }
    .parse()
    .ok()?;
    let headers = request.headers_mut();
    if let (Some(via), false) = (&address.via, target.tls())
        && let Some(authorization) = &via.authorization
    {
        headers.insert(http::header::PROXY_AUTHORIZATION, secret(authorization)?);
    }
    headers.insert(HOST, target.authority().as_str().try_into().ok()?);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CONTENT_LENGTH, length.into());
    for (name, value) in &address.headers {
        headers.insert(name, secret(value)?);
    }
    Some(request)
}

fn secret(value: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
