//! What `/health` says, in words for people, and how numbers are written.

use std::fmt::Write as _;
use std::time::Duration;

use api_key_lb_control::health::{Health, HealthKey, HealthStore, SplitId};

use crate::printer;

/// Shared ids that are named; more would hide the keys below.
const MOST_SPLITS: usize = 3;
/// How a key is that must not serve.
const DISABLED: &str = "disabled";
/// Digits between two separators in a number.
const GROUP: usize = 3;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The whole status, as the package this replaces worded it, and more.
pub(crate) fn status(health: &Health) -> String {
    let mut text = head(health);
    for entry in &health.keys {
        text.push('\n');
        key(&mut text, entry);
    }
    text.trim_end().to_owned()
}

/// What is said before the keys.
pub(crate) fn head(health: &Health) -> String {
    let mut text = format!("{}\n\n", printer::strong("api-key-lb status"));
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<11}{value}", format!("{name}:"));
    };
    row("Status", &health.status);
    if health.pools.len() > 1 {
        for pool in &health.pools {
            row(
                "Target",
                &format!("{} (path {})", pool.target, path_of(&pool.name)),
            );
        }
    } else {
        row("Target", &health.target);
    }
    row("Sessions", &grouped(health.sessions));
    row("Uptime", &long(Duration::from_millis(health.uptime_ms)));
    if !health.listen.is_empty() {
        row("Listening", &health.listen.join(", "));
    }
    if let (Some(version), Some(pid)) = (&health.version, health.pid) {
        row("Version", &format!("{version}, process {pid}"));
    }
    if let Some(stored) = &health.store {
        row("Store", &store(stored));
    }
    if let Some(supervisor) = &health.supervisor {
        row("Run by", supervisor);
    }
    if let Some(trouble) = &health.config_error {
        let ago = long(Duration::from_millis(trouble.since_ms));
        let text = trouble.text.replace('\n', "\n             ");
        let what = format!("not in force, the one before is ({ago} ago): {text}");
        row("Config", &printer::striking(what));
    }
    if !health.needs_restart.is_empty() {
        let what = format!(
            "{} (until `api-key-lb restart`)",
            health.needs_restart.join("; ")
        );
        row("Config", &printer::striking(what));
    }
    if !health.split_ids.is_empty() {
        row("Note", &split_ids(&health.split_ids));
    }
    text
}

/// Whether anything outlives the process, and where.
fn store(store: &HealthStore) -> String {
    let path = store.path.as_deref().unwrap_or("");
    match (store.status.as_str(), &store.problem) {
        ("ok", _) => format!("{path} ({})", bytes(store.bytes.unwrap_or(0))),
        (_, Some(problem)) => printer::striking(format!("in memory only: {problem}")),
        _ => "off: sessions, cooldowns and usage are forgotten when it ends".to_owned(),
    }
}

/// A size: `812 B`, `12.3 KB`, `1.4 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// That ids are shared, by which rule each is found and what showed it.
fn split_ids(splits: &[SplitId]) -> String {
    let are = if splits.len() == 1 { "is" } else { "are" };
    let mut shown: Vec<String> = splits
        .iter()
        .take(MOST_SPLITS)
        .map(|split| format!("{} ({})", split.rule, split.reason))
        .collect();
    if splits.len() > MOST_SPLITS {
        shown.push(format!("{} more", splits.len() - MOST_SPLITS));
    }
    format!(
        "{} {are} shared by many conversations and split by content: {}",
        count(splits.len(), "id"),
        shown.join(", ")
    )
}

fn key(text: &mut String, key: &HealthKey) {
    let label = key.label.as_deref().unwrap_or_default();
    let pool = key.pool.as_deref().unwrap_or_default();
    let _ = write!(text, "  Key #{}", key.id);
    for part in [label, pool] {
        if !part.is_empty() {
            let _ = write!(text, " {part}");
        }
    }
    if key.status == DISABLED {
        let _ = writeln!(
            text,
            " ({})\n    Status: {}",
            key.key,
            printer::faint(DISABLED)
        );
        return;
    }
    // The package this replaces ended its mask with dots, too.
    let _ = writeln!(text, " ({}...)", key.key.trim_end_matches('.'));
    let _ = write!(
        text,
        "    Requests: {}  Errors: {}  Cache hits: {}",
        grouped(key.requests),
        grouped(key.errors),
        grouped(key.cache_hits)
    );
    if let Some(in_flight) = key.in_flight {
        let _ = write!(text, "  In flight: {}", grouped(in_flight));
    }
    let _ = writeln!(text, "  Status: {}", state(key));
    if let Some(other) = &key.same_account_as {
        let _ = writeln!(text, "    Shares the account of {other}, and so its limits");
    }
}

