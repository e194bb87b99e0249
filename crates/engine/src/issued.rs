//! Credentials that a provider has issued for one client, at a request that passed through us: they
//! go on as they came, to the account that issued them, and no key goes with them.

use api_key_lb_core::object::Reference;
use api_key_lb_core::plan::{Plan, Pool};
use api_key_lb_core::wire::credential::{self, CredentialKind};
use api_key_lb_core::wire::references;
use api_key_lb_core::{Secret, wire::websocket::Offer};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Request, Uri};

use crate::state::State;

/// The query parameter that carries one (Gemini Live).
const TOKEN: &str = "access_token=";

/// The one that a client brought.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// As an object of its account.
    pub(crate) reference: Reference,
    secret: Secret,
    carrier: Carrier,
}

/// How it came.
#[derive(Clone, Debug)]
enum Carrier {
    Header(HeaderValue),
    Query,
    /// Among the subprotocols of a WebSocket.
    Protocol,
}

impl Issued {
    /// If a request to `pool` brings one of which we know who has issued it.
    pub(crate) fn of(
        state: &State,
        pool: &Pool,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Option<Self> {
        let now = state.now();
        let mut brought = references::issued(headers, query);
        let (reference, secret) =
            brought.find(|(issued, _)| state.policy().owner(pool, *issued, now).is_some())?;
        let in_header = headers.get_all(AUTHORIZATION).into_iter();
        let mut in_header = in_header.filter(|value| value.as_bytes().ends_with(secret));
        let mut in_query = query.into_iter().flat_map(|query| query.split('&'));
        let carrier = if let Some(value) = in_header.next() {
            let mut value = value.clone();
            value.set_sensitive(true);
            Carrier::Header(value)
        } else if in_query.any(|pair| pair.strip_prefix(TOKEN).map(str::as_bytes) == Some(secret)) {
            Carrier::Query
        } else {
            Carrier::Protocol
        };
        Some(Self {
            reference,
            secret: Secret::new(std::str::from_utf8(secret).ok()?.to_owned()),
            carrier,
        })
    }

    /// Puts it back where it came from, unless that is the query.
    pub(crate) fn put(&self, headers: &mut HeaderMap, offer: Option<&Offer>) {
        match (&self.carrier, offer) {
            (Carrier::Header(value), _) => {
                headers.insert(AUTHORIZATION, value.clone());
            }
            (Carrier::Protocol, Some(offer)) => {
                offer.put(headers, self.secret.expose());
            }
            _ => {}
        }
    }

    /// A query with it and no other credential.
    pub(crate) fn query(&self, query: Option<&str>) -> Option<String> {
        // As a header none leaves a trace there.
        let query = credential::upstream_query(query, CredentialKind::Bearer, "");
        match self.carrier {
            Carrier::Query => {
                let before = query.filter(|query| !query.is_empty());
                let before = before.map_or_else(String::new, |query| query + "&");
                Some(format!("{before}{TOKEN}{}", self.secret.expose()))
            }
            Carrier::Header(_) | Carrier::Protocol => query,
        }
    }
}

/// Whether a request brings one. It needs no token of ours then: whoever has one has asked for it.
pub(crate) fn is_brought<B>(state: &State, plan: &Plan, request: &Request<B>) -> bool {
    let uri: &Uri = request.uri();
    plan.route(uri.path())
        .is_some_and(|(pool, _)| Issued::of(state, pool, request.headers(), uri.query()).is_some())
}
