//! What the file says, field by field, with flags and environment laid over it; not yet checked together.

use std::collections::BTreeMap;

use crate::prices::Price;

use super::document::{Member, Node, Value};
use super::environment::{Environment, Flags};
use super::errors::{ErrorEntry, entries};
use super::field::{FIELDS, Field, KEY_FIELDS, Kind, POOL_FIELDS, meant, named};
use super::finding::{Findings, Place, Sourced};
use super::otlp::{self, OtlpEntry};
use super::prices;
use super::recognition::{RuleEntry, rules};

/// Texts that mean yes.
pub(super) const YES: &[&str] = &["true", "1", "on", "yes"];
/// Texts that mean no.
pub(super) const NO: &[&str] = &["false", "0", "off", "no"];

/// Simple values by the name of their field.
pub(crate) type Scalars = BTreeMap<&'static str, Sourced<String>>;

/// A key as written.
pub(crate) struct KeyEntry {
    /// The secret, or where it is.
    pub(crate) key: Sourced<String>,
    /// `label`, `weight`, `account`, `disabled`, `target` and `provider`.
    pub(crate) rest: Scalars,
}

/// A named pool as written.
pub(crate) struct PoolEntry {
    pub(crate) name: Sourced<String>,
    pub(crate) target: Option<Sourced<String>>,
    pub(crate) provider: Option<Sourced<String>>,
    pub(crate) keys: Vec<KeyEntry>,
}

/// Everything given, by whoever wins.
#[derive(Default)]
pub(crate) struct Sheet {
    pub(crate) scalars: Scalars,
    pub(crate) lists: BTreeMap<&'static str, Vec<Sourced<String>>>,
    pub(crate) keys: Vec<KeyEntry>,
    pub(crate) pools: Vec<PoolEntry>,
    pub(crate) rules: Vec<RuleEntry>,
    pub(crate) errors: Vec<ErrorEntry>,
    pub(crate) prices: Vec<(String, Price)>,
    /// Where they stand, if there are any.
    pub(crate) prices_place: Option<Place>,
    pub(crate) otlp: Option<OtlpEntry>,
    /// Whether keys were given in a form that could not be read, which has been said.
    pub(crate) keys_unread: bool,
    /// Why the commands that the file names are not run, if they are not.
    pub(crate) refusal: Option<String>,
}

impl Sheet {
    /// Reads the file's root value.
    pub(crate) fn read(root: Node, findings: &mut Findings) -> Self {
        let mut sheet = Self::default();
        let members = match root.value {
            Value::Object(members) => members,
            other => {
                findings.problem(
                    &root.place,
                    format!(
                        "the file must hold one object, {{ … }}, but holds {}",
                        other.kind()
                    ),
                );
                sheet.keys_unread = true;
                return sheet;
            }
        };
        for (field, node) in fields(FIELDS, "", members, findings) {
            let before = findings.problems.len();
            match field.kind {
                Kind::Keys => sheet.keys = keys(field, node, findings),
                Kind::Pools => sheet.pools = pools(field, node, findings),
                Kind::Texts => {
                    let texts = texts(field, node, findings);
                    sheet.lists.insert(field.name, texts);
                }
                Kind::Rules => sheet.rules = rules(field, node, findings),
                Kind::Errors => sheet.errors = entries(field, node, findings),
                Kind::Prices => {
                    sheet.prices_place = Some(node.place.clone());
                    sheet.prices = prices::entries(field, node, findings);
                }
                Kind::Otlp => sheet.otlp = otlp::entry(field, node, findings),
                Kind::Headers | Kind::Ignored => {}
                _ => {
                    if let Some(value) = scalar(field, node, findings) {
                        sheet.scalars.insert(field.name, value);
                    }
                }
            }
            sheet.keys_unread |=
                matches!(field.kind, Kind::Keys | Kind::Pools) && findings.problems.len() > before;
        }
        sheet
    }

    /// Lets flags, then the environment, win over what the file says.
    pub(crate) fn overlay(&mut self, flags: &Flags, env: &Environment) {
        for field in FIELDS {
            let from_flag = field
                .flag
                .and_then(|flag| Some((Place::Flag(flag), flags.value(field.name)?)));
            let from_variable = || {
                let name = field.variable?;
                Some((Place::Variable(name), env.var(name)?.to_owned()))
            };
            let Some((place, value)) = from_flag.or_else(from_variable) else {
                continue;
            };
            let value = Sourced { value, place };
            match field.kind {
                Kind::Keys => self.keys = split(&value).map(KeyEntry::plain).collect(),
                Kind::Texts => {
                    self.lists.insert(field.name, split(&value).collect());
                }
                _ => {
                    self.scalars.insert(field.name, value);
                }
            }
        }
    }

