//! Climbs the ladder: which conversation a request says it belongs to.

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::body::BodyFacts;
use super::capture::Captured;
use crate::conversation::{AnswerId, Identity, Named};
use crate::fact::SessionId;
use crate::ladder::{AGENTS, CONFIGURED, Family, Ladder, PARENTS, Place, Reading, Rule};

/// Content-addressed keys: Hermes sends `pck_` and a hash of its system prompt, the same for all its
/// sessions.
const CONTENT_HASH: &[u8] = b"pck_";
/// What Claude Code before 2.1.78 wrote between its account and its session.
const CLAUDE_SESSION: &[u8] = b"_session_";
/// How session ids begin where the same field may hold something else.
const SESSION_PREFIXES: &[&[u8]] = &[b"session_", b"ses_"];
/// How the user agents begin that put their session into `x-client-request-id`.
const SESSION_AGENTS: &[&[u8]] = &[b"codex", b"pi/", b"pi ", b"hermes"];

/// What the request says: the first rule that finds something decides.
pub fn recognise(
    ladder: &Ladder,
    headers: &HeaderMap,
    mut facts: BodyFacts,
) -> (Identity, BodyFacts) {
    let mut identity = Identity {
        conversation: std::mem::take(&mut facts.conversation),
        ..Identity::default()
    };
    let head = Head::new(ladder, headers);
    let mut raw: Option<Vec<u8>> = None;
    for rule in ladder.rules() {
        if let Some(value) = earlier_answer(rule, &head, &facts) {
            let answer = AnswerId::of(value);
            identity.answers.push((answer, rule.name.clone()));
            continue;
        }
        let Some(value) = value_of(rule, &head, &facts) else {
            continue;
        };
        identity.named = Some(Named {
            session: session(rule, &value),
            rule: rule.name.clone(),
            may_be_shared: rule.may_be_shared,
        });
        raw = Some(value);
        break;
    }
    identity.agent = agent(headers, raw.as_deref());
    identity.parent = parent(headers).filter(|parent| {
        let own = identity.named.as_ref().map(|named| named.session);
        own != Some(*parent)
    });
    (identity, facts)
}

/// A request's headers, and which of them rules look at.
struct Head<'h> {
    headers: &'h HeaderMap,
    of_interest: Vec<&'h HeaderName>,
}

impl<'h> Head<'h> {
    fn new(ladder: &Ladder, headers: &'h HeaderMap) -> Self {
        let names = headers.keys();
        Self {
            headers,
            of_interest: names.filter(|name| ladder.looks_at(name)).collect(),
        }
    }

    fn get(&self, name: &HeaderName) -> Option<&'h [u8]> {
        self.of_interest
            .contains(&name)
            .then(|| self.headers.get(name))
            .flatten()
            .map(HeaderValue::as_bytes)
    }
}

/// What one rule finds in a request, for explaining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rule.
    pub rule: Rule,
    /// The id, as the client sent it; `None` if it is too long to be kept.
    pub value: Option<Vec<u8>>,
}

/// What every rule finds, whichever of them decides.
pub fn everything(ladder: &Ladder, headers: &HeaderMap, facts: &BodyFacts) -> Vec<Found> {
    let head = Head::new(ladder, headers);
    let is_long = |rule: &Rule| {
        let captured = rule.at.and_then(|at| facts.captures.at(at));
        matches!(captured, Some(Captured::Hashed(_)))
    };
    let found = |rule: &Rule| {
        let value = earlier_answer(rule, &head, facts)
            .map(<[u8]>::to_vec)
            .or_else(|| value_of(rule, &head, facts))?;
        Some(Found {
            value: (!is_long(rule)).then_some(value),
            rule: rule.clone(),
        })
    };
    ladder.rules().iter().filter_map(found).collect()
}

/// What the head alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The session of the first rule about a header that finds something.
    pub session: SessionId,
    /// Whether no rule about the body comes before that one: then it is the session, and the body
    /// need not be searched for ids.
    pub settled: bool,
}

/// What the headers say, before anything of the body is there.
pub fn from_head(ladder: &Ladder, headers: &HeaderMap) -> Option<Hint> {
    let head = Head::new(ladder, headers);
    if head.of_interest.is_empty() {
        return None;
    }
    let mut settled = true;
    for rule in ladder.rules() {
        let Place::Header(name) = &rule.place else {
            settled = false;
            continue;
        };
        if let Some(value) = header_value(rule, name, &head) {
            let session = session(rule, &value);
            return Some(Hint { session, settled });
        }
    }
    None
}

