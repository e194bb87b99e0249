//! What would become of a request, and why: read and recognised as one that is served, but nothing
//! is recorded and nothing is sent.

use std::sync::Arc;

use api_key_lb_core::conversation::Identity;
use api_key_lb_core::fact::ModelId;
use api_key_lb_core::ladder::{NEVER, Path, PathTree};
use api_key_lb_core::plan::{Plan, Pool};
use api_key_lb_core::policy::{Asked, Choice, KeySnapshot, Session, Standing};
use api_key_lb_core::wire::body::{BodyFacts, Need, RequestReader};
use api_key_lb_core::wire::dialect::{Endpoint, model_of_path};
use api_key_lb_core::wire::identity::{self, Found};
use api_key_lb_core::wire::patience;
use api_key_lb_core::{KeyId, Moment};
use http::{HeaderMap, Method};

use crate::reading::{Reading, endpoint};
use crate::state::State;

/// Objects of a body in which [`NEVER`]'s names stand, besides its top.
const METADATA: [&str; 2] = ["metadata", "client_metadata"];

/// Something in a request that looks like an id and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Never {
    /// Where: `header x-request-id`, `body metadata.user`.
    pub place: String,
    /// Why it is none.
    pub why: &'static str,
}

/// What would become of a request.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The plan in force.
    pub plan: Arc<Plan>,
    /// When.
    pub now: Moment,
    /// What its path says.
    pub endpoint: Endpoint,
    /// The name of the pool that serves it; `None` if there is none for its path.
    pub pool: Option<String>,
    /// Everything it says of its conversation, if all of it is read.
    pub identity: Identity,
    /// What each rule finds, first one first.
    pub found: Vec<Found>,
    /// What looks like an id and is none.
    pub never: Vec<Never>,
    /// Its session.
    pub session: Option<Session>,
    /// How it stands with that.
    pub standing: Standing,
    /// The key that it gets.
    pub choice: Choice,
    /// The keys of the plan.
    pub keys: Vec<KeySnapshot>,
}

impl Explained {
    /// The pool that serves it.
    pub fn pool(&self) -> Option<&Pool> {
        let name = self.pool.as_ref()?;
        self.plan.pools().find(|pool| pool.name == *name)
    }

    /// What the policy knows of a key.
    pub fn key(&self, id: KeyId) -> Option<&KeySnapshot> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl State {
    /// What would become of a request with this head and this (decoded) body now.
    pub fn explain(
        &self,
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Explained {
        let plan = self.plan();
        let path = path_and_query.split('?').next().unwrap_or_default();
        let endpoint = endpoint(method, path, headers);
        let reading = Reading::of_head(self, &plan, endpoint, path, headers);

        let ladder = &plan.recognition.ladder;
        let all = read(RequestReader::new(ladder.paths(), Need::ALL), &plan, body);
        let found = identity::everything(ladder, headers, &all);
        let named = all.model.as_deref().or_else(|| model_of_path(path));
        let model = named.map(ModelId::of);
        let (identity, _) = match &reading {
            Some(reading) => reading.recognise(headers, all),
            None => identity::recognise(ladder, headers, all),
        };
        let decisive = reading.as_ref().map(|reading| {
            // Not all of it: what is not read of a request that is served does not decide here.
            let facts = read(reading.reader(), &plan, body);
            let (identity, mut facts) = reading.recognise(headers, facts);
            let query = path_and_query.split_once('?').map(|(_, query)| query);
            let references = reading.references(method, query, headers, &mut facts);
            (reading.pool, identity, references)
        });

        let now = self.now();
        let mut policy = self.policy();
        let session = decisive
            .as_ref()
            .and_then(|(pool, identity, _)| policy.recognise(pool, identity, now));
        let standing = session
            .as_ref()
            .map(|session| policy.standing(session, now))
            .unwrap_or_default();
        let choice = match (&decisive, &session) {
            (Some((pool, _, references)), session) => {
                let asked = Asked {
                    pool,
                    session: session.as_ref(),
                    model,
                    bytes: body.len() as u64,
                    patience: patience::patience(headers),
                    bound: policy.bound(pool, references, now),
                };
                policy.preview(&asked, now)
            }
            (None, _) => Choice::Exhausted { soonest: None },
        };
        let keys = policy.snapshot(&plan, now).keys;
        drop(policy);
        let pool = decisive.map(|(pool, ..)| pool.name.clone());
        Explained {
            now,
            endpoint,
            pool,
            identity,
            found,
            never: never(headers, body),
            session,
            standing,
            choice,
            keys,
            plan,
        }
    }
}

/// What a reader finds in a body, as it would while the body is gathered.
fn read(mut reader: RequestReader<'_>, plan: &Plan, body: &[u8]) -> BodyFacts {
    reader.feed(body);
    if body.len() as u64 > plan.limits.replay_bytes {
        reader.so_far()
    } else {
        reader.finish()
    }
}

/// What in a request looks like an id and is none.
fn never(headers: &HeaderMap, body: &[u8]) -> Vec<Never> {
    let paths: Vec<(Path, &'static str)> = NEVER
        .iter()
        .flat_map(|(name, why)| {
            let within = METADATA.map(|object| format!("{object}.{name}"));
            let places = std::iter::once((*name).to_owned()).chain(within);
            places.filter_map(|place| Some((place.parse().ok()?, *why)))
        })
        .collect();
    let mut tree = PathTree::default();
    for (path, _) in &paths {
        tree.add(path);
    }
    let mut reader = RequestReader::new(&tree, Need::ALL);
    reader.feed(body);
    let captures = reader.finish().captures;
    let in_head = NEVER
        .iter()
        .filter(|(name, _)| headers.contains_key(*name))
        .map(|(name, why)| Never {
            place: format!("header {name}"),
            why,
        });
    let in_body = paths
        .iter()
        .filter(|(path, _)| {
            let place = tree.place_of(path);
            place.is_some_and(|place| captures.at(place).is_some())
        })
        .map(|(path, why)| Never {
            place: format!("body {path}"),
            why,
        });
    in_head.chain(in_body).collect()
}
