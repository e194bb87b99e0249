//! What would become of a request: the question a running proxy is asked, and the answer.

mod observe;
mod past;
mod text;

use api_key_lb_core::plan::Plan;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

pub(crate) use observe::Names;
pub(crate) use past::past;
pub(crate) use text::text;

/// The code of [`Why::no_key`] when a key is waited for.
pub(crate) const WAITING: &str = "waiting";
/// The code that says that no pool serves the path.
const UNKNOWN_POOL: &str = "unknown_pool";

/// The question: a request. Holds credentials, so it is neither printed nor logged.
#[derive(Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Its method.
    pub(crate) method: String,
    /// Its path, with the segment that chooses a pool, and its query.
    pub(crate) path: String,
    /// Its headers, as pairs.
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// Its body, decoded.
    #[serde(default)]
    pub(crate) body: String,
}

impl Asked {
    /// Method and headers as they are on the wire; `None` if they cannot be there.
    pub(crate) fn head(&self) -> Option<(Method, HeaderMap)> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers
                .try_append(name, HeaderValue::from_str(value).ok()?)
                .ok()?;
        }
        let method = Method::from_bytes(self.method.as_bytes()).ok()?;
        self.path.starts_with('/').then_some((method, headers))
    }
}

/// The answer, and what `why --json` prints. Fields and the values of `state`, `code`, `part` and
/// `affinity` stay as they are; the words in `text` and `because` may change.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Why {
    /// Whose sessions and cooldowns decided.
    pub(crate) proxy: Said,
    /// The request.
    pub(crate) request: Request,
    /// The rule that decided; null if none did.
    pub(crate) rule: Option<Rule>,
    /// The session; null if there is none.
    pub(crate) session: Option<Session>,
    /// Why there is no session: `unknown_pool`, `no_conversation`, `unknown_answer`, `no_body`,
    /// `not_json`, `no_user_message`.
    pub(crate) no_session: Option<Said>,
    /// What other rules found, in their order.
    pub(crate) not_used: Vec<Rule>,
    /// What looks like an id and never is one.
    pub(crate) never: Vec<Never>,
    /// The key that it gets; null if there is none.
    pub(crate) key: Option<Key>,
    /// Why there is no key: `waiting`, `cooling`, `unknown_pool`, `not_configured`.
    pub(crate) no_key: Option<Said>,
    /// Keys of the pool that cannot serve now.
    pub(crate) resting: Vec<Resting>,
    /// What had to be assumed.
    pub(crate) notes: Vec<String>,
}

/// A stable word for programs and a sentence for people.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// For programs.
    pub(crate) code: String,
    /// For people.
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn new(code: &str, text: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            text: text.into(),
        }
    }
}

/// The request, as far as it may be shown.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Its method.
    pub(crate) method: String,
    /// Its path without query.
    pub(crate) path: String,
    /// The pool that serves it, empty for the default one; null if there is none.
    pub(crate) pool: Option<String>,
    /// Messages after the system prompt; 0 if it is no conversation.
    pub(crate) messages: u64,
}

/// A rule that found something.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Its number in the table of the documentation; null for a rule of `session_rules`.
    pub(crate) number: Option<u8>,
    /// Its name, as in the log.
    pub(crate) name: String,
    /// Equal values of one family are one session.
    pub(crate) family: String,
    /// The beginning of what it found; null where the content itself is what it found.
    pub(crate) value: Option<String>,
    /// What that is, or why it was not used.
    pub(crate) because: String,
}

/// The session of the request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// As in the log.
    pub(crate) id: String,
    /// `new` or `known`.
    pub(crate) state: String,
    /// If it is known: milliseconds since it was last used.
    pub(crate) last_used_ms: Option<u64>,
    /// `whole`, `sub_agent` or `conversation`: which part of what the rule names.
    pub(crate) part: String,
    /// That in words, and what else is remarkable.
    pub(crate) text: Vec<String>,
}

/// Something that looks like an id.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Never {
    /// Where it stands.
    pub(crate) name: String,
    /// Why it is none.
    pub(crate) because: String,
}

/// The key of the request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// What people call it; as in `x-lb-key`.
    pub(crate) label: String,
    /// The account that it is configured to belong to.
    pub(crate) account: Option<String>,
    /// As in `x-lb-affinity`.
    pub(crate) affinity: String,
    /// Why it is this one.
    pub(crate) because: String,
}

/// A key that cannot serve now.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resting {
    /// What people call it.
    pub(crate) label: String,
    /// `cooling` (throttled) or `refused` (by the provider; used only if nothing else is left).
    pub(crate) state: String,
    /// Milliseconds until it is tried again.
    pub(crate) retry_in_ms: u64,
}

/// Credentials that must not be shown even where they stand as an id.
fn secrets<'s>(plan: &'s Plan, headers: &'s HeaderMap, path: &'s str) -> Vec<&'s [u8]> {
    let query = path.split_once('?').map(|(_, query)| query);
    let keys = plan.pools().flat_map(|pool| &pool.keys);
    keys.map(|key| &key.secret)
        .chain(&plan.guard.client_tokens)
        .map(|secret| secret.expose().as_bytes())
        .chain(api_key_lb_core::wire::credential::offered(headers, query))
        .filter(|secret| !secret.is_empty())
        .collect()
}
