//! Steps a world through a router: events in order of time, clients that wait, leave and come again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use api_key_lb_core::fact::Affinity;
use api_key_lb_core::verdict::Matter;

use crate::outcome::{Ending, Observer, Outcome, Step, Violation};
use crate::provider::{Answer, Provider};
use crate::rng::Rng;
use crate::router::{Call, Decision, Router};
use crate::time;
use crate::world::World;

/// A client whose request was refused waits so long before it sends it again, doubled each time …
const CLIENT_BACKOFF_MS: u64 = 1_000;
/// … up to this, unless it was told how long: what the SDKs and agents do.
const CLIENT_BACKOFF_LONGEST_MS: u64 = 30_000;

/// Runs `world` through `router` to the end.
///
/// # Errors
/// The first [`Violation`] that `observer` finds.
pub fn run(
    world: &World,
    router: &mut dyn Router,
    observer: &mut dyn Observer,
) -> Result<Vec<Outcome>, Violation> {
    let mut run = Run::new(world, router, observer);
    run.schedule_all();
    while let Some(Reverse((at, _, row, what))) = run.events.pop() {
        run.now = at;
        run.happens(row, what)?;
    }
    let finished = run
        .observer
        .finished(world, run.router, &run.outcomes, run.now);
    finished.map_err(|what| run.violation(0, what))?;
    Ok(run.outcomes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Comes,
    /// The number of the hold.
    Ask(u32),
    /// The number of the attempt.
    Head(u32),
    End(u32),
    /// The number of the client's try.
    TimesOut(u32),
    Leaves(u32),
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Away,
    Held {
        since: u64,
    },
    /// Sent; waiting for the answer to begin.
    Sent(Box<Attempt>),
    /// The answer runs.
    Answered(Box<Attempt>),
}

#[derive(Debug)]
struct Attempt {
    key: usize,
    affinity: Affinity,
    answer: Answer,
    sent: u64,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// When the client sent it this time.
    came: u64,
    tries: u32,
    holds: u32,
    attempts: u32,
    followers: Vec<usize>,
}

struct Run<'r> {
    world: &'r World,
    router: &'r mut dyn Router,
    observer: &'r mut dyn Observer,
    provider: Provider,
    events: BinaryHeap<Reverse<(u64, u64, usize, What)>>,
    states: Vec<State>,
    outcomes: Vec<Outcome>,
    /// Who is held, in the order in which they began to be.
    held: Vec<usize>,
    scheduled: u64,
    steps: u64,
    now: u64,
}

impl<'r> Run<'r> {
    fn new(world: &'r World, router: &'r mut dyn Router, observer: &'r mut dyn Observer) -> Self {
        let count = world.requests.len();
        let mut states: Vec<State> = (0..count).map(|_| State::default()).collect();
        for (row, request) in world.requests.iter().enumerate() {
            if let Some(state) = request.follows.and_then(|row| states.get_mut(row)) {
                state.followers.push(row);
            }
        }
        Self {
            provider: Provider::new(world.provider.clone(), Rng::seeded(world.seed)),
            world,
            router,
            observer,
            events: BinaryHeap::new(),
            states,
            outcomes: vec![Outcome::default(); count],
            held: Vec::new(),
            scheduled: 0,
            steps: 0,
            now: 0,
        }
    }

    fn schedule_all(&mut self) {
        for (row, request) in self.world.requests.iter().enumerate() {
            if request.follows.is_none() {
                self.schedule(request.at_ms, row, What::Comes);
            }
        }
    }

