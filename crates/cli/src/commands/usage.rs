//! `api-key-lb usage`: what was used, by day, key and model; `--prune` removes what is old.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use api_key_lb_control::prices::{Cost, Prices};
use api_key_lb_control::runtime_file;
use api_key_lb_control::store::{
    self, By, Counts, HOURS_OF_A_DAY, Line, Report, StoreError, Worth,
};
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::Moment;
use api_key_lb_core::fact::SessionId;
use serde_json::{Value, json};

use crate::args::{ByChoice, UsageArgs};
use crate::exit::Exit;
use crate::printer::{self, Printer};
use crate::render;

/// What an empty model or key is called.
const NONE: &str = "(none)";
/// The columns of numbers.
const NUMBERS: [&str; 10] = [
    "Requests",
    "Errors",
    "Throttled",
    "Prompt",
    "Cached",
    "Written",
    "Output",
    "Waited",
    "Cost",
    "Saved",
];
/// Most models without a price that are named.
const MOST_NAMED: usize = 5;

/// Runs the command.
pub(super) fn run(args: &UsageArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let env = Environment::of_process();
    let port = Config::contact_lenient(&args.place.flags(), &env).port;
    let Some(dir) = runtime_file::state_dir(&env) else {
        printer.error("there is no home directory ($HOME), and so no store; set it");
        return Ok(Exit::Failure);
    };
    let path = store::path(&dir, port);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = Moment::default().after(now.unwrap_or_default());
    let done = if args.prune {
        let (before, sessions) = match bounds(args, &env, now, printer) {
            Ok(bounds) => bounds,
            Err(exit) => return Ok(exit),
        };
        store::prune(&path, before, sessions).map(|pruned| {
            format!(
                "Removed {} of usage and {}; {} is now {} (was {})",
                render::count(pruned.hours, "row"),
                render::count(pruned.sessions, "session"),
                path.display(),
                render::bytes(pruned.bytes.1),
                render::bytes(pruned.bytes.0),
            )
        })
    } else {
        let since = match args.since.as_deref().map(|text| since(text, now)) {
            Some(None) => {
                printer.error(
                    "`--since` must be a time such as 7d or 12h, or a date such as 2026-07-01",
                );
                return Ok(Exit::Usage);
            }
            Some(since) => since,
            None => None,
        };
        let by: Vec<By> = args.by.iter().map(|by| by.of_store()).collect();
        if args.by.contains(&ByChoice::Session) && args.by.iter().any(|by| by.is_time()) {
            printer.error(
                "sessions are counted over all their time, not by day or hour; use `--by session`, with \
                 `--since` those that were used since",
            );
            return Ok(Exit::Usage);
        }
        let prices = Config::prices_lenient(&args.place.flags(), &env).unwrap_or_else(|error| {
            printer.warn(format!("{error}; the shipped prices are used"));
            Prices::default()
        });
        store::report(&path, &by, since, &prices).map(|report| {
            if args.json {
                let value = for_programs(&report, &path.display().to_string(), &prices);
                format!("{value:#}")
            } else {
                table(&report)
            }
        })
    };
    match done {
        Ok(text) => {
            printer.answer(text)?;
            Ok(Exit::Success)
        }
        Err(StoreError::Missing(path)) => {
            printer.error(format!(
                "nothing is known of port {port}: there is no store `{}`; a proxy writes one while \
                 it runs on that port, unless `--no-store` or \"store\": false keeps it from that. \
                 Name another port with `--port`",
                path.display()
            ));
            Ok(Exit::Failure)
        }
        Err(error) => {
            printer.error(error);
            Ok(Exit::Failure)
        }
    }
}

/// The first hour and the first use of a session that stay.
fn bounds(
    args: &UsageArgs,
    env: &Environment,
    now: Moment,
    printer: &Printer,
) -> Result<(i64, i64), Exit> {
    let before = match args.before.as_deref().map(store::first_hour) {
        Some(None) => {
            printer.error("`--before` must be a date such as 2026-07-01");
            return Err(Exit::Usage);
        }
        Some(before) => before,
        None => None,
    };
    let retention = Config::retention(&args.place.flags(), env).map_err(|error| {
        printer.error(error);
        Exit::Failure
    })?;
    let before = before.unwrap_or_else(|| retention.first_hour(now));
    Ok((before, retention.first_use(now)))
}

/// The hour that is meant by `7d`, `12h` or a date.
fn since(text: &str, now: Moment) -> Option<i64> {
    let text = text.trim();
    let ago = |unit: char, hours: i64| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
        let hours = number.checked_mul(hours).filter(|hours| *hours >= 0)?;
        Some(store::hour(now) - hours)
    };
    ago('d', HOURS_OF_A_DAY)
        .or_else(|| ago('h', 1))
        .or_else(|| store::first_hour(text))
}

