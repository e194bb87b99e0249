//! What is not counted but looked at when somebody asks: the keys as they are, the store, the process.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use api_key_lb_core::Moment;

use super::observe::{float, pool_name};
use super::process::Process;
use super::series::Family;
use super::table;
use crate::health::Health;

/// Every state that a key can be in.
pub const STATES: &[&str] = &[
    "ready",
    "recovering",
    "cooling",
    "parked",
    "refused",
    "disabled",
];

/// How it is going now.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// The version of the program.
    pub version: String,
    /// When it began to serve.
    pub started: Moment,
    /// The keys of the configuration in force.
    pub keys: Vec<KeyGauges>,
    /// Conversations remembered.
    pub sessions: u64,
    /// Requests that wait for an account.
    pub waiting: u64,
    /// Facts that were lost.
    pub facts_dropped: u64,
    /// What outlives the process, if anything does.
    pub store: Option<StoreGauges>,
    /// Whether the configuration has an error, so that the one before is in force.
    pub config_error: bool,
    /// How many settings wait for a restart.
    pub needs_restart: usize,
}

/// A key as it is now.
#[derive(Clone, Debug, Default)]
pub struct KeyGauges {
    /// The pool it is in; empty for the default one.
    pub pool: String,
    /// What people call it.
    pub label: String,
    /// One of [`STATES`].
    pub state: String,
    /// Until it is used again; zero if it is.
    pub cooldown: Duration,
    /// What is left of its limits, of 1, by what they count.
    pub headroom: Vec<(Cow<'static, str>, f64)>,
    /// Attempts that it serves.
    pub in_flight: u64,
}

/// The store as it is now.
#[derive(Clone, Debug, Default)]
pub struct StoreGauges {
    /// Whether it can be written.
    pub works: bool,
    /// Its size.
    pub bytes: u64,
}

impl Gauges {
    /// As far as `health` tells, which knows nothing of headroom.
    pub fn of(health: &Health, started: Moment) -> Self {
        let keys = health.keys.iter().map(|key| KeyGauges {
            pool: key.pool.clone().unwrap_or_default(),
            label: key.label.clone().unwrap_or_default(),
            state: match (key.refused_for_ms, key.retry_in_ms) {
                (Some(_), _) => "refused",
                (None, Some(_)) => "cooling",
                (None, None) => "ready",
            }
            .to_owned(),
            cooldown: Duration::from_millis(key.retry_in_ms.unwrap_or(0)),
            headroom: Vec::new(),
            in_flight: key.in_flight.unwrap_or(0),
        });
        let store = health.store.as_ref().filter(|store| store.status != "off");
        Self {
            version: health.version.clone().unwrap_or_default(),
            started,
            keys: keys.collect(),
            sessions: health.sessions,
            waiting: health.waiting.unwrap_or(0),
            facts_dropped: health.dropped_facts.unwrap_or(0),
            store: store.map(|store| StoreGauges {
                works: store.problem.is_none(),
                bytes: store.bytes.unwrap_or(0),
            }),
            config_error: health.config_error.is_some(),
            needs_restart: health.needs_restart.len(),
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let process = Process::now();
        let one = Family::single;
        let states = self.keys.iter().flat_map(|key| {
            STATES.iter().map(|state| {
                let mut labels = key.labels();
                labels.push(Cow::Borrowed(*state));
                (labels, flag(*state == key.state))
            })
        });
        // Limits that are counted for each model alone are called alike: the least of them counts,
        // and no series may be there twice.
        let mut headroom: BTreeMap<Vec<Cow<'static, str>>, f64> = BTreeMap::new();
        for key in &self.keys {
            for (what, left) in &key.headroom {
                let mut labels = key.labels();
                labels.push(what.clone());
                let least = headroom.entry(labels).or_insert(f64::INFINITY);
                *least = least.min(*left);
            }
        }
        let keys = || self.keys.iter();
        let version = (vec![Cow::Owned(self.version.clone())], 1.0);
        let started = seconds(self.started.unix_millis());
        vec![
            Family::of(&table::KEY_STATE, states),
            Family::of(
                &table::KEY_COOLDOWN,
                keys().map(|key| (key.labels(), key.cooldown.as_secs_f64())),
            ),
            Family::of(&table::KEY_HEADROOM, headroom),
            Family::of(
                &table::IN_FLIGHT,
                keys().map(|key| (key.labels(), float(key.in_flight))),
            ),
            one(&table::SESSIONS, Some(float(self.sessions))),
            one(&table::WAITING, Some(float(self.waiting))),
            one(&table::FACTS_DROPPED, Some(float(self.facts_dropped))),
            one(
                &table::STORE_UP,
                self.store.as_ref().map(|store| flag(store.works)),
            ),
            one(
                &table::STORE_BYTES,
                self.store.as_ref().map(|store| float(store.bytes)),
            ),
            one(&table::RELOAD_OK, Some(flag(!self.config_error))),
            one(
                &table::NEEDS_RESTART,
                Some(float(self.needs_restart as u64)),
            ),
            Family::of(&table::BUILD_INFO, [version]),
            one(&table::PROCESS_START, Some(started)),
            one(&table::PROCESS_CPU, process.cpu),
            one(&table::PROCESS_RESIDENT, process.resident),
            one(&table::PROCESS_VIRTUAL, process.mapped),
            one(&table::PROCESS_FDS, process.files),
            one(&table::PROCESS_MAX_FDS, process.most_files),
            one(&table::PROCESS_THREADS, process.threads),
        ]
    }
}

impl KeyGauges {
    fn labels(&self) -> Vec<Cow<'static, str>> {
        let pool = pool_name(&self.pool).to_owned();
        vec![Cow::Owned(pool), Cow::Owned(self.label.clone())]
    }
}

const fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}
