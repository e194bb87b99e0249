//! Which conversation a request belongs to: the ladder of rules, as a table, and the id it yields.

use http::{HeaderMap, HeaderName};
use xxhash_rust::xxh3::xxh3_128;

use super::body::{BodyFacts, BodyField};
use crate::fact::SessionId;

/// Longest id taken from a header, in bytes; longer ones are noise, not ids.
const MAX_ID: usize = 512;

/// Where a rule looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A request header.
    Header(HeaderName),
    /// A field of the body.
    Body(BodyField),
    /// The hash of system head and first user message.
    Opener,
}

/// One rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in logs and in `why`, and what separates equal values of different families.
    pub name: &'static str,
    /// Where it looks.
    pub place: Place,
}

const fn header(name: &'static str) -> Rule {
    Rule {
        name,
        place: Place::Header(HeaderName::from_static(name)),
    }
}

const fn body(name: &'static str, field: BodyField) -> Rule {
    Rule {
        name,
        place: Place::Body(field),
    }
}

/// First hit wins. Headers come before the body because a client that sends one means it;
/// `prompt_cache_key` comes before conversation and thread ids because it is what agents set per
/// session, while the others may name a tenant or a stored object.
pub static LADDER: [Rule; 12] = [
    header("session-id"),
    header("session_id"),
    header("x-session-id"),
    body("body session_id", BodyField::SessionId),
    body("body sessionId", BodyField::SessionIdCamel),
    body("body prompt_cache_key", BodyField::PromptCacheKey),
    body("body conversation_id", BodyField::ConversationId),
    body("body conversationId", BodyField::ConversationIdCamel),
    body("body thread_id", BodyField::ThreadId),
    body(
        "messages[].custom_fields.session_id",
        BodyField::MessageCustomField,
    ),
    body("messages[].metadata.session_id", BodyField::MessageMetadata),
    Rule {
        name: "fingerprint",
        place: Place::Opener,
    },
];

/// A recognised conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Equal for all requests of the conversation.
    pub session: SessionId,
    /// The rule that hit.
    pub rule: &'static str,
}

/// The conversation a request belongs to, if any rule recognises one.
pub fn recognise(headers: &HeaderMap, facts: &BodyFacts) -> Option<Identity> {
    LADDER.iter().find_map(|rule| {
        let session = match &rule.place {
            Place::Header(name) => named(rule, headers.get(name)?.as_bytes().trim_ascii())?,
            Place::Body(field) => named(rule, facts.id(*field)?.trim_ascii())?,
            Place::Opener => SessionId(facts.opener?),
        };
        Some(Identity {
            session,
            rule: rule.name,
        })
    })
}

/// The session for an explicit id, kept apart from equal ids of other rules; `None` if the value
/// cannot be an id.
fn named(rule: &Rule, value: &[u8]) -> Option<SessionId> {
    if value.is_empty() || value.len() > MAX_ID || value.iter().any(u8::is_ascii_control) {
        return None;
    }
    // Hermes sends `pck_` and a hash of its system prompt: the same for all its sessions.
    if rule.place == Place::Body(BodyField::PromptCacheKey) && value.starts_with(b"pck_") {
        return None;
    }
    let mut bytes = Vec::with_capacity(rule.name.len() + 1 + value.len());
    bytes.extend_from_slice(rule.name.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(value);
    Some(SessionId(xxh3_128(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::body::RequestReader;

    fn facts(body: &str) -> BodyFacts {
        let mut reader = RequestReader::new();
        reader.feed(body.as_bytes());
        reader.finish()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    const USER: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    #[test]
    fn the_first_rule_that_hits_wins() {
        let body = facts(&format!(
            r#"{{"thread_id":"t","prompt_cache_key":"p","session_id":"s",{USER}}}"#
        ));
        let none = HeaderMap::new();
        assert_eq!(recognise(&none, &body).unwrap().rule, "body session_id");
        let sent = headers(&[("x-session-id", "x"), ("session_id", "u")]);
        assert_eq!(recognise(&sent, &body).unwrap().rule, "session_id");
        let thread = facts(&format!(r#"{{"thread_id":"t",{USER}}}"#));
        assert_eq!(recognise(&none, &thread).unwrap().rule, "body thread_id");
        assert_eq!(
            recognise(&none, &facts(&format!("{{{USER}}}")))
                .unwrap()
                .rule,
            "fingerprint"
        );
        assert_eq!(recognise(&none, &facts("{}")), None);
    }

    #[test]
    fn every_id_the_old_package_read_is_read() {
        for body in [
            r#"{"session_id":"a"}"#,
            r#"{"sessionId":"a"}"#,
            r#"{"conversation_id":"a"}"#,
            r#"{"conversationId":"a"}"#,
            r#"{"thread_id":"a"}"#,
            r#"{"messages":[{"custom_fields":{"session_id":"a"}}]}"#,
            r#"{"messages":[{"metadata":{"session_id":"a"}}]}"#,
        ] {
            let identity = recognise(&HeaderMap::new(), &facts(body)).unwrap();
            let other =
                recognise(&HeaderMap::new(), &facts(&body.replace("\"a\"", "\"b\""))).unwrap();
            assert_eq!(identity.rule, other.rule, "{body}");
            assert_ne!(identity.session, other.session, "{body}");
        }
    }

    #[test]
    fn equal_values_of_different_rules_are_different_sessions() {
        let body = recognise(&HeaderMap::new(), &facts(r#"{"session_id":"a"}"#)).unwrap();
        let header = recognise(&headers(&[("session_id", "a")]), &facts("{}")).unwrap();
        assert_ne!(body.session, header.session);
    }

    #[test]
    fn what_cannot_be_an_id_is_passed_over() {
        let body = facts(&format!(r#"{{"prompt_cache_key":"pck_0123",{USER}}}"#));
        assert_eq!(
            recognise(&HeaderMap::new(), &body).unwrap().rule,
            "fingerprint"
        );
        let blank = headers(&[("x-session-id", "  ")]);
        assert_eq!(recognise(&blank, &facts("{}")), None);
        let control = facts(r#"{"session_id":"a\u0000b"}"#);
        assert_eq!(recognise(&HeaderMap::new(), &control), None);
    }
}
