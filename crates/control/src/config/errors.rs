//! A person's own rules about errors: which answers they are about, and what those mean.

use std::time::Duration;

use api_key_lb_core::provider::{self, ErrorRule, OwnErrorRule, PROVIDERS, Provider};
use api_key_lb_core::verdict::Matter;

use super::document::{Member, Node, Value};
use super::field::{ERROR_FIELDS, Field, Kind, meant, named};
use super::finding::{Findings, Place, Sourced};
use super::sheet::{Scalars, fields, number, scalar, whole, wrong_kind};

/// The most rules: each is compared with every error, and nobody knows that many.
const MOST_RULES: usize = 64;
/// A rule as one would write it.
const EXAMPLE: &str = "{\"status\": 429, \"code\": \"busy*\", \"means\": \"overload\"}";

/// A rule about errors that was found to be right.
pub(crate) struct ErrorEntry {
    pub(super) place: Place,
    provider: Option<&'static Provider>,
    status: Vec<u16>,
    codes: Vec<String>,
    phrases: Vec<String>,
    matter: Matter,
    wait: Option<Duration>,
}

impl ErrorEntry {
    /// As it would be written.
    pub(super) fn shown(&self) -> serde_json::Value {
        let mut rule = serde_json::Map::new();
        if let Some(provider) = self.provider {
            rule.insert("provider".into(), provider.name.into());
        }
        if !self.status.is_empty() {
            rule.insert("status".into(), self.status.clone().into());
        }
        if !self.codes.is_empty() {
            rule.insert("code".into(), self.codes.clone().into());
        }
        if !self.phrases.is_empty() {
            rule.insert("text".into(), self.phrases.clone().into());
        }
        rule.insert("means".into(), self.matter.word().into());
        if let Some(wait) = self.wait {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            rule.insert("for_ms".into(), millis.into());
        }
        rule.into()
    }
}

/// The rules for the plan.
pub(super) fn own_rules(entries: &[ErrorEntry]) -> Vec<OwnErrorRule> {
    let rule = |(index, entry): (usize, &ErrorEntry)| OwnErrorRule {
        provider: entry.provider,
        rule: ErrorRule::own(
            index,
            entry.status.clone(),
            entry.codes.clone(),
            entry.phrases.clone(),
            entry.matter,
            entry.wait,
        ),
    };
    entries.iter().enumerate().map(rule).collect()
}

/// What the file says in `error_rules`.
pub(super) fn entries(field: &Field, node: Node, findings: &mut Findings) -> Vec<ErrorEntry> {
    let items = match node.value {
        Value::List(items) => items,
        Value::Object(_) => vec![node],
        _ => {
            wrong_kind(field, "a list of rules", &node, findings);
            return Vec::new();
        }
    };
    if let Some(surplus) = items.get(MOST_RULES) {
        findings.problem(
            &surplus.place,
            format!(
                "there are {} error rules, but at most {MOST_RULES} are read; remove those from \
                 here on",
                items.len()
            ),
        );
    }
    items
        .into_iter()
        .take(MOST_RULES)
        .filter_map(|item| entry(field, item, findings))
        .collect()
}

fn entry(field: &Field, node: Node, findings: &mut Findings) -> Option<ErrorEntry> {
    let place = node.place.clone();
    let Value::Object(members) = node.value else {
        wrong_kind(field, "a list of rules", &node, findings);
        return None;
    };
    let before = findings.problems.len();
    let members = without_unknown(members, findings);
    let mut scalars = Scalars::new();
    let mut status = Vec::new();
    let mut codes = Vec::new();
    let mut phrases = Vec::new();
    for (field, node) in fields(ERROR_FIELDS, " for an error rule", members, findings) {
        match field.name {
            "status" => status = each(node, |item| status_of(field, item, findings)),
            "code" => codes = each(node, |item| code(field, item, findings)),
            "text" => phrases = each(node, |item| phrase(field, item, findings)),
            _ => {
                if let Some(value) = scalar(field, node, findings) {
                    scalars.insert(field.name, value);
                }
            }
        }
    }
    let provider = scalars
        .get("provider")
        .and_then(|name| provider_called(name, findings));
    let wait = whole(ERROR_FIELDS, &scalars, "for_ms", findings).map(Duration::from_millis);
    // What is wrong with a member has been said; without it the rule need not be complete.
    if findings.problems.len() > before {
        return None;
    }
    if status.is_empty() && codes.is_empty() && phrases.is_empty() {
        findings.problem(
            &place,
            format!(
                "this error rule is about no error, since it has none of `status`, `code` and \
                 `text`; write one such as {EXAMPLE}"
            ),
        );
        return None;
    }
    let matter = matter(&scalars, &place, findings)?;
    warn_of_no_wait(matter, &scalars, findings);
    Some(ErrorEntry {
        place,
        provider,
        status,
        codes,
        phrases,
        matter,
        wait,
    })
}

