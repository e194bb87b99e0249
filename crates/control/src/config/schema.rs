//! The file's JSON Schema, made of the tables that the file is read by: editors check and complete with it.

use api_key_lb_core::provider::PROVIDERS;
use api_key_lb_core::verdict::Matter;
use serde_json::{Map, Value, json};

use super::field::{
    ERROR_FIELDS, FIELDS, Field, KEY_FIELDS, Kind, OTLP_FIELDS, POOL_FIELDS, PRICE_FIELDS,
    RULE_FIELDS, Usual,
};
use super::sheet::{NO, YES};

/// The version of JSON Schema that this is written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// A text that is a whole number.
const WHOLE: &str = "^[0-9]+$";
/// What a pool may be called.
const POOL_NAME: &str = "^[A-Za-z0-9._-]{1,64}$";

/// The schema. It is stricter than the reader in two things: words are in lower case, and there are
/// no unknown fields, which the reader warns of and passes over.
pub fn schema() -> Value {
    let mut root = object(FIELDS);
    root.insert("$schema".into(), DIALECT.into());
    root.insert("title".into(), "Configuration of api-key-lb".into());
    // How VS Code learns that `.json` does not mean strict JSON here; others pass over them.
    root.insert("allowComments".into(), true.into());
    root.insert("allowTrailingCommas".into(), true.into());

    let mut rule = object(RULE_FIELDS);
    rule.insert("minProperties".into(), 1.into());
    rule.insert("maxProperties".into(), 1.into());
    rule.remove("required");
    let mut error = object(ERROR_FIELDS);
    error.insert(
        "anyOf".into(),
        ["status", "code", "text"]
            .map(|name| json!({"required": [name]}))
            .into(),
    );
    root.insert(
        "$defs".into(),
        json!({
            "key": object(KEY_FIELDS),
            "pool": object(POOL_FIELDS),
            "session_rule": rule,
            "error_rule": error,
            "price": object(PRICE_FIELDS),
            "otlp": object(OTLP_FIELDS),
        }),
    );
    Value::Object(root)
}

/// An object with these fields and no others.
fn object(fields: &[Field]) -> Map<String, Value> {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.to_owned(), Value::Object(property(field))))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| matches!(field.usual, Usual::Required))
        .map(|field| field.name)
        .collect();
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("properties".into(), properties.into());
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object
}

fn property(field: &Field) -> Map<String, Value> {
    let mut property = of_kind(field);
    property.insert("description".into(), description(field).into());
    if let Usual::Is(default) = field.usual
        && let Ok(default) = serde_json::from_str::<Value>(default)
    {
        property.insert("default".into(), default);
    }
    if let Ok(example) = serde_json::from_str::<Value>(field.example) {
        property.insert("examples".into(), vec![example].into());
    }
    property
}

/// What it is for, what counts without it, and what wins over it.
fn description(field: &Field) -> String {
    let mut text = format!("{}.", field.meaning);
    if let Usual::Words(words) = field.usual {
        text.push_str(&format!(" Without it: {words}."));
    }
    let overriding: Vec<String> = [
        field.flag.map(|flag| format!("flag {flag}")),
        field.variable.map(|name| format!("variable {name}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !overriding.is_empty() {
        text.push_str(&format!(" Overridden by {}.", overriding.join(" and ")));
    }
    text
}

/// What a value of this kind looks like, `null` included, which is as if it were not there.
fn of_kind(field: &Field) -> Map<String, Value> {
    let null = !matches!(field.usual, Usual::Required);
    let types = |of: &[&str]| -> Value {
        let null = null.then_some("null");
        of.iter().copied().chain(null).collect::<Vec<_>>().into()
    };
    let words = |words: Vec<Value>| -> Value {
        let null = null.then_some(Value::Null);
        json!({"enum": words.into_iter().chain(null).collect::<Vec<_>>()})
    };
    let schema = match field.kind {
        Kind::Text | Kind::Ignored => json!({"type": types(&["string"])}),
        Kind::Provider => words(texts(PROVIDERS.iter().map(|provider| provider.name))),
        Kind::Matter => words(texts(Matter::NAMEABLE.map(Matter::word))),
        Kind::Words(known) => words(texts(known.iter().copied())),
        Kind::Choice(known) => {
            let switches = [Value::Bool(true), Value::Bool(false)];
            let known = texts(known.iter().copied()).into_iter().chain(switches);
            json!({"anyOf": [
                words(known.collect()),
                {"type": "string", "pattern": yes_or_no()},
            ]})
        }
        Kind::Switch => json!({
            "type": types(&["boolean", "string"]),
            "pattern": yes_or_no(),
        }),
        Kind::Whole(least, most) => {
            let one = json!({
                "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": WHOLE,
            });
            if field.or_list {
                json!({"anyOf": [one, {"type": types(&["array"]), "items": one}]})
            } else {
                let mut one = one;
                one["type"] = types(&["integer", "string"]);
                one
            }
        }
        Kind::Number => json!({
            "type": types(&["number", "string"]), "minimum": 0,
        }),
        Kind::Headers => json!({
            "type": types(&["object"]), "additionalProperties": {"type": "string"},
        }),
        Kind::Prices => json!({
            "type": types(&["object"]),
            "additionalProperties": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/price"}]},
        }),
        Kind::Otlp => {
            let null = null.then(|| json!({"type": "null"}));
            let kinds = [json!({"type": "string"}), json!({"$ref": "#/$defs/otlp"})];
            json!({"anyOf": kinds.into_iter().chain(null).collect::<Vec<_>>()})
        }
        Kind::Texts => json!({
            "type": types(&["string", "array"]), "items": {"type": "string"},
        }),
        Kind::Codes => json!({
            "type": types(&["string", "integer", "array"]),
            "items": {"type": ["string", "integer"]},
        }),
        Kind::Keys => json!({
            "type": types(&["string", "array"]),
            "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/key"}]},
        }),
        Kind::Pools => json!({
            "type": types(&["object"]),
            "additionalProperties": {"$ref": "#/$defs/pool"},
            "propertyNames": {"pattern": POOL_NAME},
        }),
        Kind::Rules => {
            let one = json!({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/session_rule"}]});
            json!({"anyOf": [one, {"type": types(&["array"]), "items": one}]})
        }
        Kind::Errors => {
            let one = json!({"$ref": "#/$defs/error_rule"});
            json!({"anyOf": [one, {"type": types(&["array"]), "items": one}]})
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// The texts that are as good as true or false.
fn yes_or_no() -> String {
    format!("^({})$", [YES, NO].concat().join("|"))
}

fn texts(words: impl IntoIterator<Item = &'static str>) -> Vec<Value> {
    words.into_iter().map(Value::from).collect()
}
