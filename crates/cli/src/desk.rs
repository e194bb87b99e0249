//! What the process is asked to do over HTTP, and what came of it: a worker takes the order, the thread
//! that waits for signals carries it out, and whoever ordered it asks for the outcome.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Outcomes remembered; nobody asks for one after that many others.
const REMEMBERED: usize = 32;

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// To end.
    Stop,
    /// To read the configuration again.
    Reload,
    /// To hand over to a new process.
    Restart,
}

/// What came of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Why it could not be carried out; nothing has changed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What is different now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) applied: Vec<String>,
    /// What has to wait for a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs_restart: Vec<String>,
    /// What to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Outcome {
    /// It could not be carried out.
    pub(crate) fn failed(why: impl ToString) -> Self {
        Self {
            error: Some(why.to_string()),
            ..Self::default()
        }
    }
}

/// Orders and outcomes.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    papers: Mutex<Papers>,
    ordered: Notify,
}

#[derive(Debug, Default)]
struct Papers {
    orders: VecDeque<(u64, Order)>,
    /// The numbers of those that are not done yet: a restart takes longer than what is ordered after it.
    open: Vec<u64>,
    outcomes: VecDeque<(u64, Outcome)>,
    last: u64,
}

/// How it stands with an order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is not carried out yet.
    Open,
    /// It is done.
    Done(Outcome),
    /// There is no such order, or it was too long ago.
    Unknown,
}

impl Desk {
    /// Takes an order and gives it a number.
    pub(crate) fn order(&self, order: Order) -> u64 {
        let mut papers = self.papers();
        papers.last += 1;
        let number = papers.last;
        papers.orders.push_back((number, order));
        papers.open.push(number);
        drop(papers);
        self.ordered.notify_one();
        number
    }

    /// The next order. One waiter at a time.
    pub(crate) async fn next(&self) -> (u64, Order) {
        loop {
            let first = self.papers().orders.pop_front();
            match first {
                Some(order) => return order,
                None => self.ordered.notified().await,
            }
        }
    }

    /// An order is done.
    pub(crate) fn done(&self, number: u64, outcome: Outcome) {
        let mut papers = self.papers();
        papers.open.retain(|open| *open != number);
        if papers.outcomes.len() == REMEMBERED {
            papers.outcomes.pop_front();
        }
        papers.outcomes.push_back((number, outcome));
    }

    /// How it stands with an order.
    pub(crate) fn standing(&self, number: u64) -> Standing {
        let papers = self.papers();
        let mut outcomes = papers.outcomes.iter();
        match outcomes.find(|(done, _)| *done == number) {
            Some((_, outcome)) => Standing::Done(outcome.clone()),
            None if papers.open.contains(&number) => Standing::Open,
            None => Standing::Unknown,
        }
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_open_until_it_is_done_and_then_its_outcome_can_be_asked_for() {
        let desk = Desk::default();
        let (one, two) = (desk.order(Order::Reload), desk.order(Order::Restart));
        assert_eq!(desk.standing(one), Standing::Open);
        desk.done(one, Outcome::failed("no"));
        assert_eq!(desk.standing(one), Standing::Done(Outcome::failed("no")));
        assert_eq!(desk.standing(two), Standing::Open);
        assert_eq!(desk.standing(9), Standing::Unknown);
        for _ in 0..REMEMBERED {
            let number = desk.order(Order::Reload);
            desk.done(number, Outcome::default());
        }
        assert_eq!(desk.standing(one), Standing::Unknown);
    }

    #[test]
    fn an_order_that_takes_long_is_open_whatever_was_done_meanwhile() {
        let desk = Desk::default();
        let long = desk.order(Order::Restart);
        for _ in 0..=REMEMBERED {
            let number = desk.order(Order::Reload);
            desk.done(number, Outcome::default());
        }
        assert_eq!(desk.standing(long), Standing::Open);
    }

    #[test]
    fn orders_come_in_their_order() {
        let desk = Desk::default();
        desk.order(Order::Reload);
        desk.order(Order::Stop);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let next = || runtime.block_on(desk.next());
        assert_eq!([next(), next()], [(1, Order::Reload), (2, Order::Stop)]);
    }
}
