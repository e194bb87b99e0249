//! What a simulation came to, for people: what was simulated, a table, bars, and what it means.

use std::fmt::Write as _;
use std::time::Duration;

use api_key_lb_sim::provider::AccountSpec;
use api_key_lb_sim::report::Report;

use super::chart::{Group, Marks, chart};
use super::{Findings, Kind, Run};
use crate::printer;
use crate::render::{count, grouped, long, millis};

const COLUMNS: usize = 12;
const HEADINGS: [[&str; COLUMNS]; 2] = [
    [
        "", "from", "of one", "429s", "429s at", "un-", "wait", "wait", "wait", "largest",
        "tokens", "",
    ],
    [
        "", "cache", "account", "met", "clients", "served", "p50", "p99", "max", "account",
        "re-read", "cost",
    ],
];
/// Longest line of a sentence, in characters; the table is about as wide.
const WIDTH: usize = 100;
/// Between two columns.
const GAP: &str = "  ";

/// Everything.
pub(crate) fn text(findings: &Findings, marks: Marks) -> String {
    let mut text = format!("{}\n\n", printer::strong("api-key-lb simulate"));
    for line in heading(findings) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {line}");
    }
    let _ = write!(text, "\n{}\n\n{}\n", table(findings), bars(findings, marks));
    for sentence in &findings.meaning {
        let _ = write!(text, "\n{}", wrapped(sentence));
    }
    text
}

/// What was simulated.
fn heading(findings: &Findings) -> Vec<String> {
    let requests = &findings.requests;
    let file = requests.file.as_deref().unwrap_or_default();
    let from = match requests.from {
        Kind::Builtin => "Mooncake's conversation trace".to_owned(),
        Kind::Agents => format!("coding agents, seed {}", findings.settings.seed),
        Kind::Trace => file.to_owned(),
        Kind::Log => format!("log {file}"),
    };
    let mut lines = vec![format!(
        "Requests:  {} within {} ({from}): {} tokens of prompts, {} of answers",
        grouped(requests.count as u64),
        long(Duration::from_millis(requests.span_ms)),
        short(requests.prompt_tokens),
        short(requests.output_tokens),
    )];
    if let Some(log) = &requests.log {
        lines.push(format!("Log:       {}", log.text()));
    }
    let mut counts: Vec<usize> = findings.runs.iter().map(|run| run.accounts).collect();
    counts.dedup();
    let accounts = match counts.as_slice() {
        [one] => count(*one, "account"),
        several => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("{} accounts", several.join(", "))
        }
    };
    let settings = &findings.settings;
    let span = |ms| exact(Duration::from_millis(ms));
    lines.push(format!(
        "Accounts:  {accounts}, each with {}; caches last {}",
        limits(&findings.account),
        span(settings.cache_ttl_ms)
    ));
    let prices = settings.prices;
    lines.push(format!(
        "Prices:    ${} for a million tokens read anew, ${} from the cache, ${} generated",
        prices.input, prices.cached, prices.output
    ));
    lines
}

/// What an account may use.
fn limits(account: &AccountSpec) -> String {
    let mut limits = Vec::new();
    if let Some(requests) = account.requests_per_minute {
        limits.push(format!("{} requests a minute", grouped(requests)));
    }
    if let Some(tokens) = account.tokens_per_minute {
        limits.push(format!("{} tokens a minute", grouped(tokens)));
    }
    if let Some(running) = account.concurrency {
        limits.push(format!("{running} at once"));
    }
    for window in &account.windows {
        let length = exact(Duration::from_millis(window.length_ms));
        limits.push(format!("{} tokens in {length}", grouped(window.tokens)));
    }
    match limits.as_slice() {
        [] => "no limits".to_owned(),
        limits if account.cached_tokens_are_free => {
            format!("{} (cached tokens do not count)", limits.join(", "))
        }
        limits => limits.join(", "),
    }
}

/// A row for each run, and one for what nobody can surpass.
fn table(findings: &Findings) -> String {
    let mut rows: Vec<[String; COLUMNS]> =
        HEADINGS.iter().map(|row| row.map(str::to_owned)).collect();
    let headings = rows.len();
    for run in &findings.runs {
        rows.push(row(label(findings, run), &run.report));
    }
    rows.push(row("no limits".to_owned(), &findings.without_limits));
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let last = rows.len() - 1;
    let lines = rows.iter().enumerate().map(|(number, row)| {
        let mut line = String::from("  ");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names stand at the left, numbers at the right.
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "{GAP}{cell:>width$}"),
            };
        }
        let line = line.trim_end();
        if number < headings || number == last {
            printer::faint(line)
        } else if number == headings {
            printer::strong(line)
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn label(findings: &Findings, run: &Run) -> String {
    let same = |other: &Run| other.accounts == run.accounts;
    if findings.runs.len() == 1 || findings.runs.iter().all(same) {
        run.policy.to_owned()
    } else {
        count(run.accounts, "account")
    }
}

fn row(label: String, report: &Report) -> [String; COLUMNS] {
    [
        label,
        percent(report.cached_share),
        report
            .cached_of_reference
            .map_or_else(|| "-".to_owned(), percent),
        grouped(report.throttles),
        grouped(report.throttles_seen),
        grouped(unserved(report)),
        wait(report.wait.p50_ms),
        wait(report.wait.p99_ms),
        wait(report.wait.max_ms),
        format!("{:.2}x", report.token_balance),
        report.reread_tokens.map_or_else(|| "-".to_owned(), short),
        money(report.cost),
    ]
}

fn bars(findings: &Findings, marks: Marks) -> String {
    let group = |title: &str, of: &dyn Fn(&Report) -> (f64, String)| Group {
        title: title.to_owned(),
        bars: findings
            .runs
            .iter()
            .map(|run| {
                let (value, written) = of(&run.report);
                (label(findings, run), value, written)
            })
            .collect(),
    };
    chart(
        &[
            group("Prompt tokens from the cache (more is better)", &|report| {
                (report.cached_share, percent(report.cached_share))
            }),
            group("429s met (less is better)", &|report| {
                (report.throttles as f64, grouped(report.throttles))
            }),
            group("Wait of the slowest hundredth", &|report| {
                (report.wait.p99_ms as f64, wait(report.wait.p99_ms))
            }),
            group("Tokens of the largest account to the mean", &|report| {
                (
                    report.token_balance,
                    format!("{:.2}x", report.token_balance),
                )
            }),
            group("Cost", &|report| (report.cost, money(report.cost))),
        ],
        marks,
    )
}

/// The sentence in lines that can be read.
fn wrapped(sentence: &str) -> String {
    let (mut text, mut width) = (String::new(), 0);
    for word in sentence.split(' ') {
        if width > 0 && width + 1 + word.len() > WIDTH {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text
}

/// Requests that came and got no answer.
pub(super) const fn unserved(report: &Report) -> u64 {
    report.failed + report.left
}

pub(super) fn wait(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        // Tenths of a second are no matter then.
        100_000.. => format!("{} s", grouped(ms.div_ceil(1000))),
        _ => millis(Duration::from_millis(ms)),
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

pub(super) fn money(dollars: f64) -> String {
    format!("${dollars:.2}")
}

/// `812`, `9.4k`, `76.9M`.
pub(super) fn short(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// A round time as it was asked for: `5 min`, `1.5 s`, `7 d`.
fn exact(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => millis(time),
    }
}
