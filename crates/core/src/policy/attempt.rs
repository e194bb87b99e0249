//! One attempt with one key, from its beginning to the end of its answer.

use std::time::Duration;

use super::breaker::Capacity;
use super::cooldown::Refused;
use super::sessions::estimate;
use super::tries::Tries;
use super::warmth::{ModelTag, Warm};
use super::{Asked, Bound, Policy, REFUSED_FIRST, REFUSED_LONGEST};
use crate::fact::{Affinity, ModelId, SessionId, Usage};
use crate::moment::Moment;
use crate::plan::{AccountId, Key, KeyId};
use crate::verdict::{Elsewhere, Matter, Verdict};

/// A prompt that has shrunk to less than this share (in percent) of what was cached is another one:
/// it says nothing about how long the cache has kept the old one.
const SAME_PROMPT: u64 = 90;

/// An attempt that runs. Tell [`Policy::judged`] what it came to, and [`Policy::ended`] when it is over,
/// however that came about.
#[derive(Debug)]
#[must_use]
pub struct Attempt {
    key: KeyId,
    account: AccountId,
    model: Option<ModelId>,
    session: Option<SessionId>,
    affinity: Affinity,
    began: Moment,
    bytes: u64,
    tokens: u64,
    /// Whether a recovery counts it, until it is judged.
    recovers: bool,
    /// The model without capacity that it finds out about, until it is judged.
    probes: Option<Capacity>,
    served: bool,
    /// What was warm there before it: tokens, and how long they had not been used.
    expected: Option<(u64, Duration)>,
}

impl Attempt {
    /// Its key.
    pub const fn key(&self) -> KeyId {
        self.key
    }

    pub(super) const fn account(&self) -> AccountId {
        self.account
    }
}

impl Policy {
    /// An attempt with `key` begins, as [`Policy::choose`] said.
    pub fn began(
        &mut self,
        asked: &Asked<'_>,
        key: &Key,
        affinity: Affinity,
        now: Moment,
    ) -> Attempt {
        let state = self.keys.entry(key.id).or_default();
        state.requests += 1;
        state.in_flight += 1;
        let account = self.account_of(key);
        let home = asked
            .session
            .and_then(|session| self.sessions.peek(session.id, now))
            .map(|home| self.current(home));
        let tokens = home.map_or_else(|| estimate(asked.bytes), |home| home.estimate(asked.bytes));
        let before = home.and_then(|home| home.places.at(account, ModelTag::of(asked.model)));
        let state = self.accounts.entry(account).or_default();
        let recovers = state.begins(asked.model, tokens, now);
        let probes = if self.breakers.is_quiet() {
            None
        } else {
            let capacity = Capacity::of(key.target.host(), asked.model);
            self.breakers.begins(capacity, now).then_some(capacity)
        };
        Attempt {
            key: key.id,
            account,
            model: asked.model,
            session: asked.session.map(|session| session.id),
            affinity,
            began: now,
            bytes: asked.bytes,
            tokens,
            recovers,
            probes,
            served: false,
            expected: before.map(|warm| (u64::from(warm.tokens), now.since(warm.at))),
        }
    }

    /// What an attempt came to, as soon as that is known; whether the request may be sent once
    /// more, given whether what is known of it `may_resend` it at all.
    pub fn judged(
        &mut self,
        asked: &Asked<'_>,
        attempt: &mut Attempt,
        verdict: Verdict,
        may_resend: bool,
        tries: &mut Tries,
        now: Moment,
    ) -> bool {
        attempt.account = self.canonical(attempt.account);
        let (key, account) = (attempt.key, attempt.account);
        self.settle_probe(attempt, verdict.matter == Matter::Served);
        let configured = self.timing.cooldown;
        let state = self.accounts.entry(account).or_default();
        state.judged(verdict, asked.model, configured, now);
        if verdict.matter != Matter::Served {
            self.changes.accounts.mark(&mut state.is_marked, account);
        }
        let usable = state.until(asked.model, now);
        let state = self.keys.entry(key).or_default();
        state.errors += u64::from(verdict.is_error());
        if verdict.is_error() {
            state.trouble = Some((verdict.matter, verdict.rule));
            self.changes.keys.mark(&mut state.is_marked, key);
        }
        let known = asked.pool.keys.iter().find(|known| known.id == key);
        match verdict.matter {
            Matter::Served => self.served(asked, attempt, tries, now),
            Matter::Entitlement => {
                if let Some(model) = asked.model {
                    state.lacks_model(model, now);
                }
            }
            Matter::Overload => {
                if let Some(known) = known {
                    let capacity = Capacity::of(known.target.host(), asked.model);
                    self.breakers
                        .overloaded(capacity, account, verdict.until, now);
                }
            }
            _ => {}
        }
        let is_unknown = known.is_some_and(|known| self.is_unknown(known));
        // Whoever does not know what is asked about has done nothing, and another may.
        let elsewhere = match (asked.bound, verdict.matter) {
            (Bound::Sought, Matter::State) => Elsewhere::EachOnce,
            _ => verdict.elsewhere(),
        };
        let tried = (key, account, is_unknown);
        let again = tries.judged(tried, verdict, elsewhere, usable, may_resend, now);
        match elsewhere {
            Elsewhere::One | Elsewhere::Few => {
                let everywhere = verdict.matter == Matter::Overload
                    && known.is_some_and(|known| {
                        let capacity = Capacity::of(known.target.host(), asked.model);
                        self.breakers.open_until(capacity, now).is_some()
                    });
                again && !everywhere && self.budget.may_retry(now)
            }
            // What a limit refuses costs the provider nothing.
            Elsewhere::No | Elsewhere::EachOnce => again,
        }
    }

