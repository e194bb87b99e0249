//! The schema, the template and what counts in the end say what the loader does.

use serde_json::{Value, json};

use super::super::field::{
    ERROR_FIELDS, FIELDS, Field, KEY_FIELDS, OTLP_FIELDS, POOL_FIELDS, PRICE_FIELDS, RULE_FIELDS,
    Usual,
};
use super::*;

/// Keywords that say something to people or editors, and nothing about what is valid.
const REMARKS: &[&str] = &[
    "$schema",
    "$defs",
    "title",
    "description",
    "default",
    "examples",
    "allowComments",
    "allowTrailingCommas",
];

/// Fields that hold a word.
const WORDS: &[&str] = &["log", "log_format", "split_subagents", "provider", "means"];

/// Why `value` is not what `schema`, a part of `root`, describes. Knows the keywords that our
/// schema uses and no others.
pub(super) fn objections(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let fits = match keyword.as_str() {
            remark if REMARKS.contains(&remark) => true,
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                let part = root.pointer(pointer).expect("a reference leads somewhere");
                found.extend(objections(root, part, value, at));
                true
            }
            "type" => {
                let one = std::slice::from_ref(wanted);
                let types = wanted.as_array().map_or(one, Vec::as_slice);
                types
                    .iter()
                    .any(|kind| is_of(value, kind.as_str().unwrap()))
            }
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| fits_pattern(text, wanted.as_str().unwrap())),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    found.extend(objections(root, wanted, item, &format!("{at}/{index}")));
                }
                true
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        found.extend(objections(root, schema, member, &format!("{at}/{name}")));
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let members = value.as_object().into_iter().flatten();
                for (name, member) in
                    members.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)))
                {
                    match wanted {
                        Value::Bool(false) => found.push(format!("{at}/{name} is unknown")),
                        wanted => {
                            found.extend(objections(root, wanted, member, &format!("{at}/{name}")))
                        }
                    }
                }
                true
            }
            "propertyNames" => value.as_object().is_none_or(|members| {
                members
                    .keys()
                    .all(|name| objections(root, wanted, &json!(name), at).is_empty())
            }),
            "required" => value.as_object().is_none_or(|members| {
                wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "minProperties" => value
                .as_object()
                .is_none_or(|members| members.len() as u64 >= wanted.as_u64().unwrap()),
            "maxProperties" => value
                .as_object()
                .is_none_or(|members| members.len() as u64 <= wanted.as_u64().unwrap()),
            "anyOf" => wanted
                .as_array()
                .unwrap()
                .iter()
                .any(|schema| objections(root, schema, value, at).is_empty()),
            unknown => panic!("the schema uses `{unknown}`, which this test does not know"),
        };
        if !fits {
            found.push(format!("{at}: {keyword}"));
        }
    }
    found
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => panic!("{kind}"),
    }
}

/// The three forms of patterns that our schema uses.
fn fits_pattern(text: &str, pattern: &str) -> bool {
    let inner = pattern
        .strip_prefix('^')
        .and_then(|rest| rest.strip_suffix('$'))
        .unwrap();
    if let Some(words) = inner
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        return words.split('|').any(|word| word == text);
    }
    match inner {
        "[0-9]+" => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        "[A-Za-z0-9._-]{1,64}" => {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        _ => panic!("{pattern}"),
    }
}

/// The file's text as JSON without comments.
fn json_of(text: &str) -> Value {
    let root = document::parse(&Path::new("c.json").into(), text)
        .ok()
        .flatten();
    root.map_or(Value::Null, plain)
}

fn plain(node: document::Node) -> Value {
    use document::Value as Written;
    match node.value {
        Written::Null => Value::Null,
        Written::Switch(on) => on.into(),
        Written::Number(text) => serde_json::from_str(&text).unwrap(),
        Written::Text(text) => text.into(),
        Written::List(items) => items.into_iter().map(plain).collect(),
        Written::Object(members) => members
            .into_iter()
            .map(|member| (member.name, plain(member.node)))
            .collect(),
    }
}

/// That whatever loads is what the schema describes; [`World::load`] asks for every file it reads.
pub(super) fn describes(text: &str, config: &Config) {
    let passed_over = |note: &Note| note.text.contains("is ignored");
    let value = json_of(text);
    if value.is_null() || config.notes.iter().any(passed_over) {
        return;
    }
    let schema = schema();
    let found = objections(&schema, &schema, &lower_case_words(value), "");
    assert_eq!(found, Vec::<String>::new(), "{text}");
}

/// The schema wants words as they are documented; the loader takes them in any case.
fn lower_case_words(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(lower_case_words).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) if WORDS.contains(&name.as_str()) => {
                    (name, text.trim().to_ascii_lowercase().into())
                }
                value => (name, lower_case_words(value)),
            })
            .collect(),
        other => other,
    }
}