    /// Takes the list called `name`.
    pub(crate) fn list(&mut self, name: &str) -> Vec<Sourced<String>> {
        self.lists.remove(name).unwrap_or_default()
    }
}

/// What the file's root value says in the field called `name`, whatever is wrong with the rest.
pub(crate) fn only(root: Node, name: &str, findings: &mut Findings) -> Sheet {
    let Value::Object(mut members) = root.value else {
        return Sheet::default();
    };
    members.retain(|member| member.name == name);
    let value = Value::Object(members);
    Sheet::read(Node { value, ..root }, findings)
}

impl KeyEntry {
    /// Whether it must not serve; what is wrong with saying so is said elsewhere.
    pub(crate) fn is_disabled(&self) -> bool {
        let given = self.rest.get("disabled");
        given.and_then(|given| yes_or_no(&given.value)) == Some(true)
    }

    fn plain(key: Sourced<String>) -> Self {
        Self {
            key,
            rest: Scalars::new(),
        }
    }
}

/// The whole number called `name` among `scalars`; a problem if it is none or out of range.
pub(crate) fn whole(
    fields: &[Field],
    scalars: &Scalars,
    name: &str,
    findings: &mut Findings,
) -> Option<u64> {
    let given = scalars.get(name)?;
    let Some(Field {
        kind: Kind::Whole(least, most),
        example,
        ..
    }) = named(fields, name)
    else {
        return None;
    };
    let number = number(&given.value).filter(|number| (least..=most).contains(&number));
    if number.is_none() {
        findings.problem(
            &given.place,
            format!(
                "`{name}` must be a whole number from {least} to {most}{}; write one such as {example}",
                shown_number(&given.value)
            ),
        );
    }
    number
}

/// The switch called `name` among `scalars`; a problem if it is none.
pub(crate) fn switch(scalars: &Scalars, name: &str, findings: &mut Findings) -> Option<bool> {
    let given = scalars.get(name)?;
    let value = yes_or_no(&given.value);
    if value.is_none() {
        findings.problem(&given.place, format!("`{name}` must be true or false"));
    }
    value
}

/// Whether `text` means yes or no; `None` if it means neither.
pub(crate) fn yes_or_no(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    match () {
        () if YES.contains(&text.as_str()) => Some(true),
        () if NO.contains(&text.as_str()) => Some(false),
        () => None,
    }
}

/// A whole number; `6e4` and `60000.0` are one too.
pub(crate) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let float: f64 = text.parse().ok()?;
        // 2^53: beyond it a float is not the number that was written.
        let whole = float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float);
        format!("{float:.0}").parse().ok().filter(|_| whole)
    })
}

/// `, not 70000`, if the text looks like a number; anything else might be a secret gone astray.
fn shown_number(text: &str) -> String {
    let text = text.trim();
    let numeric = !text.is_empty()
        && text.len() <= 20
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.,_".contains(&byte));
    if numeric {
        format!(", not {text}")
    } else {
        String::new()
    }
}

/// The members of an object that are known fields and not null; warns of the others. Of a field
/// given twice the last counts, as in every JSON reader.
pub(super) fn fields(
    known: &'static [Field],
    within: &str,
    members: Vec<Member>,
    findings: &mut Findings,
) -> Vec<(&'static Field, Node)> {
    let last: BTreeMap<String, usize> = members
        .iter()
        .enumerate()
        .map(|(index, member)| (member.name.clone(), index))
        .collect();
    let mut found = Vec::new();
    for (index, member) in members.into_iter().enumerate() {
        let name = shown_name(&member.name);
        let Some(field) = named(known, &member.name) else {
            let hint = meant(known, &member.name).map_or_else(
                || "remove it, or check its spelling".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            findings.warn(
                &member.place,
                format!("there is no setting `{name}`{within}, it is ignored; {hint}"),
            );
            continue;
        };
        if last.get(&member.name) != Some(&index) {
            findings.warn(
                &member.place,
                format!(
                    "`{name}` is given again further down; this one is ignored, remove one of them"
                ),
            );
        } else if !matches!(member.node.value, Value::Null) {
            found.push((field, member.node));
        }
    }
    found
}

/// A name from the file for a message: no control characters, not endless.
fn shown_name(name: &str) -> String {
    let mut shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    if name.chars().count() > 40 {
        shown.push('…');
    }
    shown
}

pub(super) fn wrong_kind(field: &Field, must_be: &str, node: &Node, findings: &mut Findings) {
    findings.problem(
        &node.place,
        format!(
            "`{}` must be {must_be}, not {}; write it as \"{}\": {}",
            field.name,
            node.value.kind(),
            field.name,
            field.example
        ),
    );
}

pub(super) fn scalar(
    field: &Field,
    node: Node,
    findings: &mut Findings,
) -> Option<Sourced<String>> {
    let value = match (field.kind, &node.value) {
        (_, Value::Text(text)) | (Kind::Whole(..) | Kind::Number, Value::Number(text)) => {
            text.clone()
        }
        (Kind::Switch | Kind::Choice(_), Value::Switch(on)) => on.to_string(),
        (kind, _) => {
            let must_be = match kind {
                Kind::Whole(..) => "a whole number",
                Kind::Number => "a number",
                Kind::Switch => "true or false",
                _ => "a text in double quotes",
            };
            wrong_kind(field, must_be, &node, findings);
            return None;
        }
    };
    Some(Sourced {
        value,
        place: node.place,
    })
}

/// The parts of a comma-separated text, without space around them and without empty ones.
pub(super) fn split(text: &Sourced<String>) -> impl Iterator<Item = Sourced<String>> {
    text.value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Sourced {
            value: part.to_owned(),
            place: text.place.clone(),
        })
}

