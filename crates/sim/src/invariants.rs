//! What must be true of the real policy after every step, whatever the world does.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use api_key_lb_core::fact::Affinity;
use api_key_lb_core::headroom::{Axis, Bucket};
use api_key_lb_core::verdict::{Elsewhere, Matter};

use crate::outcome::{Ending, Observer, Outcome, Step};
use crate::provider::Answer;
use crate::router::Router;
use crate::time;
use crate::world::World;

/// Tries that one request may make while they fail for reasons that may be everyone's.
const FEW: u32 = 3;
/// Accounts that one request may ask while the provider has no capacity.
const OVERLOADED: u32 = 2;
/// Sessions whose time to live is shorter may be forgotten between two of their requests.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Repeated tries are counted over ten seconds, in slots of one; nine are counted whatever the slot.
const BUDGET_MS: u64 = 9_000;
/// Requests are counted over all of the ten.
const BUDGET_REQUESTS_MS: u64 = 10_000;
/// Of the requests, one in so many may be tried again …
const BUDGET_SHARE: usize = 5;
/// … but never fewer than so many.
const BUDGET_AT_LEAST: usize = 10;

/// The checks, and what they know of the past.
#[derive(Debug)]
pub struct Invariants {
    rows: HashMap<usize, Row>,
    served: Vec<bool>,
    running: Vec<u32>,
    sent: Vec<u64>,
    /// Which keys are known to be of one account: the first key of each.
    group: Vec<usize>,
    /// By group: what it must not be used for, until when.
    told: Vec<Told>,
    /// Keys whose answers have named their account.
    named: Vec<bool>,
    /// Keys that were refused since they served last.
    refused: Vec<bool>,
    homes: HashMap<u64, Home>,
    /// When requests were sent for the first time.
    requests: VecDeque<u64>,
    /// When requests were sent again for reasons that may be everyone's.
    retries: VecDeque<u64>,
    steps: u64,
    /// A snapshot is taken every so many steps.
    every: u64,
}

/// Where a session lives, as far as choices and answers have shown it.
#[derive(Clone, Debug)]
struct Home {
    key: usize,
    /// Keys that it was lent to when its home had been refused: one of them may be its home by now.
    lent: Vec<usize>,
}

#[derive(Debug, Default)]
struct Row {
    came: u64,
    held: bool,
    affinity: Option<Affinity>,
    /// Keys that refused it.
    refused: Vec<usize>,
    /// Attempts that failed for reasons that may be everyone's, each followed by another.
    few: u32,
    overloads: u32,
}

#[derive(Debug, Default)]
struct Told {
    /// For all models.
    whole: Option<u64>,
    /// For one model.
    models: HashMap<u32, u64>,
    /// Limits of which nothing is left, with the model if it is only that one's.
    empty: HashMap<(Axis, Option<u64>, Option<u32>), u64>,
}

impl Told {
    fn until(&self, model: u32, now: u64) -> Option<u64> {
        let empty = self
            .empty
            .iter()
            .filter(|((_, _, of), _)| of.is_none_or(|of| of == model))
            .map(|(_, until)| *until);
        let cooling = self
            .whole
            .into_iter()
            .chain(self.models.get(&model).copied());
        cooling.chain(empty).filter(|until| *until > now).max()
    }

    fn merge(&mut self, other: Self) {
        self.whole = self.whole.max(other.whole);
        for (model, until) in other.models {
            let known = self.models.entry(model).or_default();
            *known = until.max(*known);
        }
    }
}

impl Invariants {
    /// The checks of a run of `world`. Snapshots are compared after every step of small worlds,
    /// and now and then in large ones.
    pub fn of(world: &World) -> Self {
        let keys = world.keys.len();
        let mut first = HashMap::new();
        let group = world.keys.iter().enumerate().map(|(at, key)| {
            if key.account_is_configured {
                *first.entry(key.account).or_insert(at)
            } else {
                at
            }
        });
        Self {
            rows: HashMap::new(),
            served: vec![false; world.requests.len()],
            running: vec![0; keys],
            sent: vec![0; keys],
            group: group.collect(),
            told: (0..keys).map(|_| Told::default()).collect(),
            named: vec![false; keys],
            refused: vec![false; keys],
            homes: HashMap::new(),
            requests: VecDeque::new(),
            retries: VecDeque::new(),
            steps: 0,
            every: 1 + world.requests.len() as u64 / 500,
        }
    }

    fn came(&mut self, row: usize, now: u64) -> Result<(), String> {
        let new = Row {
            came: now,
            ..Row::default()
        };
        match self.rows.insert(row, new) {
            Some(_) => Err("came while it was there".into()),
            None => Ok(()),
        }
    }

