//! What `check` found out, in words for people.

use std::time::Duration;

use api_key_lb_core::wire::probe::Standing;

use super::{Checked, DISABLED, KeyReport, LeftReport, Report, Warning};
use crate::printer;
use crate::render::{grouped, long, millis};

/// Longest cell of what is left, in characters: the rest is in the output for programs.
const MOST_LEFT: usize = 60;
const DAY_MS: u64 = 86_400_000;
const HEADINGS: [&str; COLUMNS] = ["key", "provider", "state", "account", "left", "ms"];
const COLUMNS: usize = 6;
/// The column whose cells are coloured.
const STATE: usize = 2;
/// Between two columns.
const GAP: &str = "  ";

/// A table of all keys; `now` is in milliseconds since the epoch.
pub(crate) fn table(report: &Report, now: u64) -> String {
    let mut rows: Vec<[String; COLUMNS]> = vec![HEADINGS.map(str::to_owned)];
    rows.extend(report.keys.iter().map(|key| {
        [
            key.label.clone(),
            key.provider.to_owned(),
            state(key, now),
            account(key),
            left(key, now),
            key.took_ms.to_string(),
        ]
    }));
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
            let fill = " ".repeat(widths[column] - cell.chars().count());
            let cell = match number.checked_sub(1).and_then(|at| report.keys.get(at)) {
                None => printer::faint(cell),
                Some(key) if column == STATE => coloured(cell, key.standing),
                Some(_) => cell.clone(),
            };
            if column > 0 {
                line.push_str(GAP);
            }
            // Numbers stand at the right.
            if column == COLUMNS - 1 {
                line.push_str(&fill);
                line.push_str(&cell);
            } else {
                line.push_str(&cell);
                line.push_str(&fill);
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// One line about a key that was just finished.
pub(crate) fn progress(checked: &Checked<'_>, now: u64) -> String {
    let key = KeyReport::of(checked);
    let state = state(&key, now);
    format!(
        "{} {} ({})",
        key.label,
        coloured(&state, key.standing),
        millis(checked.took)
    )
}

/// What to do about the keys that do not serve now. A host that answers nobody is said once.
pub(super) fn warnings(keys: &[KeyReport], now: u64) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    let mut said: Vec<&KeyReport> = Vec::new();
    for key in keys {
        let is_of_host = matches!(
            key.standing,
            Some(Standing::ProviderFails | Standing::Unclear | Standing::Unreachable)
        );
        let same = |other: &&KeyReport| {
            other.standing == key.standing
                && other.target == key.target
                && other.reason == key.reason
        };
        if is_of_host && said.iter().any(same) {
            continue;
        }
        said.push(key);
        let labels = match is_of_host {
            true => keys
                .iter()
                .filter(same)
                .map(|key| key.label.clone())
                .collect(),
            false => vec![key.label.clone()],
        };
        warnings.extend(warning(key, labels, now));
    }
    warnings
}

/// What to do about a key; `keys` are all that the same is said of.
fn warning(key: &KeyReport, keys: Vec<String>, now: u64) -> Option<Warning> {
    let standing = key.standing?;
    let reason = key.reason.as_deref().unwrap_or("no reason was given");
    let label = listed(&keys);
    let text = match standing {
        Standing::Valid => return None,
        Standing::Refused => format!(
            "{label} is refused by {}: {reason}; replace the key, or remove it from the configuration",
            key.target
        ),
        Standing::NoCredit => format!(
            "{label} has no credit: {reason}; top up its account, or remove it from the configuration"
        ),
        Standing::UsedUp => format!(
            "the quota of {label} is used up{}: {reason}; until then the other keys serve",
            until(key.until_ms, now).unwrap_or_default()
        ),
        Standing::Throttled => format!(
            "{label} is throttled{}: {reason}; meanwhile the other keys serve",
            until(key.until_ms, now).unwrap_or_default()
        ),
        Standing::ProviderFails => format!(
            "{} has trouble of its own, so nothing is known of {label}: {reason}; try again later",
            key.target
        ),
        Standing::Unclear => {
            format!("{} tells nothing about {label}: {reason}", key.target)
        }
        Standing::Unreachable => format!(
            "{} cannot be reached with {label}: {reason}; is `target` right, and the network up?",
            key.target
        ),
    };
    Some(Warning {
        code: standing.as_str(),
        keys,
        text,
    })
}

/// `a, b and c`
pub(super) fn listed(labels: &[String]) -> String {
    match labels {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

fn state(key: &KeyReport, now: u64) -> String {
    let words = match key.standing {
        Some(Standing::Valid) => "valid",
        Some(Standing::Refused) => "refused",
        Some(Standing::NoCredit) => "no credit",
        Some(Standing::UsedUp) => "used up",
        Some(Standing::Throttled) => "throttled",
        Some(Standing::ProviderFails) => "provider fails",
        Some(Standing::Unreachable) => "unreachable",
        None if key.state == DISABLED => DISABLED,
        Some(Standing::Unclear) | None => "unclear",
    };
    format!("{words}{}", until(key.until_ms, now).unwrap_or_default())
}

fn coloured(words: &str, standing: Option<Standing>) -> String {
    match standing {
        Some(Standing::Valid) => printer::good(words),
        None if words == DISABLED => printer::faint(words),
        _ => printer::striking(words),
    }
}

/// ` until 14:05 UTC`; of a time further away than a day, for how long.
fn until(moment: Option<u64>, now: u64) -> Option<String> {
    let moment = moment?;
    let span = moment.checked_sub(now)?;
    Some(if span < DAY_MS {
        format!(" until {}", clock(moment))
    } else {
        format!(" for {}", long(Duration::from_millis(span)))
    })
}

/// `14:05 UTC`, rounded up to the minute.
fn clock(moment: u64) -> String {
    let minutes = moment.div_ceil(60_000) % (24 * 60);
    format!("{:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// The first owner, and the plan.
fn account(key: &KeyReport) -> String {
    let owner = key.owners.first().map(|owner| owner.id.clone());
    match (owner, &key.plan) {
        (None, None) => "-".to_owned(),
        (Some(owner), None) => owner,
        (None, Some(plan)) => plan.clone(),
        (Some(owner), Some(plan)) => format!("{owner} ({plan})"),
    }
}

fn left(key: &KeyReport, now: u64) -> String {
    let cells: Vec<String> = key.left.iter().map(|left| one(left, now)).collect();
    let text = cells.join(", ");
    if text.is_empty() {
        "-".to_owned()
    } else if text.chars().count() > MOST_LEFT {
        let kept: String = text.chars().take(MOST_LEFT - 1).collect();
        format!("{kept}…")
    } else {
        text
    }
}

fn one(left: &LeftReport, now: u64) -> String {
    match left {
        LeftReport::Limit {
            name,
            remaining,
            limit,
            ..
        } => match limit {
            Some(limit) => format!("{name} {} of {}", grouped(*remaining), grouped(*limit)),
            None => format!("{name} {}", grouped(*remaining)),
        },
        LeftReport::Window {
            name,
            percent_left,
            reset_ms,
        } => format!(
            "{name} {percent_left:.0} %{}",
            until(*reset_ms, now).unwrap_or_default()
        ),
        LeftReport::Money {
            amount,
            currency,
            of,
            renewed,
            ..
        } => {
            let mut text = amount.clone();
            if let Some(of) = of {
                text = format!("{text} of {of}");
            }
            for more in [currency, renewed].into_iter().flatten() {
                text = format!("{text} {more}");
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::OwnerReport;

    /// 2026-07-28 00:00 UTC.
    const NOW: u64 = 1_785_196_800_000;
    const MINUTE: u64 = 60_000;

    fn key(label: &str, standing: Standing) -> KeyReport {
        KeyReport {
            label: label.into(),
            pool: String::new(),
            target: "https://api.z.ai".into(),
            provider: "zai",
            state: standing.as_str(),
            usable: standing.is_usable(),
            until_ms: None,
            reason: None,
            owners: Vec::new(),
            plan: None,
            left: Vec::new(),
            took_ms: 12,
            standing: Some(standing),
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_table_has_a_line_for_each_key_and_its_columns_are_straight() {
        let work = KeyReport {
            owners: vec![OwnerReport {
                kind: "organization",
                id: "org-1".into(),
            }],
            plan: Some("Pro".into()),
            left: vec![
                LeftReport::Window {
                    name: "5 h".into(),
                    percent_left: 75.0,
                    reset_ms: Some(NOW + 185 * MINUTE),
                },
                LeftReport::Money {
                    name: "credit",
                    amount: "97.5".into(),
                    currency: Some("USD".into()),
                    of: Some("100".into()),
                    renewed: Some("monthly".into()),
                },
            ],
            took_ms: 1_234,
            ..key("work", Standing::Valid)
        };
        let throttled = KeyReport {
            until_ms: Some(NOW + 845 * MINUTE),
            left: vec![LeftReport::Limit {
                name: "tokens",
                remaining: 0,
                limit: Some(30_000),
                reset_ms: None,
            }],
            ..key("key-2", Standing::Throttled)
        };
        let report = Report {
            usable: true,
            keys: vec![work, throttled],
            warnings: Vec::new(),
        };
        let expected = [
            "key    provider  state                      account      left                                                 ms",
            "work   zai       valid                      org-1 (Pro)  5 h 75 % until 03:05 UTC, 97.5 of 100 USD monthly  1234",
            "key-2  zai       throttled until 14:05 UTC  -            tokens 0 of 30,000                                   12",
        ];
        assert_eq!(plain(&table(&report, NOW)), expected.join("\n"));
    }

    #[test]
    fn a_time_further_away_than_a_day_is_a_span() {
        assert_eq!(
            until(Some(NOW + MINUTE), NOW).as_deref(),
            Some(" until 00:01 UTC")
        );
        assert_eq!(
            until(Some(NOW + 50 * 60 * MINUTE), NOW).as_deref(),
            Some(" for 2 d 2 h")
        );
        assert_eq!(until(Some(NOW - 1), NOW), None, "over");
        assert_eq!(until(None, NOW), None);
    }

    #[test]
    fn every_state_but_valid_says_whose_it_is_why_and_what_to_do() {
        for standing in [
            Standing::Refused,
            Standing::NoCredit,
            Standing::UsedUp,
            Standing::Throttled,
            Standing::ProviderFails,
            Standing::Unclear,
            Standing::Unreachable,
        ] {
            let key = KeyReport {
                reason: Some("because".into()),
                ..key("work", standing)
            };
            let state = key.state;
            let warning = warnings(&[key], NOW).remove(0);
            assert_eq!(
                (warning.code, warning.keys),
                (state, vec!["work".to_owned()])
            );
            assert!(
                warning.text.contains("work") && warning.text.contains("because"),
                "{}",
                warning.text
            );
        }
        assert_eq!(warnings(&[key("work", Standing::Valid)], NOW), []);
    }

    #[test]
    fn a_host_that_answers_nobody_is_said_once_and_each_refused_key_by_itself() {
        let keys = |standing| ["a", "b", "c"].map(|label| key(label, standing));
        let unreachable = warnings(&keys(Standing::Unreachable), NOW);
        assert_eq!(unreachable.len(), 1);
        assert!(
            unreachable[0].text.contains("with a, b and c:"),
            "{unreachable:?}"
        );
        assert_eq!(warnings(&keys(Standing::Refused), NOW).len(), 3);
    }
}