#[test]
fn every_field_of_every_table_is_in_the_schema_with_what_it_is_for() {
    let schema = schema();
    let tables: [(&str, &[Field]); 7] = [
        ("", FIELDS),
        ("/$defs/key", KEY_FIELDS),
        ("/$defs/pool", POOL_FIELDS),
        ("/$defs/session_rule", RULE_FIELDS),
        ("/$defs/error_rule", ERROR_FIELDS),
        ("/$defs/price", PRICE_FIELDS),
        ("/$defs/otlp", OTLP_FIELDS),
    ];
    for (pointer, fields) in tables {
        let properties = schema.pointer(&format!("{pointer}/properties")).unwrap();
        assert_eq!(
            properties.as_object().unwrap().len(),
            fields.len(),
            "{pointer}"
        );
        for field in fields {
            let property = &properties[field.name];
            let description = property["description"].as_str().unwrap();
            assert!(
                description.starts_with(field.meaning) && field.meaning.len() > 10,
                "{}",
                field.name
            );
            for named in [field.flag, field.variable].into_iter().flatten() {
                assert!(description.contains(named), "{description}");
            }
            if let Usual::Is(default) = field.usual {
                assert_eq!(
                    property["default"],
                    serde_json::from_str::<Value>(default).unwrap()
                );
                assert_eq!(
                    objections(&schema, property, &property["default"], ""),
                    [""; 0],
                    "{}",
                    field.name
                );
            }
            for example in property["examples"].as_array().unwrap() {
                assert_eq!(
                    objections(&schema, property, example, ""),
                    [""; 0],
                    "{}",
                    field.name
                );
            }
        }
    }
}

#[test]
fn what_the_loader_refuses_or_passes_over_is_not_what_the_schema_describes() {
    let schema = schema();
    for (wrong, at) in [
        (json!({"prot": 1}), "/prot is unknown"),
        (json!({"port": 70_000}), "/port: maximum"),
        (json!({"port": 1.5}), "/port: type"),
        (json!({"log": "all"}), "/log: enum"),
        (
            json!({"drain_windows": "perhaps"}),
            "/drain_windows: pattern",
        ),
        (json!({"keys": [{"label": "work"}]}), "/keys/0: anyOf"),
        (
            json!({"pools": {"a b": {"target": "https://h", "keys": ["k"]}}}),
            "/pools: propertyNames",
        ),
        (
            json!({"pools": {"a": {"keys": ["k"]}}}),
            "/pools/a: required",
        ),
        (json!({"session_rules": [{}]}), "/session_rules: anyOf"),
        (
            json!({"error_rules": [{"means": "overload"}]}),
            "/error_rules: anyOf",
        ),
        (json!({"provider": "zaai"}), "/provider: enum"),
    ] {
        assert_eq!(objections(&schema, &schema, &wrong, ""), [at], "{wrong}");
    }
}

#[test]
fn the_template_loads_as_if_it_were_not_there_and_says_so_for_every_field() {
    let text = template();
    let nothing = World::new().var("API_KEYS", "k").config();
    let commented = World::with_file(&text).var("API_KEYS", "k").config();
    assert_eq!(
        format!("{:?}", commented.plan),
        format!("{:?}", nothing.plan)
    );
    assert_eq!(commented.notes, []);
    for field in FIELDS {
        assert!(
            text.contains(&format!("\n  //\"{}\": ", field.name)),
            "{}",
            field.name
        );
    }
    let inner = [KEY_FIELDS, POOL_FIELDS, RULE_FIELDS, ERROR_FIELDS].concat();
    for field in inner {
        let line = format!("  //     {}: ", field.name);
        assert!(text.contains(&line), "{}", field.name);
    }
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(120), "{longest:?}");
}

#[test]
fn the_template_with_every_comment_removed_means_the_defaults() {
    let text: String = template()
        .lines()
        .map(|line| match line.strip_prefix("  //\"") {
            Some(setting) => format!("  \"{setting}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let all = json_of(&text);
    assert_eq!(all.as_object().unwrap().len(), FIELDS.len());
    let schema = schema();
    assert_eq!(objections(&schema, &schema, &all, ""), [""; 0]);
    let nothing = World::new().var("API_KEYS", "k").config();
    let uncommented = World::with_file(&text).var("API_KEYS", "k").config();
    let of_no_file = |config| Config {
        file: None,
        files: Vec::new(),
        ..config
    };
    assert_eq!(
        format!("{:?}", of_no_file(uncommented)),
        format!("{:?}", of_no_file(nothing))
    );
}