/// Whether the key serves, and if not, why and for how long.
fn state(key: &HealthKey) -> String {
    let span = |ms: u64| long(Duration::from_millis(ms));
    let why = key
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(": {reason}"));
    let models = key.throttled_models.unwrap_or(0);
    match (key.refused_for_ms, key.retry_in_ms) {
        (Some(ms), _) => printer::striking(format!(
            "refused by the provider{}, tried again in {}",
            if why.is_empty() {
                " (revoked or out of credit?)"
            } else {
                &why
            },
            span(ms)
        )),
        (None, Some(ms)) if models > 0 => {
            let models = usize::try_from(models).unwrap_or(usize::MAX);
            let models = count(models, "model");
            let ready = span(ms);
            printer::striking(format!(
                "{} for {models}{why}, ready in {ready}",
                key.status
            ))
        }
        (None, Some(ms)) => {
            printer::striking(format!("{}{why}, ready in {}", key.status, span(ms)))
        }
        (None, None) if key.status == "ready" => printer::good(&key.status),
        (None, None) => printer::striking(&key.status),
    }
}

/// The path that chooses a pool.
pub(crate) fn path_of(pool: &str) -> String {
    if pool.is_empty() {
        "/".to_owned()
    } else {
        format!("/{pool}/")
    }
}

/// `2 keys`, `1 key`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A number with separators: `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / GROUP);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(GROUP) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A short time: `12 ms`, `1.4 s`.
pub(crate) fn millis(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{:.1} s", span.as_secs_f64())
    }
}

/// A time to be read, rounded up to seconds so that a countdown never says 0: `3 min 20 s`.
pub(crate) fn long(span: Duration) -> String {
    let seconds = span.as_millis().div_ceil(1000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min {} s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn health(json: &str) -> Health {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_status_of_the_npm_package_reads_as_it_did() {
        let text = plain(&status(&health(
            r#"{"status":"ok","target":"https://api.z.ai","sessions":1234,"uptime_ms":200000,"keys":[
                {"id":0,"key":"abcdefgh...","requests":7,"errors":1,"cache_hits":2,"status":"ready"}]}"#,
        )));
        assert_eq!(
            text,
            "api-key-lb status\n\n  Status:    ok\n  Target:    https://api.z.ai\n  \
             Sessions:  1,234\n  Uptime:    3 min 20 s\n\n  Key #0 (abcdefgh...)\n    \
             Requests: 7  Errors: 1  Cache hits: 2  Status: ready"
        );
    }

    #[test]
    fn a_cooling_key_says_when_it_is_ready_and_a_refused_one_why() {
        let text = plain(&status(&health(
            r#"{"status":"ok","target":"https://h","sessions":0,"uptime_ms":1,"keys":[
                {"id":0,"key":"a...","label":"work","pool":"zai","requests":0,"errors":0,"cache_hits":0,
                 "status":"throttled","in_flight":2,"retry_in_ms":1200},
                {"id":1,"key":"b...","requests":0,"errors":0,"cache_hits":0,
                 "status":"throttled","retry_in_ms":9000000,"refused_for_ms":9000000}]}"#,
        )));
        assert!(text.contains("Key #0 work zai (a...)"), "{text}");
        assert!(
            text.contains("In flight: 2  Status: throttled, ready in 2 s"),
            "{text}"
        );
        assert!(text.contains("tried again in 2 h 30 min"), "{text}");
    }

    #[test]
    fn a_disabled_key_says_so_and_has_no_counters() {
        let text = plain(&status(&health(
            r#"{"status":"ok","target":"https://h","sessions":0,"uptime_ms":1,"keys":[
                {"id":0,"key":"env:OLD","label":"old","requests":0,"errors":0,"cache_hits":0,"status":"disabled"}]}"#,
        )));
        assert!(
            text.ends_with("  Key #0 old (env:OLD)\n    Status: disabled"),
            "{text}"
        );
    }

    #[test]
    fn ids_that_are_split_are_named_and_many_of_them_are_counted() {
        let split = r#"{"session":"1a2b3c4d","rule":"body prompt_cache_key","reason":"40 openings within the hour","since_ms":1}"#;
        let with = |splits: &[&str]| {
            let splits = splits.join(",");
            plain(&status(&health(&format!(
                r#"{{"status":"ok","target":"https://h","sessions":0,"uptime_ms":1,"keys":[],"split_ids":[{splits}]}}"#
            ))))
        };
        let one = "Note:      1 id is shared by many conversations and split by content: \
                   body prompt_cache_key (40 openings within the hour)";
        assert!(with(&[split]).ends_with(one), "{}", with(&[split]));
        let many = with(&[split; 5]);
        assert!(many.contains("5 ids are shared"), "{many}");
        assert!(many.ends_with(", 2 more"), "{many}");
    }

    #[test]
    fn numbers_and_times_are_written_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(millis(Duration::from_millis(12)), "12 ms");
        assert_eq!(millis(Duration::from_millis(1_449)), "1.4 s");
        assert_eq!(long(Duration::from_millis(1)), "1 s");
        assert_eq!(long(Duration::from_secs(90_000)), "1 d 1 h");
        assert_eq!(
            (count(1, "key"), count(2, "key")),
            ("1 key".into(), "2 keys".into())
        );
    }
}