pub(super) fn texts(field: &Field, node: Node, findings: &mut Findings) -> Vec<Sourced<String>> {
    match node.value {
        Value::Text(value) => split(&Sourced {
            value,
            place: node.place,
        })
        .collect(),
        Value::List(items) => items
            .into_iter()
            .filter_map(|item| match item.value {
                Value::Text(text) => Some(Sourced {
                    value: text.trim().to_owned(),
                    place: item.place,
                }),
                _ => {
                    wrong_kind(field, "a list of texts in double quotes", &item, findings);
                    None
                }
            })
            .collect(),
        _ => {
            wrong_kind(field, "a text or a list of texts", &node, findings);
            Vec::new()
        }
    }
}

fn keys(field: &Field, node: Node, findings: &mut Findings) -> Vec<KeyEntry> {
    match node.value {
        Value::Text(value) => split(&Sourced {
            value,
            place: node.place,
        })
        .map(KeyEntry::plain)
        .collect(),
        Value::List(items) => items
            .into_iter()
            .filter_map(|item| key(field, item, findings))
            .collect(),
        _ => {
            wrong_kind(
                field,
                "a list of keys, or one text with commas",
                &node,
                findings,
            );
            Vec::new()
        }
    }
}

/// One entry of a list of keys. Empty texts are passed over, as they always were.
fn key(field: &Field, node: Node, findings: &mut Findings) -> Option<KeyEntry> {
    let place = node.place.clone();
    let mut rest = match node.value {
        Value::Text(text) => {
            let value = text.trim().to_owned();
            return (!value.is_empty()).then(|| KeyEntry::plain(Sourced { value, place }));
        }
        Value::Object(members) => fields(KEY_FIELDS, " for a key", members, findings)
            .into_iter()
            .filter_map(|(field, node)| Some((field.name, scalar(field, node, findings)?)))
            .collect::<Scalars>(),
        _ => {
            wrong_kind(field, "a list of texts or objects", &node, findings);
            return None;
        }
    };
    let key = rest
        .remove("key")
        .filter(|key| !key.value.trim().is_empty());
    if key.is_none() {
        findings.problem(
            &place,
            "this key has no `key`; write it as {\"key\": \"KEY\", \"label\": \"work\"}",
        );
    }
    key.map(|key| KeyEntry { key, rest })
}

fn pools(field: &Field, node: Node, findings: &mut Findings) -> Vec<PoolEntry> {
    let Value::Object(members) = node.value else {
        wrong_kind(field, "an object that names pools", &node, findings);
        return Vec::new();
    };
    members
        .into_iter()
        .filter_map(|member| pool(field, member, findings))
        .collect()
}

fn pool(field: &Field, member: Member, findings: &mut Findings) -> Option<PoolEntry> {
    let mut pool = PoolEntry {
        name: Sourced {
            value: member.name,
            place: member.place,
        },
        target: None,
        provider: None,
        keys: Vec::new(),
    };
    let Value::Object(members) = member.node.value else {
        wrong_kind(field, "an object of objects", &member.node, findings);
        return None;
    };
    for (field, node) in fields(POOL_FIELDS, " for a pool", members, findings) {
        match field.name {
            "keys" => pool.keys = keys(field, node, findings),
            "provider" => pool.provider = scalar(field, node, findings),
            _ => pool.target = scalar(field, node, findings),
        }
    }
    Some(pool)
}