    fn sent(
        &mut self,
        world: &World,
        row: usize,
        key: usize,
        affinity: Affinity,
        now: u64,
    ) -> Result<(), String> {
        let request = &world.requests[row];
        let state = self.rows.get_mut(&row).ok_or("sent without having come")?;
        state.held = false;
        if state.affinity.replace(affinity).is_none() {
            self.requests.push_back(now);
        }
        if self.served[row] {
            return Err("sent again after it was served".into());
        }
        self.running[key] += 1;
        self.sent[key] += 1;
        let group = self.group[key];
        if let Some(until) = self.told[group].until(request.model, now) {
            return Err(format!(
                "key {key} was used for model {} although its account had told us to wait until {until} ms",
                request.model
            ));
        }
        let Some(session) = request.session else {
            return Ok(());
        };
        let Some(home) = self.homes.get(&session) else {
            return Ok(());
        };
        let lives_at = |key: usize| self.group[key] == group;
        match affinity {
            Affinity::Home
                if !lives_at(home.key) && !home.lent.iter().any(|key| lives_at(*key)) =>
            {
                Err(format!(
                    "key {key} is called the home of session {session}, which is key {}",
                    home.key
                ))
            }
            Affinity::Borrowed | Affinity::Moved if lives_at(home.key) && home.lent.is_empty() => {
                Err(format!(
                    "key {key} is called {affinity:?}, but it is the home of session {session}"
                ))
            }
            Affinity::None => Err(format!("session {session} was taken for none")),
            _ => Ok(()),
        }
    }

    /// An attempt of the request was served: its session lives there, or it is lent to there.
    fn settled(&mut self, world: &World, row: usize, key: usize) {
        self.refused[key] = false;
        let Some(state) = self.rows.get(&row) else {
            return;
        };
        let (Some(session), Some(affinity)) = (world.requests[row].session, state.affinity) else {
            return;
        };
        match self.homes.get_mut(&session) {
            Some(home) if affinity == Affinity::Borrowed => {
                let gone = |key: usize| self.refused[key] || state.refused.contains(&key);
                let group = self.group[home.key];
                let refused =
                    (0..self.group.len()).any(|key| self.group[key] == group && gone(key));
                // Where sessions are forgotten early, one may be so while it is lent.
                let settings = &world.settings;
                let forgets = settings.sessions < world.requests.len()
                    || settings.session_ttl < FORGOTTEN_AFTER;
                if refused || forgets || !home.lent.is_empty() {
                    home.lent.push(key);
                }
            }
            _ => {
                let lent = Vec::new();
                self.homes.insert(session, Home { key, lent });
            }
        }
    }

    fn held(&mut self, world: &World, row: usize, until: u64) -> Result<(), String> {
        let patience = world.requests[row].patience_ms;
        let longest = u64::try_from(world.settings.max_wait.as_millis()).unwrap_or(u64::MAX);
        let state = self.rows.get_mut(&row).ok_or("held without having come")?;
        state.held = true;
        if patience == 0 {
            return Err("held although its client does not wait".into());
        }
        let deadline = state.came + patience.min(longest);
        if until > deadline {
            return Err(format!(
                "held until {until}, beyond its deadline {deadline}"
            ));
        }
        Ok(())
    }

