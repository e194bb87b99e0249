//! Reads what is left of every limit that an answer's headers state.
//!
//! Names are read by their pattern, since providers keep inventing them: something with
//! `ratelimit`, then `limit`, `remaining` or `reset` before or after what it counts.

mod draft;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

use http::HeaderMap;

use super::reset;
use crate::headroom::{Axis, Bucket};
use crate::moment::Moment;
use crate::provider::{Provider, Quirk, Scope};
use window::Windows;

/// The shortest wait for a limit that fills up steadily: the next unit alone is rarely enough for
/// a request.
const SHORTEST_REFILL: Duration = Duration::from_secs(1);
/// A reset of this or less, and one of zero, is nothing with [`Quirk::ZerosAreNothing`].
const NOTHING: Duration = Duration::from_secs(1);
/// What Fireworks says while it serves more than was promised.
const OVER_LIMIT: &str = "x-ratelimit-over-limit";
/// How long what is counted by these words takes at most, where no reset is stated.
const PERIODS: &[(&str, Duration)] = &[
    ("second", Duration::from_secs(1)),
    ("minute", Duration::from_secs(60)),
];
/// Words about time in the names of limits on requests that do not say that they count requests.
const TIMES: &[&str] = &[
    "second", "minute", "hour", "day", "month", "1s", "1m", "1h", "1d",
];

/// Every limit that the headers state.
pub fn read(headers: &HeaderMap, provider: &Provider, now: Moment) -> Vec<Bucket> {
    let mut limits = Limits::default();
    for (name, value) in headers {
        let name = name.as_str();
        // Most headers end here, and most answers have no other.
        if let Some(family) = Family::of(name)
            && let Ok(value) = value.to_str()
        {
            limits.take(family, name, value.trim());
        }
    }
    if limits.is_empty() {
        return Vec::new();
    }
    limits.into_buckets(provider, now)
}

/// When the limit that Azure counts by itself begins anew, as far as it says.
pub(super) fn renewal(headers: &HeaderMap, now: Moment) -> Option<Moment> {
    let period = |name: &str| seconds(headers.get(name)?.to_str().ok()?);
    let requests = period("x-ratelimit-renewalperiod-requests");
    let tokens = period("x-ratelimit-renewalperiod-tokens");
    let kind = headers
        .get("x-ratelimit-type")
        .map_or(&b""[..], |kind| kind.as_bytes());
    let span = if kind.eq_ignore_ascii_case(b"tokens") {
        tokens.or(requests)
    } else if kind.eq_ignore_ascii_case(b"requests") {
        requests.or(tokens)
    } else {
        tokens.max(requests)
    };
    Some(now.after(span?))
}

/// Whose headers a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `x-ratelimit-…` and what is written like it.
    Usual,
    /// `anthropic-ratelimit-unified-…`: the windows of a subscription.
    Unified,
    /// `x-codex-…`: likewise.
    Codex,
    /// `ratelimit` and `ratelimit-policy`, as the latest drafts of the IETF want it.
    Draft,
}

impl Family {
    fn of(name: &str) -> Option<Self> {
        match name.as_bytes() {
            [b'x', b'-', b'r' | b't' | b'c', ..] => {
                if name.starts_with("x-ratelimit") || name.starts_with("x-tokenlimit") {
                    Some(Self::Usual)
                } else {
                    name.starts_with("x-codex-").then_some(Self::Codex)
                }
            }
            [b'a', b'n', ..] => {
                let rest = name.strip_prefix("anthropic-ratelimit-")?;
                Some(if rest.starts_with("unified-") {
                    Self::Unified
                } else {
                    Self::Usual
                })
            }
            [b'r', b'a', b't', b'e', ..] if name.starts_with("ratelimit") => Some(match name {
                "ratelimit" | "ratelimit-policy" => Self::Draft,
                _ => Self::Usual,
            }),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Limits<'h> {
    usual: Vec<Limit<'h>>,
    windows: Windows<'h>,
    draft: draft::Draft<'h>,
    over: bool,
}

/// What is stated of one limit.
#[derive(Debug)]
struct Limit<'h> {
    /// Its name before the word that says what is stated …
    before: &'h str,
    /// … and after it.
    after: &'h str,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<&'h str>,
    period: Option<Duration>,
}

impl<'h> Limits<'h> {
    fn take(&mut self, family: Family, name: &'h str, value: &'h str) {
        match family {
            Family::Usual if name == OVER_LIMIT => self.over = value.eq_ignore_ascii_case("yes"),
            Family::Usual => self.take_usual(name, value),
            Family::Unified => self.windows.take_unified(name, value),
            Family::Codex => self.windows.take_codex(name, value),
            Family::Draft => self.draft.take(name, value),
        }
    }

    fn take_usual(&mut self, name: &'h str, value: &'h str) {
        let Some((before, kind, after)) = parted(name) else {
            return;
        };
        let same = |limit: &Limit<'_>| limit.before == before && limit.after == after;
        let at = self.usual.iter().position(same).unwrap_or_else(|| {
            self.usual.push(Limit {
                before,
                after,
                limit: None,
                remaining: None,
                reset: None,
                period: None,
            });
            self.usual.len() - 1
        });
        let Some(limit) = self.usual.get_mut(at) else {
            return;
        };
        match kind {
            Kind::Limit => limit.limit = count(value),
            Kind::Remaining => limit.remaining = count(value),
            Kind::Reset => limit.reset = Some(value),
            Kind::Period => limit.period = seconds(value),
        }
    }

