//! The thread that prints a line for each request, from the facts the engine leaves behind.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use api_key_lb_control::config::{LogFormat, LogLevel};
use api_key_lb_control::ledger;
use api_key_lb_control::store::Tally;
use api_key_lb_core::fact::Hidden;
use api_key_lb_core::{KeyId, Moment, Plan};
use api_key_lb_engine::State;

use crate::live::Live;
use crate::management::Observer;
use crate::printer::Printer;
use crate::priority;

/// Pause after a batch: under load at most 20 wakeups and writes a second.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for a fact; also how late the thread notices that it shall end.
const IDLE_WAIT: Duration = Duration::from_millis(250);

/// The running thread.
#[derive(Debug)]
pub(crate) struct Log {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Log {
    /// Starts printing. Facts are taken from the queue even if none is to be printed: a full
    /// queue would be reported as lost facts.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub(crate) fn start(
        state: Arc<State>,
        live: Arc<Live>,
        tally: Option<Arc<Tally>>,
        observer: Observer,
        printer: Printer,
    ) -> io::Result<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                priority::give_way();
                print_until(&ended, &state, &live, tally.as_deref(), &observer, printer);
            })?;
        Ok(Self { end, thread })
    }

    /// Prints what is left and ends.
    pub(crate) fn finish(self) {
        self.end.store(true, Ordering::Release);
        // Fails only if the thread panicked, which has printed its own message.
        let _ = self.thread.join();
    }
}

fn print_until(
    end: &AtomicBool,
    state: &State,
    live: &Live,
    tally: Option<&Tally>,
    observer: &Observer,
    printer: Printer,
) {
    let mut plan = state.plan();
    let mut labels = HashMap::new();
    let mut hidden = Hidden::default();
    hidden.learn(observer.token());
    learn(&plan, &mut labels, &mut hidden);
    observer.learn(&plan);
    let mut dropped = 0;
    loop {
        let ending = end.load(Ordering::Acquire);
        let mut facts = state
            .facts()
            .wait(if ending { Duration::ZERO } else { IDLE_WAIT });
        let now = state.plan();
        if !Arc::ptr_eq(&plan, &now) {
            learn(&now, &mut labels, &mut hidden);
            observer.learn(&now);
            plan = now;
        }
        // Here, before anybody is told: it costs the workers nothing.
        facts.iter_mut().for_each(|fact| hidden.hide(fact));
        let label_of = |key: KeyId| {
            labels
                .get(&key)
                .map_or_else(|| key.to_string(), String::clone)
        };
        let shown = live.now();
        let level = shown.log;
        if let Some(tally) = tally {
            tally.count(&facts);
        }
        observer.observe(&facts, &label_of, &shown.prices);
        let mut lines: Vec<String> = facts
            .iter()
            .filter(|fact| ledger::wanted(level, fact))
            .map(|fact| match shown.log_format {
                LogFormat::Human => ledger::line(fact, &label_of),
                LogFormat::Json => ledger::json(fact, &label_of, &shown.prices),
            })
            .collect();
        let now_dropped = state.facts().dropped();
        if now_dropped > dropped && level != LogLevel::Off {
            let more = now_dropped - dropped;
            lines.push(missing(more, shown.log_format, state.now()));
        }
        dropped = now_dropped;
        printer.log(lines);
        match (facts.is_empty(), ending) {
            (true, true) => return,
            (false, false) => std::thread::sleep(BATCH_PAUSE),
            _ => {}
        }
    }
}

/// That so many requests left no line.
fn missing(more: u64, format: LogFormat, now: Moment) -> String {
    let words =
        format!("{more} requests are missing here: there were more than could be written down");
    match format {
        LogFormat::Human => words,
        LogFormat::Json => ledger::json_message(now, "warning", &words, Some(more)),
    }
}

/// The labels of a plan, and its credentials. Those of keys that are gone stay: their last requests may still
/// run.
fn learn(plan: &Plan, labels: &mut HashMap<KeyId, String>, hidden: &mut Hidden) {
    let secrets = plan.pools().flat_map(|pool| &pool.keys);
    let secrets = secrets.map(|key| &key.secret);
    secrets
        .chain(&plan.guard.client_tokens)
        .for_each(|secret| hidden.learn(secret));
    let keys = plan.pools().flat_map(|pool| &pool.keys);
    labels.extend(keys.map(|key| (key.id, key.label.clone())));
}
