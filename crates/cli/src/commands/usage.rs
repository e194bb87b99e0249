//! `api-key-lb usage`: what was used, by day, key and model; `--prune` removes what is old.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use api_key_lb_control::runtime_file;
use api_key_lb_control::store::{self, By, Counts, HOURS_OF_A_DAY, Line, Report, StoreError};
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::Moment;
use serde_json::{Value, json};

use crate::args::{ByChoice, UsageArgs};
use crate::exit::Exit;
use crate::printer::{self, Printer};
use crate::render;

/// What an empty model or key is called.
const NONE: &str = "(none)";
/// The columns of numbers.
const NUMBERS: [&str; 8] = [
    "Requests",
    "Errors",
    "Throttled",
    "Prompt",
    "Cached",
    "Written",
    "Output",
    "Waited",
];

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
        store::report(&path, &by, since).map(|report| {
            if args.json {
                format!("{:#}", for_programs(&report, &path.display().to_string()))
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
        }
    }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { NONE } else { text }.to_owned()
}

fn numbers(counts: &Counts) -> [String; NUMBERS.len()] {
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
    ]
}

fn names(line: &Line) -> Vec<String> {
    let key = line.key.as_ref().map(|(name, _)| or_none(name));
    let model = line.model.as_deref().map(or_none);
    [line.when.clone(), key, model]
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
        row.extend(numbers(&line.counts));
        rows.push(row);
    }
    let mut total: Vec<String> = columns.iter().map(|_| String::new()).collect();
    if let Some(first) = total.first_mut() {
        "Total".clone_into(first);
    }
    total.extend(numbers(&report.total));
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
    text.trim_end().to_owned()
}

fn for_programs(report: &Report, path: &str) -> Value {
    let lines = report.lines.iter().map(|line| {
        let mut value = counted(&line.counts);
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
        "total": counted(&report.total),
    })
}

fn counted(counts: &Counts) -> Value {
    json!({
        "requests": counts.requests,
        "errors": counts.errors,
        "throttles": counts.throttles,
        "prompt": counts.prompt,
        "cached": counts.cached,
        "written": counts.written,
        "output": counts.output,
        "waited_ms": counts.waited_ms,
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
            counts: Counts {
                requests: 1234,
                prompt: 1000,
                cached: 910,
                waited_ms: 1500,
                ..Counts::default()
            },
        }
    }

    #[test]
    fn the_table_lines_up_and_ends_with_the_total() {
        let mut total = Counts::default();
        let lines = vec![line("2026-07-22", "work", "m"), line("2026-07-23", "", "")];
        for line in &lines {
            total.add(&line.counts);
        }
        let report = Report {
            lines,
            total,
            since: Some("2026-07-22".into()),
        };
        let text = anstream::adapter::strip_str(&table(&report)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "When (UTC)  Key     Model   Requests  Errors  Throttled  Prompt  Cached  Written  Output  Waited"
        );
        assert_eq!(
            lines[1],
            "2026-07-22  work    m          1,234       0          0   1,000    91 %        0       0   1.5 s"
        );
        assert!(lines[2].starts_with("2026-07-23  (none)  (none)"), "{text}");
        assert!(lines[3].starts_with("Total"), "{text}");
        assert!(lines[3].contains("2,468"), "{text}");
        let json = for_programs(&report, "/s.db");
        assert_eq!(json["total"]["requests"], 2468);
        assert_eq!(json["rows"][0]["fingerprint"], "0011");
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
