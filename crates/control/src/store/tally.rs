//! Facts about requests are added up by hour, key and model, and by session, until the writer takes the
//! sums.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use api_key_lb_core::KeyId;
use api_key_lb_core::fact::{Ending, Fact, SessionId};

use super::time;

/// Names of models that are told apart; agents use a handful.
const MODELS: usize = 1_000;
/// The longest name of a model, in bytes; longer ones are somebody's mistake.
const MODEL_BYTES: usize = 128;
/// Sums kept while nobody takes them (the disk is full): days of a busy proxy. What comes then is
/// counted without its model.
const SUMS: usize = 20_000;
/// The answer of a provider that throttles.
const TOO_MANY_REQUESTS: u16 = 429;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose last attempt was made with the key.
    pub requests: u64,
    /// Attempts with the key that failed otherwise than by a throttle, and answers that were cut.
    pub errors: u64,
    /// Attempts with the key that were throttled.
    pub throttles: u64,
    /// Tokens of prompts, cached ones included.
    pub prompt: u64,
    /// Tokens of prompts that came from the provider's cache.
    pub cached: u64,
    /// Tokens of prompts that were written to it.
    pub written: u64,
    /// Tokens generated.
    pub output: u64,
    /// Milliseconds that requests waited for an account.
    pub waited_ms: u64,
}

impl Counts {
    /// Adds `other`.
    pub const fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.throttles = self.throttles.saturating_add(other.throttles);
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.cached = self.cached.saturating_add(other.cached);
        self.written = self.written.saturating_add(other.written);
        self.output = self.output.saturating_add(other.output);
        self.waited_ms = self.waited_ms.saturating_add(other.waited_ms);
    }
}

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    /// Hours since 1970.
    pub(super) hour: i64,
    /// The key; the zero one if none was used.
    pub(super) key: KeyId,
    /// The model; empty if none was named, or none that was ever served.
    pub(super) model: String,
}

/// What a session has used is counted apart by key and model, for prices are the model's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionSlot {
    /// The session.
    pub(super) session: SessionId,
    /// The key; the zero one if none was used.
    pub(super) key: KeyId,
    /// The model, as in [`Slot`].
    pub(super) model: String,
}

/// What was counted of a session, and when it was last used, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionCounts {
    pub(super) counts: Counts,
    pub(super) used: i64,
}

/// The sums so far. Facts come from the thread of the log, which does not wait for the disk.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Sums>);

#[derive(Debug, Default)]
struct Sums {
    counts: HashMap<Slot, Counts>,
    sessions: HashMap<SessionSlot, SessionCounts>,
    /// Names of models that were served. Only these are written down: what a client writes into a
    /// request that nobody serves may be anything.
    models: HashSet<String>,
}

impl Tally {
    /// Models that are known to have been served.
    pub(super) fn know(&self, models: impl IntoIterator<Item = String>) {
        self.sums().models.extend(models);
    }

    /// Adds what `facts` say.
    pub fn count(&self, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        let mut sums = self.sums();
        for fact in facts {
            sums.count(fact);
        }
    }

    /// Takes the sums.
    pub(super) fn take(&self) -> HashMap<Slot, Counts> {
        std::mem::take(&mut self.sums().counts)
    }

    /// Gives back what could not be written.
    pub(super) fn give_back(&self, counts: HashMap<Slot, Counts>) {
        let mut sums = self.sums();
        for (slot, counts) in counts {
            sums.add(slot, &counts);
        }
    }

    /// Takes the sums by session.
    pub(super) fn take_sessions(&self) -> HashMap<SessionSlot, SessionCounts> {
        std::mem::take(&mut self.sums().sessions)
    }

