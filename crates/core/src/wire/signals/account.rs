//! Accounts that a message names: two keys whose refusals name the same one share its limits.

/// Most accounts that are taken from one message.
const MOST: usize = 4;
/// Longest id, in bytes; a UUID has 36, `org_…` at Groq 30.
const LONGEST: usize = 64;
/// Shortest rest of an id behind its prefix, in bytes.
const SHORTEST: usize = 3;
/// How ids begin that say themselves what they are.
const PREFIXES: [&str; 3] = ["org-", "org_", "proj_"];
/// Words before ids that do not.
const WORDS: [&str; 4] = ["organization", "organisation", "team", "workspace"];
/// Length of a UUID with its hyphens.
const UUID: usize = 36;

/// The accounts that `message` names, in the order it names them.
pub(super) fn named(message: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut before = "";
    let is_of_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for token in message.split(|c| !is_of_id(c)).filter(|t| !t.is_empty()) {
        let is_prefixed = PREFIXES.iter().any(|prefix| {
            token
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.len() >= SHORTEST)
        });
        let is_announced =
            is_uuid(token) && WORDS.iter().any(|word| before.eq_ignore_ascii_case(word));
        if (is_prefixed || is_announced)
            && token.len() <= LONGEST
            && found.len() < MOST
            && !found.iter().any(|known| known == token)
        {
            found.push(token.to_owned());
        }
        before = token;
    }
    found
}

fn is_uuid(token: &str) -> bool {
    token.len() == UUID
        && token.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
