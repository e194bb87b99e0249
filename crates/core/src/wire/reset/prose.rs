//! What the words of an error message say of when a limit is over.

use memchr::memmem;

use super::{EPOCH_SECONDS, credible, date, of_number, span};
use crate::moment::Moment;
use span::Number;

/// Words after which a time is when the limit is over: `try again in 11.054s`,
/// `will reset at 2026-09-12 00:35:41`, `regain access on 2026-10-01 at 00:00 UTC`.
const CUES: &[&str] = &[
    "again",
    "retry",
    "reset",
    "resets",
    "access",
    "available",
    "wait",
    "renews",
    "refreshes",
    "restored",
];
/// The same in Chinese: `将在 2026-08-25 07:41:44 重置`, `请在 30 秒后重试`.
const CHINESE_CUES: &[&str] = &["将在", "将于", "请在", "请于", "等待", "重置时间"];
/// Words that say so if none of the others did: `after 39s`, `until 2026-10-01`.
const FAINT_CUES: &[&str] = &["after", "until"];
/// Before a faint cue: what lasted so long is over already.
const PAST: &[&str] = &["out", "timeout", "failed", "aborted"];
/// What may stand between a cue and its time …
const FILLERS: &[&str] = &[
    "in",
    "after",
    "at",
    "on",
    "by",
    "for",
    "until",
    "from",
    "is",
    "be",
    "will",
    "time",
    "about",
    "around",
    "approximately",
    "approx",
    "another",
    "least",
    "up",
    "to",
    "the",
    "your",
    "request",
    "again",
];
/// … and how many of them.
const MAX_FILLERS: usize = 5;
/// The zone of times without one in a Chinese sentence, if the provider's is not known.
const CHINA: i8 = 8;

/// The latest time that the message names: of several limits all must be over.
pub(super) fn find(message: &str, zone: i8, now: Moment) -> Option<Moment> {
    // The same length, so that what is found there is here too.
    let lower = message.to_ascii_lowercase();
    let chinese_zone = if zone == 0 { CHINA } else { zone };
    let strong = latest(message, &lower, CUES, zone, now);
    let chinese = latest(message, &lower, CHINESE_CUES, chinese_zone, now);
    strong
        .max(chinese)
        .or_else(|| latest(message, &lower, FAINT_CUES, zone, now))
}

fn latest(message: &str, lower: &str, cues: &[&str], zone: i8, now: Moment) -> Option<Moment> {
    let times = cues.iter().flat_map(|cue| {
        memmem::find_iter(lower.as_bytes(), *cue).filter_map(move |at| {
            let before = lower.get(..at)?;
            let is_past = FAINT_CUES.contains(cue)
                && PAST.iter().any(|word| before.trim_end().ends_with(word));
            if before.ends_with(|last: char| last.is_ascii_alphanumeric()) || is_past {
                return None;
            }
            credible(beginning(message.get(at + cue.len()..)?, zone, now)?, now)
        })
    });
    times.max()
}

/// The time that follows a cue.
fn beginning(text: &str, zone: i8, now: Moment) -> Option<Moment> {
    if text.starts_with(|next: char| next.is_ascii_alphanumeric()) {
        return None;
    }
    let mut rest = text;
    let mut introduced = false;
    for _ in 0..=MAX_FILLERS {
        let after = rest.trim_start_matches(is_separator);
        let skipped = rest.get(..rest.len() - after.len())?;
        if skipped.ends_with('-') && after.starts_with(|next: char| next.is_ascii_digit()) {
            return None;
        }
        introduced |= skipped.contains([':', '=']);
        rest = after;
        let (word, after) = word(rest);
        if !FILLERS
            .iter()
            .any(|filler| filler.eq_ignore_ascii_case(word))
        {
            break;
        }
        (rest, introduced) = (after, true);
    }
    if let Some((moment, _)) = date::leading(rest, zone) {
        return Some(moment);
    }
    if let Some((span, _)) = span::leading(rest) {
        return Some(now.after(span));
    }
    let (article, after) = word(rest);
    if ["a", "an", "one"]
        .iter()
        .any(|one| one.eq_ignore_ascii_case(article))
    {
        return Some(now.after(span::one(after.trim_start())?));
    }
    let (number, after) = Number::leading(rest)?;
    let is_epoch = number >= EPOCH_SECONDS && !after.starts_with(char::is_alphanumeric);
    if is_epoch || introduced && ends_sentence(after) {
        of_number(number, now)
    } else {
        None
    }
}

fn is_separator(next: char) -> bool {
    next.is_whitespace() || ":：=~≈\"'`(,_-".contains(next)
}

fn word(text: &str) -> (&str, &str) {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    text.split_at(letters)
}

/// Whether a bare number that this follows counts nothing but time: not `3 attempts`, not `3:00 PM`.
fn ends_sentence(rest: &str) -> bool {
    let after = rest.trim_start_matches(['.', ',', ';', ')', '"', '\'', '}', '!']);
    after.is_empty()
        || (after.len() < rest.len() && !after.starts_with(|next: char| next.is_ascii_digit()))
}