    fn schedule(&mut self, at: u64, row: usize, what: What) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, row, what)));
    }

    fn violation(&self, row: usize, what: String) -> Violation {
        Violation {
            seed: self.world.seed,
            step: self.steps,
            at_ms: self.now,
            row,
            what,
        }
    }

    fn observe(&mut self, row: usize, step: &Step<'_>) -> Result<(), Violation> {
        self.steps += 1;
        let seen = self
            .observer
            .step(self.world, self.router, row, step, self.now);
        seen.map_err(|what| self.violation(row, what))
    }

    fn call(&self, row: usize) -> Call<'r> {
        Call {
            row,
            request: &self.world.requests[row],
        }
    }

    fn happens(&mut self, row: usize, what: What) -> Result<(), Violation> {
        let state = &self.states[row];
        let is_due = match (what, &state.phase) {
            (What::Comes, _) => true,
            (What::Ask(hold), Phase::Held { .. }) => hold == state.holds,
            (What::Head(attempt), Phase::Sent(_)) | (What::End(attempt), Phase::Answered(_)) => {
                attempt == state.attempts
            }
            (What::TimesOut(client_try), Phase::Held { .. } | Phase::Sent(_)) => {
                client_try == state.tries
            }
            (
                What::Leaves(client_try),
                Phase::Held { .. } | Phase::Sent(_) | Phase::Answered(_),
            ) => client_try == state.tries,
            _ => false,
        };
        if !is_due {
            return Ok(());
        }
        match what {
            What::Comes => self.comes(row),
            What::Ask(_) => self.ask(row),
            What::Head(_) => self.head(row),
            What::End(_) => self.end(row),
            What::TimesOut(_) => self.hangs_up(row, Ending::TimedOut),
            What::Leaves(_) => self.hangs_up(row, Ending::Left),
        }
    }

    fn comes(&mut self, row: usize) -> Result<(), Violation> {
        let (now, request) = (self.now, &self.world.requests[row]);
        let state = &mut self.states[row];
        state.tries += 1;
        state.came = now;
        let tries = state.tries;
        self.outcomes[row].came.get_or_insert(now);
        if request.patience_ms > 0 {
            self.schedule(now + request.patience_ms, row, What::TimesOut(tries));
        }
        if let Some(after) = request.leaves_after_ms {
            self.schedule(now + after, row, What::Leaves(tries));
        }
        self.router.came(self.call(row), now);
        self.observe(row, &Step::Came)?;
        self.ask(row)
    }

    fn ask(&mut self, row: usize) -> Result<(), Violation> {
        let now = self.now;
        match self.router.choose(self.call(row), now) {
            Decision::Send { key, affinity } => {
                self.release(row);
                let account = self.world.keys[key].account;
                let request = &self.world.requests[row];
                let answer = self.provider.send(account, request, now);
                let state = &mut self.states[row];
                state.attempts += 1;
                let (attempts, head_at) = (state.attempts, answer.head_at);
                state.phase = Phase::Sent(Box::new(Attempt {
                    key,
                    affinity,
                    answer,
                    sent: now,
                }));
                self.outcomes[row].attempts += 1;
                self.schedule(head_at, row, What::Head(attempts));
                self.observe(row, &Step::Sent { key, affinity })
            }
            Decision::Hold { until } => {
                if until <= now {
                    let what = format!("held until {until}, which is not in the future");
                    return Err(self.violation(row, what));
                }
                let state = &mut self.states[row];
                if !matches!(state.phase, Phase::Held { .. }) {
                    state.phase = Phase::Held { since: now };
                    self.held.push(row);
                }
                state.holds += 1;
                let holds = state.holds;
                self.schedule(until, row, What::Ask(holds));
                self.observe(row, &Step::Held { until })
            }
            Decision::Refuse { soonest } => {
                self.release(row);
                self.observe(row, &Step::Refused)?;
                self.over(row, Ending::Refused, soonest)?;
                self.wake()
            }
        }
    }

    /// The request is not held any more, if it was.
    fn release(&mut self, row: usize) {
        if let Phase::Held { since } = self.states[row].phase {
            self.outcomes[row].held_ms += self.now - since;
            self.held.retain(|held| *held != row);
        }
        self.states[row].phase = Phase::Away;
    }

    /// Something has changed: everyone who is held asks again, in order.
    fn wake(&mut self) -> Result<(), Violation> {
        for row in self.held.clone() {
            if matches!(self.states[row].phase, Phase::Held { .. }) {
                self.ask(row)?;
            }
        }
        Ok(())
    }

    fn head(&mut self, row: usize) -> Result<(), Violation> {
        let Phase::Sent(attempt) = std::mem::take(&mut self.states[row].phase) else {
            return Ok(());
        };
        let (now, call) = (self.now, self.call(row));
        let (key, answer) = (attempt.key, &attempt.answer);
        let matter = answer.verdict.matter;
        let may_resend = call.request.repeatable || answer.verdict.did_nothing();
        let again = self.router.answered(call, key, answer, may_resend, now);
        self.outcomes[row].throttles += u32::from(is_throttle(matter));
        self.observe(row, &Step::Answered { key, answer, again })?;
        if matter == Matter::Served {
            let outcome = &mut self.outcomes[row];
            let came = outcome.came.unwrap_or(now);
            outcome.first_byte_ms = now - came;
            outcome.wait_ms = attempt.sent - came;
            let end_at = answer.end_at;
            let state = &mut self.states[row];
            state.phase = Phase::Answered(attempt);
            let attempts = state.attempts;
            self.schedule(end_at, row, What::End(attempts));
            return self.wake();
        }
        let until = answer.verdict.until.map(time::ms);
        self.router.ended(call, key, None, now);
        self.observe(row, &Step::Ended { key })?;
        if again {
            self.ask(row)?;
        } else {
            self.over(row, Ending::Failed(matter), until)?;
        }
        self.wake()
    }

    fn end(&mut self, row: usize) -> Result<(), Violation> {
        let Phase::Answered(attempt) = std::mem::take(&mut self.states[row].phase) else {
            return Ok(());
        };
        self.provider.over(self.world.keys[attempt.key].account);
        let (now, call) = (self.now, self.call(row));
        self.router
            .ended(call, attempt.key, attempt.answer.told, now);
        let outcome = &mut self.outcomes[row];
        outcome.key = Some(attempt.key);
        outcome.affinity = Some(attempt.affinity);
        outcome.used = attempt.answer.used;
        self.observe(row, &Step::Ended { key: attempt.key })?;
        self.over(row, Ending::Served, None)?;
        self.wake()
    }

    fn hangs_up(&mut self, row: usize, ending: Ending) -> Result<(), Violation> {
        match std::mem::take(&mut self.states[row].phase) {
            Phase::Sent(attempt) | Phase::Answered(attempt) => {
                if attempt.answer.verdict.matter == Matter::Served {
                    self.provider.over(self.world.keys[attempt.key].account);
                }
                let call = self.call(row);
                self.router.ended(call, attempt.key, None, self.now);
                self.observe(row, &Step::Ended { key: attempt.key })?;
            }
            held => {
                self.states[row].phase = held;
                self.release(row);
            }
        }
        self.over(row, ending, None)?;
        self.wake()
    }

    /// This try of the client is over; it may send the request again.
    fn over(&mut self, row: usize, ending: Ending, soonest: Option<u64>) -> Result<(), Violation> {
        let now = self.now;
        self.router.gone(self.call(row), now);
        self.outcomes[row].ending = Some(ending);
        let throttled = match ending {
            Ending::Refused => true,
            Ending::Failed(matter) => is_throttle(matter),
            Ending::Served | Ending::TimedOut | Ending::Left => false,
        };
        self.outcomes[row].throttles_seen += u32::from(throttled);
        self.observe(row, &Step::Over(ending))?;
        let tries = self.states[row].tries;
        let fails = !matches!(ending, Ending::Served | Ending::Left);
        if fails && tries < self.world.client_tries {
            let backoff = CLIENT_BACKOFF_MS << (tries - 1).min(16);
            let backoff = backoff.min(CLIENT_BACKOFF_LONGEST_MS);
            let wait = soonest.map_or(backoff, |soonest| soonest.saturating_sub(now).max(backoff));
            self.schedule(now + wait.min(60_000), row, What::Comes);
            return Ok(());
        }
        for follower in std::mem::take(&mut self.states[row].followers) {
            let think = self.world.requests[follower].at_ms;
            self.schedule(now + think, follower, What::Comes);
        }
        Ok(())
    }
}

/// Whether it is a limit that refuses: what a client sees as 429.
pub(crate) const fn is_throttle(matter: Matter) -> bool {
    matches!(
        matter,
        Matter::AccountRate
            | Matter::AccountQuota
            | Matter::ModelRate
            | Matter::ModelQuota
            | Matter::Concurrency
            | Matter::FairUse
    )
}
