//! What `keys list` shows: the keys of the file, and how those do that a running proxy has.

use std::path::Path;
use std::time::Duration;

use api_key_lb_control::config::{Source, shown};
use api_key_lb_control::health::{Health, HealthKey};
use api_key_lb_control::key_file::FileKey;
use serde::Serialize;

use super::naming::{path, pool_name};
use crate::printer;
use crate::render;

const COLUMNS: usize = 7;
const HEADINGS: [&str; COLUMNS] = ["#", "label", "key", "pool", "weight", "account", "state"];
/// Between two columns.
const GAP: &str = "  ";
/// What a key is that may serve, if no proxy says more.
const ENABLED: &str = "enabled";
/// What a key is that must not.
const DISABLED: &str = "disabled";
/// What a key is that the running proxy does not have.
const NOT_LOADED: &str = "not in force";

/// All keys. The fields are documented in `docs/keys.md` and stay.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    pub(crate) config: String,
    pub(crate) proxy: Proxy,
    pub(crate) keys: Vec<Listed>,
}

/// The proxy that the configuration describes.
#[derive(Debug, Serialize)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) running: bool,
    /// Whether it is this file that it reads; `null` if it does not run.
    pub(crate) same_config: Option<bool>,
}

/// One key.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    pub(crate) number: usize,
    pub(crate) label: String,
    pub(crate) pool: String,
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) source: &'static str,
    pub(crate) weight: u32,
    pub(crate) account: Option<String>,
    pub(crate) disabled: bool,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) retry_in_ms: Option<u64>,
}

impl Listing {
    /// Of the file at `config`; `health` is that of the proxy that reads it.
    pub(crate) fn of<'k>(
        config: &Path,
        proxy: Proxy,
        keys: impl Iterator<Item = (usize, &'k FileKey)>,
        health: Option<&Health>,
    ) -> Self {
        Self {
            config: config.display().to_string(),
            proxy,
            keys: keys
                .map(|(at, key)| Listed::of(at + 1, key, health))
                .collect(),
        }
    }
}

impl Listed {
    fn of(number: usize, key: &FileKey, health: Option<&Health>) -> Self {
        let live = health.and_then(|health| live(key, health));
        let state = match (health, live) {
            (_, Some(live)) => live.status.as_str(),
            (_, None) if key.disabled => DISABLED,
            (Some(_), None) => NOT_LOADED,
            (None, None) => ENABLED,
        };
        Self {
            number,
            label: key.label.clone(),
            pool: key.pool.clone(),
            path: path(key),
            key: shown(key.written.expose()),
            source: match Source::of(key.written.expose()).prefix() {
                "" => "literal",
                prefix => prefix.trim_end_matches(':'),
            },
            weight: key.weight.unwrap_or(1),
            account: key.account.clone(),
            disabled: key.disabled,
            state: state.to_owned(),
            reason: live.and_then(|live| live.reason.clone()),
            retry_in_ms: live.and_then(|live| live.retry_in_ms),
        }
    }
}

/// The key as the proxy has it: labels are different in all of its pools.
fn live<'h>(key: &FileKey, health: &'h Health) -> Option<&'h HealthKey> {
    health.keys.iter().find(|live| {
        live.label.as_ref() == Some(&key.label) && live.pool.as_ref() == Some(&key.pool)
    })
}

/// For people.
pub(crate) fn table(listing: &Listing) -> String {
    let has_pools = listing.keys.iter().any(|key| !key.pool.is_empty());
    let mut rows: Vec<[String; COLUMNS]> = vec![HEADINGS.map(str::to_owned)];
    rows.extend(listing.keys.iter().map(row));
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            if HEADINGS[column] == "pool" && !has_pools {
                continue;
            }
            let fill = " ".repeat(widths[column] - cell.chars().count());
            let is_number = column == 0;
            let shown = match number.checked_sub(1).and_then(|at| listing.keys.get(at)) {
                None => printer::faint(cell),
                Some(key) if column == COLUMNS - 1 => coloured(key, cell),
                Some(key) if key.disabled => printer::faint(cell),
                Some(_) => cell.clone(),
            };
            if column > 0 {
                line.push_str(GAP);
            }
            // Numbers stand at the right; behind the last column is nothing.
            match (is_number, column == COLUMNS - 1) {
                (true, _) => line.push_str(&format!("{fill}{shown}")),
                (false, true) => line.push_str(&shown),
                (false, false) => line.push_str(&format!("{shown}{fill}")),
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn row(key: &Listed) -> [String; COLUMNS] {
    let state = match key.retry_in_ms {
        Some(ms) => format!(
            "{}, ready in {}",
            key.state,
            render::long(Duration::from_millis(ms))
        ),
        None => key.state.clone(),
    };
    [
        key.number.to_string(),
        key.label.clone(),
        key.key.clone(),
        pool_name(&key.pool).to_owned(),
        key.weight.to_string(),
        key.account.clone().unwrap_or_else(|| "-".to_owned()),
        state,
    ]
}

fn coloured(key: &Listed, cell: &str) -> String {
    match key.state.as_str() {
        "ready" => printer::good(cell),
        ENABLED => cell.to_owned(),
        DISABLED => printer::faint(cell),
        _ => printer::striking(cell),
    }
}

#[cfg(test)]
mod tests {
    use api_key_lb_control::key_file::KeyFile;

    use super::*;

    fn listed(text: &str, health: Option<&str>) -> Listing {
        let file = KeyFile::parse(text).unwrap();
        let health = health.map(|json| serde_json::from_str(json).unwrap());
        let proxy = Proxy {
            port: 4577,
            running: health.is_some(),
            same_config: health.is_some().then_some(true),
        };
        let keys = file.keys().iter().enumerate();
        Listing::of(Path::new("c.json"), proxy, keys, health.as_ref())
    }

    fn plain(listing: &Listing) -> String {
        anstream::adapter::strip_str(&table(listing)).to_string()
    }

    const FILE: &str = r#"{"keys": ["sk-proj-0123456789012345678901234567aZ9q",
        {"key": "cmd:pass show x", "label": "work", "weight": 2, "account": "acme"},
        {"key": "env:OLD", "disabled": true}]}"#;

    #[test]
    fn the_table_shows_every_key_and_no_value() {
        let expected = [
            "#  label  key              weight  account  state",
            "1  key-1  sk-proj-...aZ9q  1       -        enabled",
            "2  work   cmd:...          2       acme     enabled",
            "3  key-3  env:OLD          1       -        disabled",
        ];
        assert_eq!(plain(&listed(FILE, None)), expected.join("\n"));
    }

    #[test]
    fn a_running_proxy_says_how_they_do_and_which_it_does_not_have() {
        let health = r#"{"status":"ok","target":"https://h","sessions":0,"uptime_ms":1,"keys":[
            {"id":0,"key":"a...","label":"key-1","pool":"","requests":0,"errors":0,"cache_hits":0,
             "status":"throttled","retry_in_ms":1200,"reason":"because"}]}"#;
        let listing = listed(FILE, Some(health));
        let text = plain(&listing);
        assert!(text.contains("throttled, ready in 2 s"), "{text}");
        assert!(text.contains("not in force"), "{text}");
        assert_eq!(listing.keys[0].reason.as_deref(), Some("because"));
        assert_eq!(listing.keys[1].source, "cmd");
    }
}
