//! What the numbers of a simulation mean, in a few sentences.

use std::time::Duration;

use super::text::{money, percent, unserved, wait};
use super::{Findings, PolicyChoice, Run};
use crate::render::{count, grouped, long};

/// A change of a cost or a duration below this share is none worth a word.
const WORTH_SAYING: f64 = 0.02;
/// Accounts that differ by so much more from the mean are worth a word.
const UNEVEN: f64 = 0.1;
/// Shares are written with one digit behind the point; what is smaller is the same.
const SAME: f64 = 0.0005;
/// A change of a wait below this is none worth a word, in milliseconds: nobody notices less.
const WAIT_WORTH_SAYING_MS: u64 = 100;

/// One sentence or a few.
pub(super) fn sentences(findings: &Findings) -> Vec<String> {
    let Some((first, others)) = findings.runs.split_first() else {
        return Vec::new();
    };
    let mut sentences = Vec::new();
    if first.accounts != others.last().map_or(first.accounts, |run| run.accounts) {
        sentences.push(state(first));
        let pairs = findings.runs.windows(2);
        sentences.extend(pairs.filter_map(|pair| match pair {
            [from, to] => Some(step(from, to)),
            _ => None,
        }));
        return sentences;
    }
    if let Some(sentence) = against(first, others) {
        sentences.push(sentence);
    }
    if is_limited(findings) {
        sentences.push(state(first));
        let one_more = findings.one_more.as_ref();
        sentences.extend(one_more.map(|more| step(first, more)));
    } else {
        sentences.push(
            "Without limits nothing has to wait; give some (--tpm, --rpm, --concurrency, --window, or \
             --load 90) to see throttles, and what another account would change."
                .to_owned(),
        );
    }
    sentences
}

fn is_limited(findings: &Findings) -> bool {
    let account = &findings.account;
    account.requests_per_minute.is_some()
        || account.tokens_per_minute.is_some()
        || account.concurrency.is_some()
        || !account.windows.is_empty()
}

/// The first policy against the cheapest of the others.
fn against(first: &Run, others: &[Run]) -> Option<String> {
    let other = others
        .iter()
        // Who leaves requests unanswered saves their cost.
        .min_by(|one, other| {
            let rank = |run: &Run| (unserved(&run.report), run.report.cost);
            let ((unserved, cost), (their_unserved, their_cost)) = (rank(one), rank(other));
            unserved
                .cmp(&their_unserved)
                .then(cost.total_cmp(&their_cost))
        })?;
    let (ours, theirs) = (&first.report, &other.report);
    let name = match first.policy {
        name if name == PolicyChoice::Ours.name() => "This proxy",
        name => name,
    };
    let mut text = format!(
        "{name} reads {} of the prompts from caches",
        percent(ours.cached_share)
    );
    if let Some(share) = ours.cached_of_reference {
        text.push_str(&format!(
            ", {} of what one account without limits would",
            percent(share)
        ));
    }
    let more = if ours.cost > 0.0 {
        theirs.cost / ours.cost - 1.0
    } else {
        0.0
    };
    let compared = if more > SAME {
        format!("costs {} more", percent(more))
    } else if more < -SAME {
        format!("costs {} less", percent(-more))
    } else {
        "costs the same".to_owned()
    };
    text.push_str(&format!(
        "; the best of the others, {}, reads {} and {compared}",
        other.policy,
        percent(theirs.cached_share)
    ));
    if theirs.token_balance > ours.token_balance + UNEVEN {
        text.push_str(&format!(
            ", with {:.2} times the mean on its largest account",
            theirs.token_balance
        ));
    }
    let missing = unserved(theirs).saturating_sub(unserved(ours));
    if missing > 0 {
        text.push_str(&format!(
            ", though it leaves {} more unanswered",
            requests(missing)
        ));
    }
    text.push('.');
    Some(text)
}

/// What clients notice with so many accounts.
fn state(run: &Run) -> String {
    let report = &run.report;
    let throttles = match report.throttles_seen {
        0 => "no 429 reaches a client".to_owned(),
        1 => "one 429 reaches a client".to_owned(),
        seen => format!("{} answers with 429 reach clients", grouped(seen)),
    };
    let waits = match report.wait.p99_ms {
        0 => "99 of 100 requests are sent at once".to_owned(),
        p99 => format!("one request in a hundred waits {} or longer", wait(p99)),
    };
    let accounts = count(run.accounts, "account");
    match unserved(report) {
        0 => format!("With {accounts} {throttles}, and {waits}."),
        unserved => format!(
            "With {accounts} {throttles}, {waits}, and {} never answered.",
            are(unserved)
        ),
    }
}

/// What more accounts change.
fn step(from: &Run, to: &Run) -> String {
    let (before, after) = (&from.report, &to.report);
    let who = match to.accounts - from.accounts {
        1 => format!("A {} account", ordinal(to.accounts)),
        _ => format!("Going from {} to {} accounts", from.accounts, to.accounts),
    };
    let mut changes = Vec::new();
    let (was, is) = (unserved(before), unserved(after));
    // Who answers more has more to do, so time and cost say nothing then.
    let is_comparable = was == is;
    if was != is {
        let (was, is) = (grouped(was), grouped(is));
        changes.push(format!("unanswered requests from {was} to {is}"));
    }
    let (was, is) = (before.throttles_seen, after.throttles_seen);
    if was != is {
        let (was, is) = (grouped(was), grouped(is));
        changes.push(format!("429s at clients from {was} to {is}"));
    }
    let (was, is) = (before.wait.p99_ms, after.wait.p99_ms);
    if was.abs_diff(is) >= WAIT_WORTH_SAYING_MS && differ(was as f64, is as f64) {
        let (was, is) = (wait(was), wait(is));
        changes.push(format!(
            "the wait of the slowest hundredth from {was} to {is}"
        ));
    }
    let (was, is) = (before.ended_ms, after.ended_ms);
    if is_comparable && differ(was as f64, is as f64) {
        let span = |ms| long(Duration::from_millis(ms));
        let (was, is) = (span(was), span(is));
        changes.push(format!("the whole from {was} to {is}"));
    }
    let (was, is) = (before.cost, after.cost);
    if is_comparable && differ(was, is) {
        changes.push(format!("the cost from {} to {}", money(was), money(is)));
    }
    if changes.is_empty() {
        format!("{who} would change nothing worth a word.")
    } else {
        format!("{who} would bring {}.", changes.join(", "))
    }
}

fn differ(one: f64, other: f64) -> bool {
    (one - other).abs() > one.abs().max(other.abs()) * WORTH_SAYING
}

fn requests(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "request")
}

fn are(number: u64) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", requests(number))
}

/// `second`, `third`, `11th`, `21st`.
fn ordinal(number: usize) -> String {
    match (number, number % 10, number % 100) {
        (2, ..) => "second".to_owned(),
        (3, ..) => "third".to_owned(),
        (4, ..) => "fourth".to_owned(),
        (5, ..) => "fifth".to_owned(),
        (_, _, 11..=13) | (_, 0 | 4..=9, _) => format!("{number}th"),
        (_, 1, _) => format!("{number}st"),
        (_, 2, _) => format!("{number}nd"),
        _ => format!("{number}rd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_english() {
        let all = [2, 3, 5, 6, 11, 12, 21, 22, 23, 112].map(ordinal);
        assert_eq!(
            all,
            [
                "second", "third", "fifth", "6th", "11th", "12th", "21st", "22nd", "23rd", "112th"
            ]
        );
    }
}
