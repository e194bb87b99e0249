//! Every refusal that providers are known to send, played by one key of a pool of three: either
//! another key serves and the client sees nothing of it, or it is the client's own and passes
//! unchanged at once.

use std::fs;
use std::path::Path;

use api_key_lb_mock::{ANY_KEY, Fault};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{chat, pair_with};

/// One row of what the core's judge is tested with.
#[derive(Deserialize)]
struct Row {
    name: String,
    provider: String,
    status: u16,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
    body: Value,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    elsewhere: String,
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The rows of all files whose names begin with one of these letters.
fn rows(letters: std::ops::RangeInclusive<char>) -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/answers");
    let mut rows: Vec<Row> = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".json") && name.starts_with(|first| letters.contains(&first)) {
            let of_file: Vec<Row> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            rows.extend(of_file.into_iter().filter(|row| row.status >= 400));
        }
    }
    assert!(!rows.is_empty());
    rows
}

fn is_survived(row: &Row) {
    let what = format!("{} {} ({})", row.provider, row.name, row.status);
    let (mock, proxy) = pair_with(3, json!({"provider": row.provider}));
    let body = text(&row.body);
    let mut fault = Fault::on(ANY_KEY).times(1).status(row.status).body(&body);
    for (name, value) in &row.headers {
        fault = fault.header(name, text(value));
    }
    mock.fault(fault);
    let reply = proxy.turn("s", &chat("hi"));
    let forbidden = row
        .headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("x-should-retry") && text(value) == "false");
    let stays = match row.expect.elsewhere.as_str() {
        "No" => true,
        "One" | "Few" => forbidden || body.contains("\"retryable\":false"),
        _ => false,
    };
    let attempts = reply.header("x-lb-attempts").unwrap_or_default();
    if stays {
        assert_eq!(
            (reply.status, attempts),
            (row.status, "1"),
            "{what}: {}",
            reply.text()
        );
        assert_eq!(reply.text(), body, "{what} passes unchanged");
    } else {
        assert_eq!(
            (reply.status, attempts),
            (200, "2"),
            "{what}: {}",
            reply.text()
        );
    }
    proxy.turn("s", &chat("again")).is(200);
}

macro_rules! survives {
    ($($name:ident: $letters:expr;)*) => {
        $(#[test]
        fn $name() {
            for row in rows($letters) {
                is_survived(&row);
            }
        })*
    };
}

survives! {
    the_pool_survives_every_refusal_of_the_providers_from_a_to_c: 'a'..='c';
    the_pool_survives_every_refusal_of_the_providers_from_d_to_k: 'd'..='k';
    the_pool_survives_every_refusal_of_the_providers_from_l_to_o: 'l'..='o';
    the_pool_survives_every_refusal_of_the_providers_from_p_to_z: 'p'..='z';
}
