//! When what a rule found is over, and what its matter is in the light of that.

use std::time::Duration;

use super::saying::Saying;
use crate::moment::Moment;
use crate::provider::{ErrorRule, Over, Provider};
use crate::verdict::Matter;
use crate::wire::reset;

/// What is counted in seconds and minutes is over after this long; what takes longer is a quota.
const RATE_LONGEST: Duration = Duration::from_secs(600);
/// Before an account without credit is asked again, at least …
const CREDIT_SHORTEST: Duration = Duration::from_secs(1800);
/// … and at most: it may have been paid for at any time.
const CREDIT_LONGEST: Duration = Duration::from_secs(3600);

/// The matter, and when it is over if that is known.
pub(super) fn of(
    rule: &ErrorRule,
    saying: &Saying<'_>,
    provider: &Provider,
    now: Moment,
) -> (Matter, Option<Moment>) {
    let matter = rule.matter;
    match matter {
        Matter::AccountRate | Matter::ModelRate => {
            let until = first(saying, provider, now).or_else(|| over(rule.over, now));
            match until {
                Some(until) if until.since(now) > RATE_LONGEST => (quota(matter), Some(until)),
                _ => (matter, until),
            }
        }
        Matter::AccountQuota | Matter::ModelQuota => {
            let stated = last(saying, provider, now);
            let until = match rule.over {
                Over::Midnight(_) | Over::PacificMidnight => stated.max(over(rule.over, now)),
                _ => stated.or_else(|| over(rule.over, now)),
            };
            (matter, until)
        }
        Matter::Credit => {
            let (earliest, latest) = (now.after(CREDIT_SHORTEST), now.after(CREDIT_LONGEST));
            let stated = first(saying, provider, now).map(|until| until.clamp(earliest, latest));
            (matter, stated.or_else(|| over(rule.over, now)))
        }
        Matter::Concurrency | Matter::FairUse | Matter::Overload | Matter::Server => {
            let until = asked(saying, provider, now).or_else(|| over(rule.over, now));
            (matter, until)
        }
        Matter::Served
        | Matter::Request
        | Matter::State
        | Matter::Key
        | Matter::Suspicion
        | Matter::Entitlement
        | Matter::Network => (matter, None),
    }
}

const fn quota(matter: Matter) -> Matter {
    match matter {
        Matter::AccountRate => Matter::AccountQuota,
        Matter::ModelRate => Matter::ModelQuota,
        other => other,
    }
}

/// What the answer asks for: its headers, else its body, else its words. Says nothing of limits,
/// which may have nothing to do with it.
fn asked(saying: &Saying<'_>, provider: &Provider, now: Moment) -> Option<Moment> {
    reset::asked(saying.headers, provider, now)
        .or_else(|| of_fields(saying, provider, now))
        .or_else(|| reset::of_message(&saying.signals.message, provider, now))
}

/// The most direct of what the answer says.
fn first(saying: &Saying<'_>, provider: &Provider, now: Moment) -> Option<Moment> {
    reset::asked(saying.headers, provider, now)
        .or_else(|| of_fields(saying, provider, now))
        .or_else(|| reset::of_limits(saying.headers, provider, now))
        .or_else(|| reset::of_message(&saying.signals.message, provider, now))
}

/// The longest of what the answer says: of a quota, a short wait is a mistake.
fn last(saying: &Saying<'_>, provider: &Provider, now: Moment) -> Option<Moment> {
    reset::asked(saying.headers, provider, now)
        .max(of_fields(saying, provider, now))
        .max(reset::of_limits(saying.headers, provider, now))
        .max(reset::of_message(&saying.signals.message, provider, now))
}

fn of_fields(saying: &Saying<'_>, provider: &Provider, now: Moment) -> Option<Moment> {
    let fields = saying.signals.resets.iter();
    fields
        .filter_map(|(name, value)| reset::of_field(name, value, provider, now))
        .max()
}

fn over(over: Over, now: Moment) -> Option<Moment> {
    match over {
        Over::Unknown => None,
        Over::After(wait) => Some(now.after(wait)),
        Over::Midnight(zone) => Some(reset::midnight(zone, now)),
        Over::PacificMidnight => Some(reset::pacific_midnight(now)),
        Over::Every { period, offset } => {
            let period = u64::try_from(period.as_millis()).ok().filter(|p| *p > 0)?;
            let begun = Moment::default().after(offset);
            let into = now.since(begun).as_millis() % u128::from(period);
            let left = u128::from(period) - into;
            Some(now.after(Duration::from_millis(u64::try_from(left).ok()?)))
        }
    }
}