impl ByChoice {
    const fn of_store(self) -> By {
        match self {
            Self::Hour => By::Hour,
            Self::Day => By::Day,
            Self::Key => By::Key,
            Self::Model => By::Model,
            Self::Session => By::Session,
        }
    }

    const fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day)
    }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { NONE } else { text }.to_owned()
}

fn numbers(counts: &Counts, worth: &Worth) -> [String; NUMBERS.len()] {
    let percent = counts.cached.saturating_mul(100);
    let percent = percent.checked_div(counts.prompt);
    let percent = percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
    [
        render::grouped(counts.requests),
        render::grouped(counts.errors),
        render::grouped(counts.throttles),
        render::grouped(counts.prompt),
        percent,
        render::grouped(counts.written),
        render::grouped(counts.output),
        render::millis(std::time::Duration::from_millis(counts.waited_ms)),
        money(worth, |cost| cost.cost_usd),
        money(worth, Cost::saved_usd),
    ]
}

/// `$1.23`; with `+ ?` if some of it has no price, and `?` if nothing has.
fn money(worth: &Worth, of: impl Fn(&Cost) -> f64) -> String {
    let Some(cost) = &worth.cost else {
        return if worth.unpriced > 0 { "?" } else { "-" }.to_owned();
    };
    let more = if worth.unpriced > 0 { " + ?" } else { "" };
    format!("{}{more}", dollars(of(cost)))
}

/// `$12.34`, `$0.0012`, `-$0.50`.
fn dollars(amount: f64) -> String {
    let sign = if amount < 0.0 { "-" } else { "" };
    let amount = amount.abs();
    if amount >= 1000.0 {
        // Cents are no matter there.
        format!("{sign}${}", render::grouped(amount.round() as u64))
    } else if amount >= 1.0 || amount == 0.0 {
        format!("{sign}${amount:.2}")
    } else {
        format!("{sign}${amount:.4}")
    }
}

/// What the costs are, and what is missing in them.
fn remark(report: &Report) -> Option<String> {
    if report.worth.cost.is_none() && report.worth.unpriced == 0 {
        return None;
    }
    let mut text = format!(
        "Cost and what the cache saved are estimates at list prices ({}).",
        Prices::as_of()
    );
    if !report.unpriced.is_empty() {
        let mut names: Vec<String> = report
            .unpriced
            .iter()
            .take(MOST_NAMED)
            .map(|it| or_none(it))
            .collect();
        let more = report.unpriced.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        let _ = write!(
            text,
            "\n?: no price is known for {}, which is missing in the sums; `prices` in the configuration \
             can say it.",
            names.join(", ")
        );
    }
    Some(text)
}

fn names(line: &Line) -> Vec<String> {
    let key = line.key.as_ref().map(|(name, _)| or_none(name));
    let model = line.model.as_deref().map(or_none);
    let session = line.session.map(SessionId::short);
    let used = line.used.map(store::minute);
    [line.when.clone(), session, used, key, model]
        .into_iter()
        .flatten()
        .collect()
}

/// For people: a line each, and the total.
fn table(report: &Report) -> String {
    let Some(first) = report.lines.first() else {
        return match &report.since {
            Some(day) => {
                format!("Nothing was used in that time. What is known begins on {day} (UTC).")
            }
            None => "Nothing was used yet.".to_owned(),
        };
    };
    let columns = [
        first.when.as_ref().map(|_| "When (UTC)"),
        first.session.map(|_| "Session"),
        first.used.map(|_| "Last used (UTC)"),
        first.key.as_ref().map(|_| "Key"),
        first.model.as_ref().map(|_| "Model"),
    ];
    let columns: Vec<&str> = columns.into_iter().flatten().collect();
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(ToString::to_string).collect()];
    if let Some(head) = rows.first_mut() {
        head.extend(NUMBERS.map(str::to_owned));
    }
    for line in &report.lines {
        let mut row = names(line);
        row.extend(numbers(&line.counts, &line.worth));
        rows.push(row);
    }
    let mut total: Vec<String> = columns.iter().map(|_| String::new()).collect();
    if let Some(first) = total.first_mut() {
        "Total".clone_into(first);
    }
    total.extend(numbers(&report.total, &report.worth));
    rows.push(total);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len() + NUMBERS.len()).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut written = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if at == 0 { "" } else { "  " };
            // Writing to a String cannot fail.
            let _ = if at < columns.len() {
                write!(written, "{gap}{cell:<width$}")
            } else {
                write!(written, "{gap}{cell:>width$}")
            };
        }
        let written = written.trim_end();
        let is_strong = number == 0 || number + 1 == rows.len();
        let _ = if is_strong {
            writeln!(text, "{}", printer::strong(written))
        } else {
            writeln!(text, "{written}")
        };
    }
    if let Some(remark) = remark(report) {
        let _ = write!(text, "\n{}", printer::faint(remark));
    }
    text.trim_end().to_owned()
}

