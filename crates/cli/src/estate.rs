//! What a process that takes over has still to be told: what has been learned since it read the store,
//! and whatever is learned until the last answer here has ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api_key_lb_core::policy::memory::Memory;
use api_key_lb_engine::State;

/// Rows that are told at a time, for which the policy is locked: 10 µs (`bench/deciding`).
const ROWS_AT_A_TIME: usize = 64;
/// Rows kept of what the store takes while a new process starts, some 30 MB. Of more, everything is
/// told instead.
const MOST_ROWS: usize = 65_536;

/// What has to be told.
#[derive(Debug)]
pub(crate) struct Estate {
    state: Arc<State>,
    taken: Mutex<Taken>,
}

/// What the store has taken since a process was started that is to take over.
#[derive(Debug, Default)]
enum Taken {
    /// There is no such process.
    #[default]
    Unwanted,
    /// These, so many rows.
    Rows(VecDeque<Memory>, usize),
    /// More than can be kept.
    TooMuch,
}

impl Estate {
    pub(crate) fn of(state: Arc<State>) -> Self {
        Self {
            state,
            taken: Mutex::default(),
        }
    }

    /// Whose it is.
    pub(crate) const fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// A process is to be started that reads the store and then takes over.
    pub(crate) fn open(&self) {
        *self.taken() = Taken::Rows(VecDeque::new(), 0);
    }

    /// It does not take over.
    pub(crate) fn close(&self) {
        *self.taken() = Taken::Unwanted;
    }

    /// The store takes these rows.
    pub(crate) fn note(&self, rows: &Memory) {
        let mut taken = self.taken();
        let Taken::Rows(kept, count) = &mut *taken else {
            return;
        };
        if rows.is_empty() {
            return;
        }
        *count += rows.len();
        if *count > MOST_ROWS {
            *taken = Taken::TooMuch;
        } else {
            kept.push_back(rows.clone());
        }
    }

    /// From now on what is learned can be waited for. If the new process has read nothing, there is
    /// everything to tell.
    pub(crate) fn bequeath(&self, everything: bool) {
        self.state.follow();
        let mut taken = self.taken();
        if everything || matches!(*taken, Taken::TooMuch) {
            *taken = Taken::Unwanted;
            drop(taken);
            self.state.forgotten();
        }
    }

    /// What is to be told next; nothing if there is nothing now.
    pub(crate) fn next(&self) -> Memory {
        if let Taken::Rows(kept, _) = &mut *self.taken()
            && let Some(rows) = kept.pop_front()
        {
            return rows;
        }
        self.state.changes(ROWS_AT_A_TIME)
    }

    /// Waits until there is more.
    pub(crate) async fn news(&self) {
        self.state.news().await;
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