    /// Gives back what could not be written of them.
    pub(super) fn give_back_sessions(&self, sessions: HashMap<SessionSlot, SessionCounts>) {
        let mut sums = self.sums();
        for (slot, counts) in sessions {
            sums.add_session(slot, &counts);
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    fn count(&mut self, fact: &Fact) {
        let ended = fact.began.after(fact.took);
        let hour = time::hour(ended);
        let served = (200..300).contains(&fact.status) && !fact.attempts.is_empty();
        let model = self.name(fact.model.as_deref(), served);
        let mut add = |key, counts: &Counts| {
            let model = model.clone();
            if let Some(session) = fact.session {
                let counts = SessionCounts {
                    counts: *counts,
                    used: time::stored(ended),
                };
                let model = model.clone();
                self.add_session(
                    SessionSlot {
                        session,
                        key,
                        model,
                    },
                    &counts,
                );
            }
            self.add(Slot { hour, key, model }, counts);
        };
        let mut whole = Counts {
            requests: 1,
            waited_ms: u64::try_from(fact.waited.as_millis()).unwrap_or(u64::MAX),
            ..Counts::default()
        };
        if let Some(usage) = fact.usage {
            whole.prompt = usage.prompt;
            whole.cached = usage.cached;
            whole.written = usage.written;
            whole.output = usage.output;
        }
        let Some((last, before)) = fact.attempts.split_last() else {
            // Waited and was not served, or asked for what nobody serves; else nothing of use.
            if fact.model.is_some() {
                whole.errors = u64::from(matches!(fact.ending, Ending::Own(_)));
                add(KeyId::default(), &whole);
            }
            return;
        };
        for attempt in before {
            let failed = failure(attempt.status, false);
            add(attempt.key, &failed);
        }
        let failed = failure(last.status, fact.ending == Ending::ClientLeft);
        whole.add(&failed);
        whole.errors += u64::from(fact.ending == Ending::Cut);
        add(last.key, &whole);
    }

    fn name(&mut self, model: Option<&str>, served: bool) -> String {
        let Some(model) = model else {
            return String::new();
        };
        if !self.models.contains(model) {
            let is_name = model.len() <= MODEL_BYTES && !model.chars().any(char::is_control);
            if !served || !is_name || self.models.len() >= MODELS {
                return String::new();
            }
            self.models.insert(model.to_owned());
        }
        model.to_owned()
    }

    fn add(&mut self, mut slot: Slot, counts: &Counts) {
        if self.counts.len() >= SUMS && !self.counts.contains_key(&slot) {
            slot.model = String::new();
        }
        self.counts.entry(slot).or_default().add(counts);
    }

    /// What comes while there are too many is only missing here: sessions are many, and no total
    /// is made of them.
    fn add_session(&mut self, slot: SessionSlot, counts: &SessionCounts) {
        if self.sessions.len() >= SUMS && !self.sessions.contains_key(&slot) {
            return;
        }
        let sum = self.sessions.entry(slot).or_default();
        sum.counts.add(&counts.counts);
        sum.used = sum.used.max(counts.used);
    }
}

/// What an attempt that ended with `status` counts as. A client that leaves is nobody's error.
fn failure(status: Option<u16>, left: bool) -> Counts {
    let throttled = status == Some(TOO_MANY_REQUESTS);
    let failed = match status {
        Some(status) => status >= 400 && !throttled,
        None => !left,
    };
    Counts {
        throttles: u64::from(throttled),
        errors: u64::from(failed),
        ..Counts::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api_key_lb_core::Moment;
    use api_key_lb_core::fact::{Attempt, RequestId, Usage};

    use super::*;

    fn fact(model: &str, attempts: &[(u64, Option<u16>)], ending: Ending) -> Fact {
        let attempts: Vec<Attempt> = attempts
            .iter()
            .map(|(key, status)| Attempt {
                status: *status,
                ..Attempt::begun(KeyId::from_number(*key))
            })
            .collect();
        Fact {
            took: Duration::from_secs(1),
            status: attempts.last().and_then(|last| last.status).unwrap_or(0),
            model: Some(model.into()),
            waited: Duration::from_millis(30),
            attempts,
            usage: Some(Usage {
                prompt: 100,
                cached: 60,
                written: 5,
                output: 10,
            }),
            request_bytes: 1,
            response_bytes: 1,
            ending,
            ..Fact::begun(
                RequestId::default(),
                Moment::from_unix_millis(3_600_000 * 10),
                http::Method::POST,
                "/v1/chat/completions".into(),
            )
        }
    }

    fn slot(key: u64, model: &str) -> Slot {
        Slot {
            hour: 10,
            key: KeyId::from_number(key),
            model: model.into(),
        }
    }

    #[test]
    fn a_request_counts_for_its_last_key_and_its_failures_for_those_that_failed() {
        let tally = Tally::default();
        let attempts = [(1, Some(429)), (2, Some(500)), (3, Some(200))];
        tally.count(&[fact("m", &attempts, Ending::Complete)]);
        let counts = tally.take();
        assert_eq!(
            (
                counts[&slot(1, "m")].throttles,
                counts[&slot(1, "m")].requests
            ),
            (1, 0)
        );
        assert_eq!(
            (counts[&slot(2, "m")].errors, counts[&slot(2, "m")].prompt),
            (1, 0)
        );
        let last = Counts {
            requests: 1,
            prompt: 100,
            cached: 60,
            written: 5,
            output: 10,
            waited_ms: 30,
            ..Counts::default()
        };
        assert_eq!(counts[&slot(3, "m")], last);
        assert!(tally.take().is_empty());
    }

    #[test]
    fn only_models_that_were_served_are_named() {
        let tally = Tally::default();
        tally.know(["known".to_owned()]);
        let long = "m".repeat(MODEL_BYTES + 1);
        tally.count(&[
            fact("whatever", &[(1, Some(404))], Ending::Complete),
            fact("known", &[(1, Some(404))], Ending::Complete),
            fact("new", &[(1, Some(200))], Ending::Complete),
            fact("a\nb", &[(1, Some(200))], Ending::Complete),
            fact(&long, &[(1, Some(200))], Ending::Complete),
        ]);
        let counts = tally.take();
        assert_eq!(counts[&slot(1, "")].requests, 3);
        assert_eq!(counts[&slot(1, "known")].errors, 1);
        assert_eq!(counts[&slot(1, "new")].requests, 1);
        assert_eq!(counts.len(), 3);
    }

    #[test]
    fn a_client_that_leaves_is_no_error_and_a_cut_is_one() {
        let tally = Tally::default();
        tally.count(&[
            fact("m", &[(1, None)], Ending::ClientLeft),
            fact("m", &[(2, Some(200))], Ending::Cut),
            fact("m", &[(3, None)], Ending::Own("unreachable")),
            fact("m", &[], Ending::Own("throttled")),
        ]);
        let counts = tally.take();
        let errors = |key, model| counts[&slot(key, model)].errors;
        assert_eq!(
            (
                errors(1, ""),
                errors(2, "m"),
                errors(3, "m"),
                errors(0, "m")
            ),
            (0, 1, 1, 1)
        );
    }

    #[test]
    fn sums_that_nobody_takes_are_bounded_and_lose_no_request() {
        let tally = Tally::default();
        for number in 0..SUMS as u64 + 500 {
            tally.count(&[fact("m", &[(number % 7 + 1, Some(200))], Ending::Complete)]);
        }
        for hour in 0..SUMS as i64 + 500 {
            let one = Counts {
                requests: 1,
                ..Counts::default()
            };
            tally.give_back(
                [(
                    Slot {
                        hour: hour % 3,
                        key: KeyId::from_number(hour as u64 % 9_000),
                        model: format!("m{hour}"),
                    },
                    one,
                )]
                .into(),
            );
        }
        let counts = tally.take();
        let all: u64 = counts.values().map(|counts| counts.requests).sum();
        assert_eq!(all, 2 * (SUMS as u64 + 500));
    }
}
