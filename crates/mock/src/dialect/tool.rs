//! Tool calls: which tool is called, with which arguments.

use serde_json::{Map, Value};

/// Depth at which a (possibly recursive) schema is cut off.
const MAX_DEPTH: usize = 8;
/// Bytes of arguments per streamed delta.
const DELTA_BYTES: usize = 12;

/// A call of the first tool a request offers.
#[derive(Debug, Clone)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// The arguments, an object.
    pub(crate) arguments: Value,
}

impl ToolCall {
    pub(crate) fn new(name: &str, schema: Option<&Value>) -> Self {
        let arguments = match schema.map(|schema| sample(schema, 0)) {
            Some(Value::Object(members)) => Value::Object(members),
            _ => Value::Object(Map::new()),
        };
        Self {
            name: name.to_owned(),
            arguments,
        }
    }

    /// The same with other arguments.
    pub(crate) fn with(self, arguments: &Map<String, Value>) -> Self {
        Self {
            arguments: Value::Object(arguments.clone()),
            ..self
        }
    }

    /// The arguments as JSON text.
    pub(crate) fn text(&self) -> String {
        self.arguments.to_string()
    }

    /// The arguments cut into the deltas of a stream.
    pub(crate) fn deltas(&self) -> Vec<String> {
        let mut deltas = vec![String::new()];
        for character in self.text().chars() {
            if deltas
                .last()
                .is_some_and(|delta| delta.len() >= DELTA_BYTES)
            {
                deltas.push(String::new());
            }
            if let Some(delta) = deltas.last_mut() {
                delta.push(character);
            }
        }
        deltas
    }

    /// Size in output tokens.
    pub(crate) fn tokens(&self) -> u64 {
        (self.name.len() + self.text().len()).div_ceil(4) as u64
    }
}

/// A value that satisfies a JSON schema, as far as the mock understands it.
fn sample(schema: &Value, depth: usize) -> Value {
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
        return value.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|choices| choices.get(0)) {
            return sample(first, depth + 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => schema.get("properties").map(|_| "object"),
    };
    match kind.unwrap_or_default().to_ascii_lowercase().as_str() {
        "string" => Value::from("text"),
        "number" | "integer" => Value::from(1),
        "boolean" => Value::from(true),
        "array" => match schema.get("items") {
            Some(items) if depth < MAX_DEPTH => Value::Array(vec![sample(items, depth + 1)]),
            _ => Value::Array(Vec::new()),
        },
        "object" => object(schema, depth),
        _ => Value::Null,
    }
}

/// The required members of an object, or all of them when none is required.
fn object(schema: &Value, depth: usize) -> Value {
    let mut members = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties.filter(|_| depth < MAX_DEPTH) {
        let required: Vec<&str> = match schema.get("required").and_then(Value::as_array) {
            Some(names) => names.iter().filter_map(Value::as_str).collect(),
            None => Vec::new(),
        };
        for (name, property) in properties {
            if required.is_empty() || required.contains(&name.as_str()) {
                members.insert(name.clone(), sample(property, depth + 1));
            }
        }
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_follow_the_schema() {
        let schema = json!({"type": "object", "required": ["city", "days", "unit", "tags", "at"],
            "properties": {
                "city": {"type": "string"}, "days": {"type": "integer"}, "skipped": {"type": "string"},
                "unit": {"enum": ["C", "F"]}, "tags": {"type": "array", "items": {"type": "BOOLEAN"}},
                "at": {"type": ["object", "null"], "properties": {"lat": {"type": "number"}}}}});
        let call = ToolCall::new("weather", Some(&schema));
        let expected =
            json!({"city": "text", "days": 1, "unit": "C", "tags": [true], "at": {"lat": 1}});
        assert_eq!(call.arguments, expected);
        assert_eq!(call.deltas().concat(), call.text());
    }

    #[test]
    fn a_missing_or_odd_schema_gives_an_empty_object() {
        assert_eq!(ToolCall::new("t", None).text(), "{}");
        assert_eq!(
            ToolCall::new("t", Some(&json!({"type": "string"}))).text(),
            "{}"
        );
    }
}
