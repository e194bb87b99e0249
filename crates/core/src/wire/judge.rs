//! Judges an answer: the person's own rules, then the provider's, then the general ones.

mod general;
#[cfg(test)]
mod own_tests;
mod saying;
#[cfg(test)]
mod tests;
mod time;

use http::{HeaderMap, StatusCode};

use super::signals::Signals;
use crate::moment::Moment;
use crate::provider::{ErrorRule, Mark, OwnErrorRule, PROVIDERS, Provider, Scope, UNKNOWN};
use crate::verdict::{Matter, Verdict};
use saying::Saying;

pub use general::GENERAL;

/// The header by which OpenAI and Anthropic forbid to send a request again.
const SHOULD_RETRY: &str = "x-should-retry";

/// The verdict on an answer. `signals` is what its body says, empty if that is not known.
///
/// A status below 400 is believed unless the body is an error; then what it says counts as if it
/// had come with the status that belongs to it.
pub fn judge(
    provider: &Provider,
    status: StatusCode,
    headers: &HeaderMap,
    signals: &Signals,
    now: Moment,
) -> Verdict {
    judge_by(&[], provider, status, headers, signals, now)
}

/// The same, but rules of the person's own come before all others.
pub fn judge_by(
    own: &[OwnErrorRule],
    provider: &Provider,
    status: StatusCode,
    headers: &HeaderMap,
    signals: &Signals,
    now: Moment,
) -> Verdict {
    let is_error = status.is_client_error() || status.is_server_error();
    let is_hidden_error = status.is_success() && signals.is_error_envelope();
    if !is_error && !is_hidden_error {
        return Verdict::SERVED;
    }
    let status = if is_error {
        Some(status.as_u16())
    } else {
        signals.status.or_else(|| general::status_of(signals))
    };
    let mut saying = Saying::new(status, headers, signals);
    let host = provider;
    let provider = known(host, &saying);
    let own = own
        .iter()
        .filter(|own| own.provider.is_none_or(|of| of == host || of == provider))
        .map(|own| &own.rule);
    let rule = own
        .chain(provider.errors)
        .find(|rule| saying.fits(rule, true));
    let rule = match rule {
        Some(rule) => *rule,
        None => {
            // Not for the rules above: their phrases are known with or without a status.
            saying.status = saying.status.or_else(|| general::status_of_text(&saying));
            scoped(general(&saying), provider.scope)
        }
    };
    let (matter, until) = time::of(&rule, &saying, provider, now);
    Verdict {
        matter,
        until,
        final_answer: is_final(headers, signals),
        rule: rule.name,
    }
}

/// Whether any rule was about the answer; none may be if it is an error that came in a 200.
pub(super) fn is_understood(verdict: &Verdict) -> bool {
    verdict.rule != general::ELSE.name
}

/// Whose rules to use: those of the host, else of the only provider that answers like this.
fn known<'p>(provider: &'p Provider, saying: &Saying<'_>) -> &'p Provider {
    if *provider != UNKNOWN {
        return provider;
    }
    let is_marked = |known: &&Provider| {
        known.marks.iter().any(|mark| match mark {
            Mark::Word(word) => saying.signals.has_word(word),
            Mark::Phrase(phrase) => saying.text.contains(phrase),
            Mark::Header(name) => saying.headers.contains_key(*name),
        })
    };
    PROVIDERS.iter().find(is_marked).unwrap_or(provider)
}

fn general(saying: &Saying<'_>) -> ErrorRule {
    let rule = GENERAL.iter().find(|rule| saying.fits(rule, false));
    rule.copied().unwrap_or(general::ELSE)
}

/// A general rule does not know what the provider counts by; a provider's own rule does.
const fn scoped(mut rule: ErrorRule, scope: Scope) -> ErrorRule {
    rule.matter = match (rule.matter, scope) {
        (Matter::ModelRate, Scope::Account) => Matter::AccountRate,
        (Matter::ModelQuota, Scope::Account) => Matter::AccountQuota,
        (matter, _) => matter,
    };
    rule
}

fn is_final(headers: &HeaderMap, signals: &Signals) -> bool {
    let forbids = headers
        .get(SHOULD_RETRY)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"));
    forbids || signals.retryable == Some(false)
}