    fn settle_probe(&mut self, attempt: &mut Attempt, served: bool) {
        if std::mem::take(&mut attempt.recovers)
            && let Some(state) = self.accounts.get_mut(&attempt.account)
        {
            state.settled(attempt.model, served);
        }
        if let Some(capacity) = attempt.probes.take()
            && !served
        {
            self.breakers.settled(capacity);
        }
    }

    fn served(&mut self, asked: &Asked<'_>, attempt: &mut Attempt, tries: &Tries, now: Moment) {
        attempt.served = true;
        let state = self.keys.entry(attempt.key).or_default();
        if state.trouble.is_some() || !state.lacks.is_empty() {
            self.changes.keys.mark(&mut state.is_marked, attempt.key);
        }
        state.refused = Refused::default();
        state.trouble = None;
        state.lacks.retain(|(model, _)| Some(*model) != asked.model);
        // Another key serves what these refused: it was them.
        for refused in tries.refused() {
            let state = self.keys.entry(*refused).or_default();
            state.refused.again(REFUSED_FIRST, REFUSED_LONGEST, now);
            self.changes.keys.mark(&mut state.is_marked, *refused);
        }
        if !self.breakers.is_quiet()
            && let Some(key) = asked.pool.keys.iter().find(|key| key.id == attempt.key)
        {
            self.breakers
                .served(Capacity::of(key.target.host(), asked.model));
        }
        if let Some(state) = self.accounts.get_mut(&attempt.account) {
            state.load.served(now.since(attempt.began), now);
        }
        if let Some(session) = attempt.session {
            self.serve(asked, session, attempt, now);
        }
    }

    /// Keeps, founds or moves the session's home, and notes what is warm there now: a prefix can be
    /// used again as soon as its first answer begins.
    fn serve(&mut self, asked: &Asked<'_>, session: SessionId, attempt: &Attempt, now: Moment) {
        let account = attempt.account;
        let home = self.sessions.peek(session, now);
        let keeps = home.is_some_and(|home| {
            let at_home = self.canonical(home.account);
            at_home == account
                // A home that has never served holds no warm cache: whoever serves first does. And
                // one whose refusal has just turned out to be its own is none any more.
                || (home.served
                    && attempt.affinity == Affinity::Borrowed
                    && self.home_remains(asked.pool, at_home, asked.model, now))
        });
        if !keeps {
            self.sessions.settle(session, account, now);
        }
        self.sessions.served(session, now);
        self.is_warm(session, attempt, attempt.tokens);
    }

    fn is_warm(&mut self, session: SessionId, attempt: &Attempt, tokens: u64) {
        let warm = Warm {
            account: attempt.account,
            model: ModelTag::of(attempt.model),
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
            at: attempt.began,
        };
        if let Some(home) = self.sessions.note(session) {
            home.places.put(warm);
        }
    }

    /// An attempt is over, however it went. `usage` is what its answer stated.
    pub fn ended(&mut self, mut attempt: Attempt, usage: Option<Usage>, now: Moment) {
        attempt.account = self.canonical(attempt.account);
        self.settle_probe(&mut attempt, false);
        let state = self.keys.entry(attempt.key).or_default();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.cache_hits += u64::from(usage.is_some_and(|usage| usage.cached > 0));
        let spent = match (usage, attempt.served) {
            (Some(usage), _) => usage.prompt + usage.output,
            (None, true) => attempt.tokens,
            (None, false) => 0,
        };
        let state = self.accounts.entry(attempt.account).or_default();
        state.load.ends(attempt.tokens, spent, now);
        self.changes
            .accounts
            .mark(&mut state.is_marked, attempt.account);
        let Some(usage) = usage.filter(|usage| attempt.served && usage.prompt > 0) else {
            return;
        };
        if let Some((tokens, age)) = attempt.expected
            && tokens > 0
            && usage.prompt >= tokens * SAME_PROMPT / 100
        {
            let expected = tokens.min(usage.prompt);
            state
                .caches
                .learn(attempt.model, age, expected, usage.cached);
        }
        let Some(session) = attempt.session else {
            return;
        };
        if let Some(home) = self.sessions.note(session) {
            home.bytes = u32::try_from(attempt.bytes).unwrap_or(u32::MAX);
            home.tokens = u32::try_from(usage.prompt).unwrap_or(u32::MAX);
        }
        self.is_warm(session, &attempt, usage.prompt + usage.output);
    }
}
