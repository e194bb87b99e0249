//! The windows of subscriptions: Anthropic's (`anthropic-ratelimit-unified-…`) and those of the
//! ChatGPT plans (`x-codex-…`). They state shares, not counts.

use crate::headroom::{Axis, Bucket};
use crate::moment::Moment;
use crate::wire::reset;

/// Windows of Anthropic that count for every model; others (`7d_oi`) count for the model that was
/// asked for, and come only with its answers.
const WHOLE_ACCOUNT: &[&str] = &["5h", "7d"];
/// What represents them where no window is named. Others are about the model.
const WHOLE_ACCOUNT_CLAIMS: &[&str] = &["five_hour", "seven_day"];
/// How the names end that say what is used of a window of the ChatGPT plans, in percent …
const USED: &str = "-used-percent";
/// … when it begins anew, in seconds since the epoch …
const RESET: &str = "-reset-at";
/// … and in how many seconds.
const RESET_AFTER: &str = "-reset-after-seconds";

#[derive(Debug, Default)]
pub(super) struct Windows<'h> {
    unified: Vec<Window<'h>>,
    codex: Vec<Window<'h>>,
    /// What is said of all of Anthropic's windows together.
    overall: Window<'h>,
    claim: Option<&'h str>,
    /// The limit of the ChatGPT plan that the request counted for.
    active: Option<&'h str>,
    /// Whether credit serves what is beyond a ChatGPT plan.
    credit: bool,
}

#[derive(Debug, Default)]
struct Window<'h> {
    name: &'h str,
    /// In thousandths.
    left: Option<u64>,
    status: Option<&'h str>,
    reset: Option<&'h str>,
    reset_after: Option<&'h str>,
}

fn named<'h, 'w>(windows: &'w mut Vec<Window<'h>>, name: &'h str) -> Option<&'w mut Window<'h>> {
    let at = windows.iter().position(|window| window.name == name);
    let at = at.unwrap_or_else(|| {
        windows.push(Window {
            name,
            ..Window::default()
        });
        windows.len() - 1
    });
    windows.get_mut(at)
}

impl<'h> Windows<'h> {
    pub(super) fn take_unified(&mut self, name: &'h str, value: &'h str) {
        let Some(rest) = name.strip_prefix("anthropic-ratelimit-unified-") else {
            return;
        };
        let (window, what) = match rest.rsplit_once('-') {
            // `overage`, `fallback` and others are no windows.
            Some((id, what)) if id.starts_with(|first: char| first.is_ascii_digit()) => {
                (named(&mut self.unified, id), what)
            }
            _ => {
                if rest == "representative-claim" {
                    self.claim = Some(value);
                }
                (Some(&mut self.overall), rest)
            }
        };
        let Some(window) = window else {
            return;
        };
        match what {
            "status" => window.status = Some(value),
            "reset" => window.reset = Some(value),
            "utilization" => window.left = left(value, 1.0),
            _ => {}
        }
    }

    pub(super) fn take_codex(&mut self, name: &'h str, value: &'h str) {
        match name {
            "x-codex-active-limit" => self.active = Some(value),
            "x-codex-credits-has-credits" | "x-codex-credits-unlimited" => {
                self.credit |= value.eq_ignore_ascii_case("true") || value == "1";
            }
            _ => {
                let of = |what| Some((name.strip_suffix(what)?, what));
                let Some((id, what)) = of(USED).or_else(|| of(RESET)).or_else(|| of(RESET_AFTER))
                else {
                    return;
                };
                if !(id.ends_with("-primary") || id.ends_with("-secondary")) {
                    return;
                }
                let Some(window) = named(&mut self.codex, id) else {
                    return;
                };
                match what {
                    USED => window.left = left(value, 100.0),
                    RESET => window.reset = Some(value),
                    _ => window.reset_after = Some(value),
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unified.is_empty() && self.codex.is_empty() && self.overall.status.is_none()
    }

    pub(super) fn put(&self, buckets: &mut Vec<Bucket>, now: Moment) {
        for window in &self.unified {
            let whole_account = WHOLE_ACCOUNT.contains(&window.name);
            buckets.extend(window.bucket(whole_account, now));
        }
        // Beside a window that says how it stands the sum says nothing more: it was seen rejected
        // on an answer that was served, with every window allowed.
        let tells = |window: &Window<'_>| window.status.is_some() || window.left == Some(0);
        if self.overall.is_rejected() && !self.unified.iter().any(tells) {
            let whole_account = self
                .claim
                .is_none_or(|claim| WHOLE_ACCOUNT_CLAIMS.contains(&claim));
            buckets.extend(self.overall.bucket(whole_account, now));
        }
        for window in &self.codex {
            let whole_account = matches!(window.name, "x-codex-primary" | "x-codex-secondary");
            // The windows of other models come along with every answer.
            if !whole_account && !self.is_active(window.name) {
                continue;
            }
            let bucket = window.bucket(whole_account, now);
            buckets.extend(bucket.map(|bucket| Bucket {
                remaining: bucket.remaining.max(u64::from(self.credit)),
                ..bucket
            }));
        }
    }

    /// Whether a window belongs to the limit that the request counted for: `x-codex-other-primary`
    /// to `codex_other`.
    fn is_active(&self, window: &str) -> bool {
        let id = window
            .strip_prefix("x-")
            .and_then(|rest| rest.rsplit_once('-'))
            .map(|(id, _)| id);
        let same = |(ours, theirs): (u8, u8)| {
            ours.eq_ignore_ascii_case(&theirs) || ours == b'-' && theirs == b'_'
        };
        match (id, self.active) {
            (Some(id), Some(active)) => {
                id.len() == active.len() && id.bytes().zip(active.bytes()).all(same)
            }
            _ => false,
        }
    }
}

impl Window<'_> {
    fn is_rejected(&self) -> bool {
        self.status
            .is_some_and(|status| status.eq_ignore_ascii_case("rejected"))
    }

    fn bucket(&self, whole_account: bool, now: Moment) -> Option<Bucket> {
        let remaining = match self.status {
            _ if self.is_rejected() => 0,
            // More than all was used, and it still serves: then something is left.
            Some(_) => self.left?.max(1),
            None => self.left?,
        };
        let after =
            |text| reset::of_field("reset_after_seconds", text, &crate::provider::UNKNOWN, now);
        Some(Bucket {
            axis: Axis::Window,
            whole_account,
            limit: Some(Bucket::WHOLE_WINDOW),
            remaining,
            reset: self
                .reset
                .and_then(|text| reset::moment(text, 0, now))
                .or_else(|| self.reset_after.and_then(after)),
        })
    }
}

/// What is left when so much of `whole` is used, in thousandths: none only if all is used.
fn left(used: &str, whole: f64) -> Option<u64> {
    let used = used.parse::<f64>().ok().filter(|used| used.is_finite())?;
    let share = (1.0 - used / whole).clamp(0.0, 1.0);
    let thousandths = (share * Bucket::WHOLE_WINDOW as f64).round() as u64;
    Some(thousandths.max(u64::from(share > 0.0)))
}