fn for_programs(report: &Report, path: &str, prices: &Prices) -> Value {
    let lines = report.lines.iter().map(|line| {
        let mut value = counted(&line.counts, &line.worth);
        if let Some(session) = line.session {
            value["session"] = session.short().into();
            value["session_full"] = session.full().into();
        }
        if let Some(used) = line.used {
            value["last_used"] = used.unix_millis().into();
        }
        if let Some(when) = &line.when {
            value["when"] = when.clone().into();
        }
        if let Some((name, id)) = &line.key {
            value["key"] = name.clone().into();
            value["fingerprint"] = id.clone().into();
        }
        if let Some(model) = &line.model {
            value["model"] = model.clone().into();
        }
        value
    });
    json!({
        "store": path,
        "time_zone": "UTC",
        "known_since": report.since,
        "rows": lines.collect::<Vec<Value>>(),
        "total": counted(&report.total, &report.worth),
        "prices": {"currency": "USD", "as_of": Prices::as_of(), "own": prices.own()},
        "unpriced_models": report.unpriced,
    })
}

fn counted(counts: &Counts, worth: &Worth) -> Value {
    json!({
        "requests": counts.requests,
        "errors": counts.errors,
        "throttles": counts.throttles,
        "prompt": counts.prompt,
        "cached": counts.cached,
        "written": counts.written,
        "output": counts.output,
        "waited_ms": counts.waited_ms,
        "cost_usd": worth.cost.map(|cost| cost.cost_usd),
        "saved_usd": worth.cost.map(|cost| cost.saved_usd()),
        "unpriced_tokens": worth.unpriced,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(day: &str, key: &str, model: &str) -> Line {
        Line {
            when: Some(day.into()),
            key: Some((key.into(), "0011".into())),
            model: Some(model.into()),
            worth: Worth {
                cost: (model == "m").then_some(Cost {
                    cost_usd: 0.5,
                    without_cache_usd: 2.0,
                }),
                unpriced: if model == "m" { 0 } else { 1000 },
            },
            counts: Counts {
                requests: 1234,
                prompt: 1000,
                cached: 910,
                waited_ms: 1500,
                ..Counts::default()
            },
            ..Line::default()
        }
    }

    #[test]
    fn the_table_lines_up_and_ends_with_the_total() {
        let (mut total, mut worth) = (Counts::default(), Worth::default());
        let lines = vec![line("2026-07-22", "work", "m"), line("2026-07-23", "", "")];
        for line in &lines {
            total.add(&line.counts);
            worth.add(&line.worth);
        }
        let report = Report {
            lines,
            total,
            worth,
            unpriced: [String::new()].into(),
            since: Some("2026-07-22".into()),
        };
        let text = anstream::adapter::strip_str(&table(&report)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "When (UTC)  Key     Model   Requests  Errors  Throttled  Prompt  Cached  Written  Output  Waited         Cost      Saved"
        );
        assert_eq!(
            lines[1],
            "2026-07-22  work    m          1,234       0          0   1,000    91 %        0       0   1.5 s      $0.5000      $1.50"
        );
        assert!(lines[2].starts_with("2026-07-23  (none)  (none)"), "{text}");
        assert!(lines[3].starts_with("Total"), "{text}");
        assert!(lines[3].contains("2,468"), "{text}");
        assert!(lines[2].trim_end().ends_with("?          ?"), "{text}");
        assert!(lines[3].ends_with("$0.5000 + ?  $1.50 + ?"), "{text}");
        assert!(
            lines[6].starts_with("?: no price is known for (none), "),
            "{text}"
        );
        let json = for_programs(&report, "/s.db", &Prices::default());
        assert_eq!(json["total"]["cost_usd"], 0.5);
        assert_eq!(json["rows"][1]["cost_usd"], Value::Null);
        assert_eq!(json["rows"][1]["unpriced_tokens"], 1000);
        assert_eq!(json["total"]["requests"], 2468);
        assert_eq!(json["rows"][0]["fingerprint"], "0011");
    }

    #[test]
    fn dollars_are_as_exact_as_they_need_to_be() {
        for (amount, text) in [
            (0.0, "$0.00"),
            (0.001_234, "$0.0012"),
            (12.345, "$12.35"),
            (-0.5, "-$0.5000"),
            (12_345.6, "$12,346"),
        ] {
            assert_eq!(dollars(amount), text);
        }
    }

    #[test]
    fn times_are_days_hours_or_dates() {
        let now = Moment::from_unix_millis(1_784_730_600_000);
        let hour = store::hour(now);
        assert_eq!(since("7d", now), Some(hour - 168));
        assert_eq!(since("12h", now), Some(hour - 12));
        assert_eq!(since("2026-07-22", now), Some(hour - 14));
        for wrong in ["", "7", "d", "-1d", "7w", "2026-22-07"] {
            assert_eq!(since(wrong, now), None, "{wrong}");
        }
    }
}
