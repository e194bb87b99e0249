//! How conversations are told apart: where a person's session id stands, and what becomes of sub-agents.

use api_key_lb_core::ladder::{Ladder, NEVER, OwnRule, Path, Step};
use api_key_lb_core::plan::{Recognition, SplitSubAgents};
use http::HeaderName;

use super::document::{Node, Value};
use super::field::{BODY, Field, HEADER, RULE_FIELDS, meant, named};
use super::finding::{Findings, Sourced};
use super::sheet::{Sheet, fields, scalar, split, wrong_kind, yes_or_no};

/// The most session rules: each is looked for in every request, and nobody has that many clients.
const MOST_RULES: usize = 32;
/// Headers that carry a credential: the same for all sessions, and never to be remembered.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
];
/// How most providers' keys begin. What a rule reads is shown in the log.
const KEY_PREFIX: &str = "sk-";

/// A session rule as written.
pub(crate) enum RuleEntry {
    /// The name of a header.
    Header(Sourced<String>),
    /// A path into the body.
    Body(Sourced<String>),
}

impl RuleEntry {
    fn of(field: &str, text: Sourced<String>) -> Self {
        if field == HEADER {
            Self::Header(text)
        } else {
            Self::Body(text)
        }
    }

    /// As it would be written.
    pub(super) fn shown(&self) -> serde_json::Value {
        let (field, text) = match self {
            Self::Header(text) => (HEADER, text),
            Self::Body(text) => (BODY, text),
        };
        serde_json::json!({field: text.value})
    }

    /// What it names.
    pub(super) const fn text(&self) -> &Sourced<String> {
        let (Self::Header(text) | Self::Body(text)) = self;
        text
    }
}

pub(super) fn recognition(sheet: &Sheet, findings: &mut Findings) -> Recognition {
    Recognition {
        ladder: Ladder::new(&own_rules(&sheet.rules, findings)),
        split_subagents: split_subagents(sheet, findings),
    }
}

/// What the file says in `session_rules`, not yet checked.
pub(super) fn rules(field: &Field, node: Node, findings: &mut Findings) -> Vec<RuleEntry> {
    match node.value {
        Value::Text(value) => split(&Sourced {
            value,
            place: node.place,
        })
        .filter_map(|text| rule_in_words(&text, findings))
        .collect(),
        Value::List(items) => items
            .into_iter()
            .filter_map(|item| rule(field, item, findings))
            .collect(),
        _ => rule(field, node, findings).into_iter().collect(),
    }
}

/// One entry of a list of session rules. An unknown member is no warning as elsewhere: a rule
/// without what it was meant to say is another rule.
fn rule(field: &Field, node: Node, findings: &mut Findings) -> Option<RuleEntry> {
    let place = node.place.clone();
    let members = match node.value {
        Value::Text(value) => return rule_in_words(&Sourced { value, place }, findings),
        Value::Object(members) => members,
        _ => {
            wrong_kind(field, "a list of rules", &node, findings);
            return None;
        }
    };
    let (known, unknown): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|member| named(RULE_FIELDS, &member.name).is_some());
    for member in &unknown {
        let hint = meant(RULE_FIELDS, &member.name).map_or("remove this".to_owned(), |meant| {
            format!("did you mean `{meant}`?")
        });
        // Without the name: what is in the wrong place here may be a key.
        findings.problem(
            &member.place,
            format!("a session rule holds `{HEADER}` or `{BODY}` and nothing else; {hint}"),
        );
    }
    let mut known = fields(RULE_FIELDS, " for a session rule", known, findings);
    match (known.pop(), known.is_empty()) {
        (Some((field, node)), true) => {
            let text = scalar(field, node, findings)?;
            Some(RuleEntry::of(field.name, text))
        }
        (None, _) if !unknown.is_empty() => None,
        (one, _) => {
            let has = if one.is_some() { "both" } else { "neither" };
            findings.problem(
                &place,
                format!(
                    "this session rule has {has} of `{HEADER}` and `{BODY}`; write one of them \
                     into each rule: {{\"{HEADER}\": \"x-my-chat\"}}, {{\"{BODY}\": \"metadata.chat.id\"}}"
                ),
            );
            None
        }
    }
}