    fn answered(
        &mut self,
        world: &World,
        row: usize,
        key: usize,
        answer: &Answer,
        again: bool,
        now: u64,
    ) -> Result<(), String> {
        let verdict = answer.verdict;
        let model = world.requests[row].model;
        if answer.names_owner {
            self.identified(world, key);
        }
        let told = &mut self.told[self.group[key]];
        for bucket in &answer.buckets {
            told.learn(bucket, model);
        }
        if let Some(until) = verdict.until.map(time::ms) {
            match verdict.matter {
                Matter::AccountRate | Matter::AccountQuota | Matter::Concurrency => {
                    told.whole = told.whole.max(Some(until));
                }
                Matter::ModelRate | Matter::ModelQuota => {
                    let known = told.models.entry(model).or_default();
                    *known = until.max(*known);
                }
                _ => {}
            }
        }
        if verdict.matter == Matter::Served {
            if std::mem::replace(&mut self.served[row], true) {
                return Err("served twice".into());
            }
            self.settled(world, row, key);
            return if again {
                Err("tried again although it was served".into())
            } else {
                Ok(())
            };
        }
        let state = self
            .rows
            .get_mut(&row)
            .ok_or("answered without having come")?;
        let refuses = [Matter::Key, Matter::Credit, Matter::Entitlement];
        if refuses.contains(&verdict.matter) {
            self.refused[key] = true;
            state.refused.push(key);
        }
        match verdict.elsewhere() {
            Elsewhere::No if again => return Err("tried again although it must not be".into()),
            Elsewhere::Few | Elsewhere::One if again => {
                state.few += 1;
                state.overloads += u32::from(verdict.elsewhere() == Elsewhere::One);
                if state.few >= FEW || state.overloads >= OVERLOADED {
                    return Err(format!("try {} after {:?}", state.few + 1, verdict.matter));
                }
                self.retried(now)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A repeated try that no limit forced.
    fn retried(&mut self, now: u64) -> Result<(), String> {
        self.retries.push_back(now);
        self.retries.retain(|at| now - at < BUDGET_MS);
        self.requests.retain(|at| now - at <= BUDGET_REQUESTS_MS);
        let allowed = (self.requests.len() / BUDGET_SHARE).max(BUDGET_AT_LEAST);
        if self.retries.len() > allowed {
            return Err(format!(
                "{} repeated tries within nine seconds of {} requests",
                self.retries.len(),
                self.requests.len()
            ));
        }
        Ok(())
    }

    /// An answer named the account of `key`: what is known of other keys of it counts for it.
    fn identified(&mut self, world: &World, key: usize) {
        if world.keys[key].account_is_configured {
            return;
        }
        self.named[key] = true;
        let account = world.keys[key].account;
        let first = (0..self.group.len()).find(|other| {
            let spec = world.keys[*other];
            self.named[*other] && spec.account == account
        });
        let Some(first) = first else {
            return;
        };
        // The first of them may be the latest to be named: then the others come to it.
        for other in 0..self.group.len() {
            if self.group[other] != first
                && self.named[other]
                && world.keys[other].account == account
            {
                let moved = std::mem::take(&mut self.told[other]);
                self.told[first].merge(moved);
                self.group[other] = first;
            }
        }
    }

    fn compare(&self, world: &World, router: &mut dyn Router, now: u64) -> Result<(), String> {
        let Some(snapshot) = router.snapshot(now) else {
            return Ok(());
        };
        if snapshot.sessions > world.settings.sessions {
            return Err(format!("{} sessions are remembered", snapshot.sessions));
        }
        let held = self.rows.values().filter(|row| row.held).count();
        if snapshot.waiting != held {
            return Err(format!("{} wait by its count, {held} do", snapshot.waiting));
        }
        for (key, shown) in snapshot.keys.iter().enumerate() {
            let (running, sent) = (self.running[key], self.sent[key]);
            if shown.in_flight != running {
                return Err(format!(
                    "key {key} has {running} running, {} by its count",
                    shown.in_flight
                ));
            }
            if shown.requests != sent {
                return Err(format!(
                    "key {key} was used {sent} times, {} by its count",
                    shown.requests
                ));
            }
        }
        Ok(())
    }
}

impl Told {
    fn learn(&mut self, bucket: &Bucket, model: u32) {
        let of = (!bucket.whole_account).then_some(model);
        let place = (bucket.axis, bucket.limit, of);
        match bucket.reset {
            Some(reset) if bucket.remaining == 0 => {
                self.empty.insert(place, time::ms(reset));
            }
            _ => {
                self.empty.remove(&place);
            }
        }
    }
}

impl Observer for Invariants {
    fn step(
        &mut self,
        world: &World,
        router: &mut dyn Router,
        row: usize,
        step: &Step<'_>,
        now: u64,
    ) -> Result<(), String> {
        match *step {
            Step::Came => self.came(row, now)?,
            Step::Sent { key, affinity } => self
                .sent(world, row, key, affinity, now)
                .map_err(|what| explained(what, router))?,
            Step::Held { until } => self
                .held(world, row, until)
                .map_err(|what| explained(what, router))?,
            Step::Refused => {
                if let Some(state) = self.rows.get_mut(&row) {
                    state.held = false;
                }
            }
            Step::Answered { key, answer, again } => {
                self.answered(world, row, key, answer, again, now)?;
            }
            Step::Ended { key } => {
                let running = &mut self.running[key];
                *running = running.checked_sub(1).ok_or("ended without having begun")?;
            }
            Step::Over(ending) => {
                self.rows.remove(&row).ok_or("over without having come")?;
                if (ending == Ending::Served) && !self.served[row] {
                    return Err("over as served, but it was not".into());
                }
            }
        }
        self.steps += 1;
        // Between an answer and what follows it, or a decision and what it does, the books are open.
        if self.steps.is_multiple_of(self.every) && !matches!(step, Step::Refused) {
            self.compare(world, router, now)?;
        }
        Ok(())
    }

    fn finished(
        &mut self,
        world: &World,
        router: &mut dyn Router,
        outcomes: &[Outcome],
        now: u64,
    ) -> Result<(), String> {
        if let Some(row) = self.rows.keys().next() {
            return Err(format!("request {row} was never over"));
        }
        if let Some(row) = outcomes.iter().position(|outcome| outcome.ending.is_none()) {
            return Err(format!("request {row} was lost"));
        }
        self.compare(world, router, now)
    }
}

/// What must not be, and what the router said for itself.
fn explained(what: String, router: &mut dyn Router) -> String {
    match router.reason() {
        reason if reason.is_empty() => what,
        reason => format!("{what} ({reason})"),
    }
}