/// What names an earlier answer, if `rule` looks for that.
fn earlier_answer<'r>(rule: &Rule, head: &Head<'r>, facts: &'r BodyFacts) -> Option<&'r [u8]> {
    match &rule.place {
        Place::AnswerInBody(_) => match facts.captures.at(rule.at?)? {
            Captured::Whole(value) => Some(value),
            Captured::Hashed(_) => None,
        },
        Place::AnswerInHeader(name) => head.get(name),
        _ => None,
    }
}

/// The id that `rule` finds.
fn value_of(rule: &Rule, head: &Head<'_>, facts: &BodyFacts) -> Option<Vec<u8>> {
    match &rule.place {
        Place::Header(name) => header_value(rule, name, head),
        Place::Body(_) => match (facts.captures.at(rule.at?)?, rule.reading) {
            (Captured::Whole(value), reading) => read(reading, value, head.headers),
            (Captured::Hashed(hash), Reading::Whole | Reading::NoContentHash) => {
                Some(hash.to_le_bytes().to_vec())
            }
            // Nothing that is read in parts is that long.
            (Captured::Hashed(_), _) => None,
        },
        Place::Text(mark) => {
            let (found, id) = facts.mark.as_ref()?;
            (found == mark).then(|| id.clone())
        }
        Place::AnswerInBody(_) | Place::AnswerInHeader(_) | Place::Content => None,
    }
}

fn header_value(rule: &Rule, name: &HeaderName, head: &Head<'_>) -> Option<Vec<u8>> {
    read(rule.reading, head.get(name)?, head.headers)
}

/// The id in `value`; `None` if there is none.
fn read(reading: Reading, value: &[u8], headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = value.trim_ascii();
    if value.is_empty() || value.iter().any(u8::is_ascii_control) {
        return None;
    }
    let wanted = match reading {
        Reading::Whole => true,
        Reading::ClaudeUser => return claude_session(value),
        Reading::NoContentHash => !value.starts_with(CONTENT_HASH),
        Reading::SessionLike => {
            SESSION_PREFIXES
                .iter()
                .any(|prefix| value.starts_with(prefix))
                || is_uuid(value)
        }
        Reading::SessionOfAgent => {
            let agent = headers
                .get(USER_AGENT)
                .map_or(&b""[..], |value| value.as_bytes());
            SESSION_AGENTS.iter().any(|known| {
                agent
                    .get(..known.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(known))
            })
        }
    };
    wanted.then(|| value.to_vec())
}

/// The session in Claude Code's `metadata.user_id`.
fn claude_session(value: &[u8]) -> Option<Vec<u8>> {
    if value.starts_with(b"{") {
        #[derive(serde::Deserialize)]
        struct User<'v> {
            #[serde(borrow)]
            session_id: std::borrow::Cow<'v, str>,
        }
        let user: User<'_> = serde_json::from_slice(value).ok()?;
        let id = user.session_id.trim().as_bytes();
        let is_id = !id.is_empty() && !id.iter().any(u8::is_ascii_control);
        return is_id.then(|| id.to_vec());
    }
    let at = memchr::memmem::rfind(value, CLAUDE_SESSION)?;
    let id = &value[at + CLAUDE_SESSION.len()..];
    is_uuid(id).then(|| id.to_vec())
}

/// Whether `value` is a UUID as it is usually written: 32 hexadecimal digits in five groups.
fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The session for an id, kept apart from equal ids of other families.
fn session(rule: &Rule, value: &[u8]) -> SessionId {
    let own = if rule.family == CONFIGURED {
        &*rule.name
    } else {
        ""
    };
    in_family(rule.family, own, value)
}

fn in_family(family: Family, own: &str, value: &[u8]) -> SessionId {
    let mut bytes = Vec::with_capacity(family.len() + own.len() + 2 + value.len());
    bytes.extend_from_slice(family.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(own.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(value);
    SessionId(xxh3_128(&bytes))
}

/// The sub-agent that sent the request. A thread that is the session itself is its main thread.
fn agent(headers: &HeaderMap, session: Option<&[u8]>) -> Option<u64> {
    AGENTS.iter().find_map(|name| {
        let value = headers.get(*name)?.as_bytes().trim_ascii();
        (!value.is_empty() && Some(value) != session).then(|| xxh3_64(value))
    })
}

fn parent(headers: &HeaderMap) -> Option<SessionId> {
    PARENTS.iter().find_map(|(name, family)| {
        let value = headers.get(*name)?.as_bytes().trim_ascii();
        (!value.is_empty()).then(|| in_family(family, "", value))
    })
}

#[cfg(test)]
mod tests;