    fn is_empty(&self) -> bool {
        self.usual.is_empty() && self.windows.is_empty() && self.draft.is_empty() && !self.over
    }

    fn into_buckets(self, provider: &Provider, now: Moment) -> Vec<Bucket> {
        let whole_account = provider.scope == Scope::Account;
        let usual = self.usual.iter();
        let mut buckets: Vec<_> = usual
            .filter_map(|limit| limit.bucket(provider, now))
            .collect();
        self.windows.put(&mut buckets, now);
        self.draft.put(&mut buckets, whole_account, now);
        if self.over {
            // It was served, so this is not nothing: the least that is left of a share.
            buckets.push(Bucket {
                axis: Axis::Window,
                whole_account,
                limit: Some(Bucket::WHOLE_WINDOW),
                remaining: 1,
                reset: None,
            });
        }
        buckets
    }
}

impl Limit<'_> {
    fn bucket(&self, provider: &Provider, now: Moment) -> Option<Bucket> {
        // A limit of nothing is none: gateways write it so, and a subscription whose other
        // limits count.
        if self.limit == Some(0) {
            return None;
        }
        let axis = self.axis()?;
        let remaining = self.remaining?;
        Some(Bucket {
            axis,
            whole_account: provider.scope == Scope::Account,
            limit: self.limit,
            remaining,
            reset: if remaining == 0 {
                self.refill(axis, provider, now)
            } else {
                self.stated(provider, now)
            },
        })
    }

    /// What it counts; `None` if that is neither requests nor tokens (images, minutes of audio).
    fn axis(&self) -> Option<Axis> {
        let has = |word: &str| self.before.contains(word) || self.after.contains(word);
        if has("token") || has("bysize") {
            return Some(if has("input") || has("prompt") {
                Axis::InputTokens
            } else if has("output") || has("generated") || has("completion") {
                Axis::OutputTokens
            } else {
                Axis::Tokens
            });
        }
        let is_time = |word: &str| TIMES.contains(&word);
        let known = self.after.contains("req")
            || self.before.ends_with("requests")
            || self.after.is_empty() && self.before.ends_with("ratelimit")
            || self.after.split('-').all(is_time);
        known.then_some(Axis::Requests)
    }

    fn stated(&self, provider: &Provider, now: Moment) -> Option<Moment> {
        let text = self.reset?;
        if reset::has(provider, Quirk::ResetIsEpochMillis) {
            reset::epoch_millis(text, now)
        } else {
            reset::moment(text, provider.zone, now)
        }
    }

    /// When there is something again, now that nothing is left.
    fn refill(&self, axis: Axis, provider: &Provider, now: Moment) -> Option<Moment> {
        let stated = self.stated(provider, now);
        if reset::has(provider, Quirk::ZerosAreNothing) {
            let meant = stated.filter(|moment| moment.since(now) > NOTHING);
            return meant.or_else(|| Some(now.after(self.period?)));
        }
        // Groq counts requests by the day and states when that bucket is full, like OpenAI: in
        // its own example 30 of 14 400 are used and 2m59.56s are left, which is 6 s for each.
        let fills_steadily = reset::has(provider, Quirk::ResetIsFull)
            || reset::has(provider, Quirk::RequestsPerDay) && axis == Axis::Requests;
        if fills_steadily && let (Some(full), Some(limit)) = (stated, self.limit) {
            return Some(now.after(next_unit(full.since(now), limit)));
        }
        stated.or_else(|| {
            let named = |(word, _): &&(&str, Duration)| self.after.ends_with(word);
            let (_, longest) = PERIODS.iter().find(named)?;
            Some(now.after(*longest))
        })
    }
}

/// How long until a bucket of `limit` units that is empty now and full after `full` has one.
///
/// It fills steadily, so that waiting until it is full (a day, for requests per day) would leave
/// an account idle that serves again within seconds. Tokens need more than one unit, but how many
/// is not known here; a refusal that asks for a time of its own is believed before this.
fn next_unit(full: Duration, limit: u64) -> Duration {
    let nanos = full.as_nanos() / u128::from(limit.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(SHORTEST_REFILL)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Limit,
    Remaining,
    Reset,
    Period,
}

/// Parts a name at the word that says what is stated: `x-ratelimit` and `tokens`.
fn parted(name: &str) -> Option<(&str, Kind, &str)> {
    let mut at = 0;
    for word in name.split('-') {
        let kind = match word {
            "limit" => Some(Kind::Limit),
            "remaining" => Some(Kind::Remaining),
            "reset" => Some(Kind::Reset),
            "renewalperiod" => Some(Kind::Period),
            _ => None,
        };
        let end = at + word.len();
        if let Some(kind) = kind {
            let before = name.get(..at.saturating_sub(1))?;
            return Some((before, kind, name.get(end + 1..).unwrap_or_default()));
        }
        at = end + 1;
    }
    None
}

/// A number of requests or tokens: `20`, `12.5`, `100, 100;w=60`. What is below zero means
/// something else.
fn count(value: &str) -> Option<u64> {
    let length = value.bytes().take_while(u8::is_ascii_digit).count();
    value.get(..length)?.parse().ok()
}

/// A positive number of seconds.
fn seconds(value: &str) -> Option<Duration> {
    let span = Duration::from_secs(count(value.trim())?);
    (!span.is_zero() && span <= reset::LONGEST).then_some(span)
}
