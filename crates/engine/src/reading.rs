//! Stop 3 of a request's way, around its body: where it goes, what has to be read of it, and which
//! conversation it then says it belongs to.

use api_key_lb_core::conversation::{Conversation, Identity};
use api_key_lb_core::object::References;
use api_key_lb_core::plan::{Plan, Pool};
use api_key_lb_core::wire::body::{BodyFacts, Need, RequestReader};
use api_key_lb_core::wire::dialect::{Dialect, Endpoint, model_of_path};
use api_key_lb_core::wire::{identity, include_usage, references};
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, Method};

use crate::state::State;

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// Providers that keep chat completions when they are told to. Those of others are not read for it.
const STORES_CHATS: [&str; 2] = ["openai", "azure"];

/// What the head says of a request's endpoint.
pub(crate) fn endpoint(method: &Method, path: &str, headers: &HeaderMap) -> Endpoint {
    Endpoint::of(method, path, headers.contains_key(ANTHROPIC_VERSION))
}

/// How one request is read.
pub(crate) struct Reading<'p> {
    plan: &'p Plan,
    /// The pool that serves it.
    pub(crate) pool: &'p Pool,
    /// The client's path, without the segment that chose the pool.
    pub(crate) path: &'p str,
    endpoint: Endpoint,
    need: Need,
}

impl<'p> Reading<'p> {
    /// For a request with this head; `None` if there is no pool for its path.
    pub(crate) fn of_head(
        state: &State,
        plan: &'p Plan,
        endpoint: Endpoint,
        path: &'p str,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let (pool, path) = plan.route(path)?;
        Some(Self {
            plan,
            pool,
            path,
            endpoint,
            need: Need {
                splice: plan.include_usage && include_usage::may_ask(endpoint, path, headers),
                ..need(state, plan, pool, endpoint, headers)
            },
        })
    }

    /// What has to be read of it.
    pub(crate) const fn need(&self) -> Need {
        self.need
    }

    /// Reads its body.
    pub(crate) fn reader(&self) -> RequestReader<'p> {
        RequestReader::new(self.plan.recognition.ladder.paths(), self.need)
    }

    /// The objects that the request names, once its body has been read.
    pub(crate) fn references(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        facts: &mut BodyFacts,
    ) -> References {
        let mut references = references::of_head(method, self.path, query, headers, self.endpoint);
        references.named.append(&mut facts.references);
        references
    }

    /// What the request says, once its body has been read.
    pub(crate) fn recognise(&self, headers: &HeaderMap, facts: BodyFacts) -> (Identity, BodyFacts) {
        let ladder = &self.plan.recognition.ladder;
        let (mut identity, mut facts) = identity::recognise(ladder, headers, facts);
        if facts.model.is_none() {
            facts.model = model_of_path(self.path).map(str::to_owned);
        }
        if !self.endpoint.converses {
            identity.conversation = Conversation::default();
        }
        (identity, facts)
    }
}

/// What has to be read of a request, given its head: nothing that can be known without it.
fn need(state: &State, plan: &Plan, pool: &Pool, endpoint: Endpoint, headers: &HeaderMap) -> Need {
    let hint = identity::from_head(&plan.recognition.ladder, headers);
    let now = state.now();
    let policy = state.policy();
    let chain = match &hint {
        _ if !endpoint.converses => false,
        None => true,
        Some(hint) => {
            // A length nobody has declared may be any.
            let bytes = declared_length(headers).unwrap_or(u64::MAX);
            policy.wants_messages(pool, hint.session, bytes, now)
        }
    };
    // Another process may tell of the first ones while the body is read.
    let references = pool.keys.len() > 1 && state.is_told()
        || policy.knows_objects(pool, references::kinds(endpoint));
    drop(policy);
    Need {
        ids: !hint.is_some_and(|hint| hint.settled),
        chain,
        background: endpoint.dialect == Dialect::Responses,
        stores: pool.keys.len() > 1
            && endpoint.generates
            && endpoint.dialect == Dialect::OpenAi
            && STORES_CHATS.contains(&pool.target.provider().name),
        splice: false,
        references,
    }
}

/// The length of the body that the client has declared.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