/// A session rule as one text: `header x-my-chat`, `body metadata.chat.id`.
fn rule_in_words(text: &Sourced<String>, findings: &mut Findings) -> Option<RuleEntry> {
    let words = text.value.trim().split_once(char::is_whitespace);
    let Some((place, name)) = words.filter(|(place, _)| [HEADER, BODY].contains(place)) else {
        findings.problem(
            &text.place,
            format!(
                "a session rule says where the id stands; write {{\"{HEADER}\": \"x-my-chat\"}} \
                 or {{\"{BODY}\": \"metadata.chat.id\"}}"
            ),
        );
        return None;
    };
    let value = name.trim().to_owned();
    Some(RuleEntry::of(
        place,
        Sourced {
            value,
            place: text.place.clone(),
        },
    ))
}

fn own_rules(entries: &[RuleEntry], findings: &mut Findings) -> Vec<OwnRule> {
    if let Some(surplus) = entries.get(MOST_RULES) {
        findings.problem(
            &surplus.text().place,
            format!(
                "there are {} session rules, but at most {MOST_RULES} are read; remove those from \
                 here on",
                entries.len()
            ),
        );
    }
    let mut own = Vec::new();
    for entry in entries.iter().take(MOST_RULES) {
        let rule = match entry {
            RuleEntry::Header(name) => header(name, findings),
            RuleEntry::Body(path) => body(path, findings),
        };
        let Some(rule) = rule else {
            continue;
        };
        if own.contains(&rule) {
            findings.warn(
                &entry.text().place,
                "the same session rule stands further up; this one is ignored, remove it",
            );
        } else {
            own.push(rule);
        }
    }
    own
}

fn header(given: &Sourced<String>, findings: &mut Findings) -> Option<OwnRule> {
    if looks_like_a_key(given, findings) {
        return None;
    }
    let Ok(name) = given.value.trim().parse::<HeaderName>() else {
        findings.problem(
            &given.place,
            "`header` must be the name of a request header: letters, digits and hyphens, without \
             colon and value; write one such as \"x-my-chat\"",
        );
        return None;
    };
    if CREDENTIALS.contains(&name.as_str()) {
        findings.problem(
            &given.place,
            format!(
                "`{name}` carries a credential, and a credential is not a session; name a header \
                 that differs from chat to chat, or remove this rule"
            ),
        );
        return None;
    }
    warn_of_no_session(name.as_str(), given, findings);
    Some(OwnRule::Header(name))
}

fn body(given: &Sourced<String>, findings: &mut Findings) -> Option<OwnRule> {
    if looks_like_a_key(given, findings) {
        return None;
    }
    let path: Path = match given.value.parse() {
        Ok(path) => path,
        Err(why) => {
            findings.problem(
                &given.place,
                format!(
                    "`body` must be a path into the request body, but {why}; write one such as \
                     \"metadata.chat.id\" or \"messages[].metadata.id\""
                ),
            );
            return None;
        }
    };
    if let Some(Step::Key(last)) = path.steps().last() {
        warn_of_no_session(last, given, findings);
    }
    Some(OwnRule::Body(path))
}

fn looks_like_a_key(given: &Sourced<String>, findings: &mut Findings) -> bool {
    let text = given.value.trim().as_bytes();
    let found = text
        .get(..KEY_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(KEY_PREFIX.as_bytes()));
    if found {
        findings.problem(
            &given.place,
            "this looks like an API key; keys stand in `keys`, and a session rule names a header \
             such as \"x-my-chat\" or a path into the body such as \"metadata.chat.id\"",
        );
    }
    found
}

/// No more than a warning: in the requests of this person it may be a session all the same.
fn warn_of_no_session(name: &str, given: &Sourced<String>, findings: &mut Findings) {
    if let Some((name, why)) = NEVER.iter().find(|(never, _)| *never == name) {
        findings.warn(
            &given.place,
            format!(
                "`{name}` is hardly a session id ({why}); remove this rule unless you know better"
            ),
        );
    }
}

fn split_subagents(sheet: &Sheet, findings: &mut Findings) -> SplitSubAgents {
    let Some(given) = sheet.scalars.get("split_subagents") else {
        return SplitSubAgents::default();
    };
    let word = given.value.trim();
    let chosen = match yes_or_no(word) {
        Some(true) => Some(SplitSubAgents::Auto),
        Some(false) => Some(SplitSubAgents::Never),
        None => [
            SplitSubAgents::Never,
            SplitSubAgents::Auto,
            SplitSubAgents::Always,
        ]
        .into_iter()
        .find(|choice| choice.as_str().eq_ignore_ascii_case(word)),
    };
    chosen.unwrap_or_else(|| {
        findings.problem(
            &given.place,
            "`split_subagents` must be \"never\", \"auto\" or \"always\"",
        );
        SplitSubAgents::default()
    })
}
