//! One request as it is told to people: what came, what was tried, what it came to.

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::{Ending, Fact};
use serde::{Deserialize, Serialize};

use super::Spent;
use crate::ledger::shown_path;

/// The most characters of a model's or method's name kept.
const MOST_MODEL: usize = 96;
/// The most characters of a reason kept.
const MOST_REASON: usize = 300;
/// The most attempts kept; the last one always is.
const MOST_TRIES: usize = 32;

/// A request. Times are milliseconds since 1970, spans milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What it is called: `x-lb-request-id`.
    pub id: String,
    /// When its head had been read.
    pub began: u64,
    /// From then until it ended.
    pub took_ms: u64,
    /// From then until the first byte of the answer; null if there was none.
    pub first_byte_ms: Option<u64>,
    /// How long it waited for an account.
    pub waited_ms: u64,
    /// Microseconds until it was first sent to a provider, without that waiting; absent if it never
    /// was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_us: Option<u64>,
    /// The method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The pool; empty for the default one.
    pub pool: String,
    /// The status its client got; 0 if it left before.
    pub status: u16,
    /// The model that it named, if one of that name was ever served: anything else may be anything.
    pub model: Option<String>,
    /// The first digits of its session's id, as in the log.
    pub session: Option<String>,
    /// The rule that recognised it.
    pub rule: Option<String>,
    /// The program that it came from, as that calls itself.
    pub client: Option<String>,
    /// How the key relates to the session: `home`, `new`, `borrowed`, `moved` or `none`.
    pub affinity: String,
    /// Why it was that key, where there is more to say.
    pub reason: Option<String>,
    /// What was tried, in order.
    pub attempts: Vec<Try>,
    /// Tokens, where the answer stated them.
    pub usage: Option<Tokens>,
    /// Bytes of its body.
    pub request_bytes: u64,
    /// Bytes of the answer handed on.
    pub response_bytes: u64,
    /// `complete`, `client_left`, `cut` or `own`: answered by the proxy itself.
    pub ending: String,
    /// If so: the code of `x-lb-error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// What it cost, where the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What the provider's cache has saved of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<f64>,
}

/// One attempt of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// What people call the key.
    pub key: String,
    /// The status of the answer; null if there was none.
    pub status: Option<u16>,
    /// What that was taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The rule that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began, since the request did.
    pub began_ms: u64,
    /// How long until that was known.
    pub took_ms: u64,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the prompt, the cached ones included.
    pub prompt: u64,
    /// Of these, from the provider's cache.
    pub cached: u64,
    /// Of these, written to it.
    pub written: u64,
    /// Generated.
    pub output: u64,
}

impl Request {
    pub(super) fn of(
        fact: &Fact,
        model: Option<&str>,
        label_of: &dyn Fn(KeyId) -> String,
        spent: Option<&Spent>,
    ) -> Self {
        let skipped = fact.attempts.len().saturating_sub(MOST_TRIES);
        let kept = fact.attempts.iter().skip(skipped);
        Self {
            id: fact.id.to_string(),
            began: fact.began.unix_millis(),
            took_ms: millis(fact.took),
            first_byte_ms: (fact.status != 0).then(|| millis(fact.first_byte)),
            waited_ms: millis(fact.waited),
            added_us: fact
                .added
                .map(|added| u64::try_from(added.as_micros()).unwrap_or(u64::MAX)),
            method: short(fact.method.as_str(), MOST_MODEL),
            path: shown_path(&fact.path),
            pool: fact.pool.clone(),
            status: fact.status,
            model: model.map(|model| short(model, MOST_MODEL)),
            session: fact.session.map(|session| session.short()),
            rule: fact.rule.as_deref().map(str::to_owned),
            client: fact.client.name().map(str::to_owned),
            affinity: fact.affinity.as_str().to_owned(),
            reason: fact
                .reason
                .as_deref()
                .map(|reason| short(reason, MOST_REASON)),
            attempts: kept
                .map(|attempt| Try {
                    key: label_of(attempt.key),
                    status: attempt.status,
                    verdict: attempt
                        .verdict
                        .map(|(matter, _)| matter.as_str().to_owned()),
                    reason: attempt.verdict.map(|(_, rule)| rule.to_owned()),
                    began_ms: millis(attempt.began),
                    took_ms: millis(attempt.took),
                })
                .collect(),
            usage: fact.usage.map(|usage| Tokens {
                prompt: usage.prompt,
                cached: usage.cached,
                written: usage.written,
                output: usage.output,
            }),
            request_bytes: fact.request_bytes,
            response_bytes: fact.response_bytes,
            ending: match fact.ending {
                Ending::Complete => "complete",
                Ending::ClientLeft => "client_left",
                Ending::Cut => "cut",
                Ending::Own(_) => "own",
            }
            .to_owned(),
            error_code: fact.error_code().map(str::to_owned),
            cost_usd: spent.map(|spent| spent.cost_usd),
            saved_usd: spent.map(|spent| spent.saved_usd),
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let texts = [
            &self.model,
            &self.session,
            &self.rule,
            &self.client,
            &self.reason,
        ];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        let tries = self.attempts.iter().map(|attempt| {
            let words = attempt.verdict.iter().chain(&attempt.reason);
            size_of::<Try>() + attempt.key.len() + words.map(String::len).sum::<usize>()
        });
        let always = self.id.len() + self.method.len() + self.path.len() + self.pool.len();
        size_of::<Self>() + always + texts + tries.sum::<usize>()
    }
}

/// At most so many characters, and none that would move a cursor.
fn short(text: &str, most: usize) -> String {
    let shown = text.chars().filter(|letter| !letter.is_control());
    shown.take(most).collect()
}

pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