/// An unknown member is no warning as elsewhere: a rule without a condition that it was meant to
/// have is about other errors, too.
fn without_unknown(members: Vec<Member>, findings: &mut Findings) -> Vec<Member> {
    let (known, unknown): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|member| named(ERROR_FIELDS, &member.name).is_some());
    for member in unknown {
        let hint = meant(ERROR_FIELDS, &member.name).map_or_else(
            || "remove this".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        findings.problem(
            &member.place,
            format!(
                "an error rule holds `provider`, `status`, `code`, `text`, `means` and `for_ms` \
                 and nothing else; {hint}"
            ),
        );
    }
    known
}

/// What `read` makes of the items of a list, or of a single value.
fn each<T>(node: Node, read: impl FnMut(Node) -> Option<T>) -> Vec<T> {
    let items = match node.value {
        Value::List(items) => items,
        _ => vec![node],
    };
    items.into_iter().filter_map(read).collect()
}

fn status_of(field: &Field, node: Node, findings: &mut Findings) -> Option<u16> {
    let given = scalar(field, node, findings)?;
    let Kind::Whole(least, most) = field.kind else {
        return None;
    };
    let status = number(&given.value)
        .filter(|status| (least..=most).contains(status))
        .and_then(|status| u16::try_from(status).ok());
    if status.is_none() {
        findings.problem(
            &given.place,
            format!(
                "`status` must be the status of an error, from {least} to {most}, or a list of \
                 them; write one such as {}",
                field.example
            ),
        );
    }
    status
}

/// A code; some providers' are numbers.
fn code(field: &Field, node: Node, findings: &mut Findings) -> Option<String> {
    let given = match node.value {
        Value::Text(text) | Value::Number(text) => text.trim().to_owned(),
        _ => {
            wrong_kind(field, "a text or a list of texts", &node, findings);
            return None;
        }
    };
    let first = given.strip_prefix('*').unwrap_or(&given);
    let inner = first.strip_suffix('*').unwrap_or(first);
    if inner.is_empty() || inner.contains('*') {
        findings.problem(
            &node.place,
            format!(
                "`code` must be a code, type or reason, where a `*` may stand first or last for \
                 the rest; write one such as {}",
                field.example
            ),
        );
        return None;
    }
    Some(given)
}

fn phrase(field: &Field, node: Node, findings: &mut Findings) -> Option<String> {
    let Value::Text(text) = &node.value else {
        wrong_kind(field, "a text or a list of texts", &node, findings);
        return None;
    };
    let text = text.trim();
    if text.is_empty() {
        findings.problem(
            &node.place,
            format!(
                "`text` must be a part of the error's message, but is empty, which every message \
                 has; write one such as {}, or remove it",
                field.example
            ),
        );
        return None;
    }
    Some(text.to_owned())
}

fn provider_called(name: &Sourced<String>, findings: &mut Findings) -> Option<&'static Provider> {
    let found = provider::called(name.value.trim());
    if found.is_none() {
        let known: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        findings.problem(
            &name.place,
            format!(
                "this `provider` is not known; write one of {}, or remove it: then the rule is \
                 about every provider",
                known.join(", ")
            ),
        );
    }
    found
}

fn matter(scalars: &Scalars, rule: &Place, findings: &mut Findings) -> Option<Matter> {
    let words = || Matter::NAMEABLE.map(Matter::word).join(", ");
    let Some(given) = scalars.get("means") else {
        findings.problem(
            rule,
            format!(
                "this error rule does not say what the error means; add `means` with one of {}: \
                 {EXAMPLE}",
                words()
            ),
        );
        return None;
    };
    let matter = Matter::of_word(given.value.trim());
    if matter.is_none() {
        findings.problem(&given.place, format!("`means` must be one of {}", words()));
    }
    matter
}

/// No more than a warning: the rest of the rule holds.
fn warn_of_no_wait(matter: Matter, scalars: &Scalars, findings: &mut Findings) {
    let has_own_time = matches!(
        matter,
        Matter::Request | Matter::Key | Matter::Credit | Matter::Entitlement
    );
    if let (true, Some(wait)) = (has_own_time, scalars.get("for_ms")) {
        findings.warn(
            &wait.place,
            format!(
                "`for_ms` is without effect where `means` is \"{}\"; remove it",
                matter.word()
            ),
        );
    }
}
