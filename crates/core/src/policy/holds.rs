//! Requests that wait for an account, first come, first served.

use std::collections::BTreeSet;

use super::hashed::Hashed;
use crate::fact::ModelId;
use crate::plan::AccountId;

/// Requests held at once: beyond so many, waiting would only pile up memory.
const MOST: usize = 1_000;

/// A place in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// What is waited for: an account, for one model. Those who wait for a model that cools must not
/// keep others from the account's free slots.
pub(super) type Line = (AccountId, Option<ModelId>);

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Holds {
    waiting: Hashed<Line, BTreeSet<Ticket>>,
    count: usize,
    next: u64,
}

impl Holds {
    /// Whether one more may wait.
    pub(super) const fn has_room(&self) -> bool {
        self.count < MOST
    }

    /// How many wait.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The next place in the order of arrival.
    pub(super) const fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }

    /// The one with the ticket waits there from now on.
    pub(super) fn wait(&mut self, ticket: Ticket, line: Line) {
        let is_new = self.waiting.entry(line).or_default().insert(ticket);
        self.count += usize::from(is_new);
    }

    /// It waits no more.
    pub(super) fn leave(&mut self, ticket: Ticket, line: Line) {
        let Some(tickets) = self.waiting.get_mut(&line) else {
            return;
        };
        self.count -= usize::from(tickets.remove(&ticket));
        if tickets.is_empty() {
            self.waiting.remove(&line);
        }
    }

    /// How many wait there before the one with the ticket, counted up to `most`. Who has none comes
    /// after all who have one.
    pub(super) fn ahead(&self, line: Line, ticket: Option<Ticket>, most: usize) -> usize {
        if self.count == 0 {
            return 0;
        }
        let Some(tickets) = self.waiting.get(&line) else {
            return 0;
        };
        match ticket {
            Some(ticket) => tickets.range(..ticket).take(most).count(),
            None => tickets.len().min(most),
        }
    }

    /// An account has turned out to be another one.
    pub(super) fn rename(&mut self, from: AccountId, to: AccountId) {
        let lines: Vec<Line> = self
            .waiting
            .keys()
            .filter(|(account, _)| *account == from)
            .copied()
            .collect();
        for line in lines {
            let tickets = self.waiting.remove(&line).unwrap_or_default();
            self.waiting
                .entry((to, line.1))
                .or_default()
                .extend(tickets);
        }
    }
}
