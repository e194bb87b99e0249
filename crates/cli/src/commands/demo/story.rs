//! What happened in the demo, and whether it is what was promised.

use std::collections::BTreeSet;
use std::time::Duration;

/// One answered request.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// Who asked.
    pub(super) agent: &'static str,
    /// Which turn of the conversation, from 1.
    pub(super) turn: usize,
    /// Whether a key was throttled at that time.
    pub(super) throttled: bool,
    /// The status of the answer; 0 if there was none.
    pub(super) status: u16,
    /// The label in `x-lb-key`.
    pub(super) key: String,
    /// The word in `x-lb-affinity`.
    pub(super) affinity: String,
    /// The number in `x-lb-attempts`.
    pub(super) attempts: u64,
    /// Tokens of the prompt.
    pub(super) prompt: u64,
    /// Tokens of it that came from the cache.
    pub(super) cached: u64,
    /// How long the answer took.
    pub(super) took: Duration,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// In the order they were asked.
    pub(super) steps: Vec<Step>,
    /// The label of the key that was throttled for a while.
    pub(super) throttled_key: String,
}

/// What it comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) requests: usize,
    pub(super) failed: usize,
    pub(super) retried: usize,
    pub(super) keys: usize,
    pub(super) prompt: u64,
    pub(super) cached: u64,
}

impl Story {
    /// The key that answered the agent's first request.
    pub(super) fn home(&self, agent: &str) -> Option<&str> {
        self.steps
            .iter()
            .find(|step| step.agent == agent)
            .map(|step| step.key.as_str())
    }

    fn at_home(&self, step: &Step) -> bool {
        self.home(step.agent) == Some(step.key.as_str())
    }

    /// The sums.
    pub(super) fn totals(&self) -> Totals {
        let keys: BTreeSet<&str> = self.steps.iter().map(|step| step.key.as_str()).collect();
        Totals {
            requests: self.steps.len(),
            failed: self.steps.iter().filter(|step| step.status != 200).count(),
            retried: self.steps.iter().filter(|step| step.attempts > 1).count(),
            keys: keys.len(),
            prompt: self.steps.iter().map(|step| step.prompt).sum(),
            cached: self.steps.iter().map(|step| step.cached).sum(),
        }
    }

    /// Every promise that did not come true, in words; empty if the story is true.
    pub(super) fn untrue(&self) -> Vec<String> {
        let mut untrue: Vec<String> = self
            .steps
            .iter()
            .filter_map(|step| self.broken_promise(step))
            .collect();
        let hit = |step: &Step| step.throttled && step.attempts > 1;
        if !self.steps.iter().any(hit) {
            untrue.push("no request met the throttled key and was retried".to_owned());
        }
        let back = |agent: &str| {
            self.steps
                .iter()
                .any(|step| step.agent == agent && step.affinity == "home" && self.at_home(step))
        };
        let lent: BTreeSet<&str> = self
            .steps
            .iter()
            .filter(|step| step.throttled && !self.at_home(step))
            .map(|step| step.agent)
            .collect();
        for agent in lent {
            let last = self.steps.iter().rfind(|step| step.agent == agent);
            if !last.is_some_and(|step| self.at_home(step)) || !back(agent) {
                untrue.push(format!("the conversation of {agent} did not return home"));
            }
        }
        untrue
    }

    fn broken_promise(&self, step: &Step) -> Option<String> {
        let Step { agent, turn, .. } = step;
        let home = self.home(agent).unwrap_or_default();
        let lent = step.throttled && home == self.throttled_key;
        let wrong = if step.status != 200 {
            format!("was answered with status {}", step.status)
        } else if step.key.is_empty() {
            "does not say which key answered".to_owned()
        } else if lent && self.at_home(step) {
            format!("was answered by {}, which was throttled", step.key)
        } else if lent && step.affinity != "borrowed" {
            format!("is called {}, not borrowed", step.affinity)
        } else if !lent && !self.at_home(step) {
            format!("was answered by {}, not by {home}", step.key)
        } else if *turn > 1 && self.at_home(step) && step.cached == 0 {
            format!("was answered by {home}, but nothing came from its cache")
        } else {
            return None;
        };
        Some(format!("turn {turn} of {agent} {wrong}"))
    }
}

/// `part` of `whole` in whole percent.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).checked_div(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(agent: &'static str, turn: usize, key: &str, affinity: &str) -> Step {
        Step {
            agent,
            turn,
            throttled: turn == 3,
            status: 200,
            key: key.into(),
            affinity: affinity.into(),
            attempts: if affinity == "borrowed" { 2 } else { 1 },
            prompt: 2000,
            cached: if affinity == "home" { 1500 } else { 0 },
            ..Step::default()
        }
    }

    fn story() -> Story {
        Story {
            steps: vec![
                step("ada", 1, "alpha", "new"),
                step("grace", 1, "beta", "new"),
                step("ada", 2, "alpha", "home"),
                step("grace", 2, "beta", "home"),
                step("ada", 3, "gamma", "borrowed"),
                step("grace", 3, "beta", "home"),
                step("ada", 4, "alpha", "home"),
                step("grace", 4, "beta", "home"),
            ],
            throttled_key: "alpha".into(),
        }
    }

    fn untrue_after(change: impl Fn(&mut Story)) -> String {
        let mut story = story();
        change(&mut story);
        story.untrue().join("; ")
    }

    #[test]
    fn a_story_as_promised_is_true() {
        assert_eq!(story().untrue(), Vec::<String>::new());
        let totals = story().totals();
        assert_eq!((totals.requests, totals.failed, totals.retried), (8, 0, 1));
        assert_eq!(
            (totals.keys, totals.prompt, totals.cached),
            (3, 16_000, 7_500)
        );
    }

    #[test]
    fn an_answer_that_is_no_200_is_told() {
        let untrue = untrue_after(|story| story.steps[1].status = 429);
        assert!(
            untrue.contains("turn 1 of grace was answered with status 429"),
            "{untrue}"
        );
    }

    #[test]
    fn a_conversation_that_changes_its_key_without_need_is_told() {
        let untrue = untrue_after(|story| story.steps[5].key = "gamma".into());
        assert!(
            untrue.contains("turn 3 of grace was answered by gamma, not by beta"),
            "{untrue}"
        );
    }

    #[test]
    fn using_the_throttled_key_is_told() {
        let untrue = untrue_after(|story| story.steps[4].key = "alpha".into());
        assert!(untrue.contains("which was throttled"), "{untrue}");
    }

    #[test]
    fn a_conversation_that_does_not_return_home_is_told() {
        let untrue = untrue_after(|story| story.steps[6].key = "gamma".into());
        assert!(untrue.contains("ada did not return home"), "{untrue}");
    }

    #[test]
    fn a_cold_cache_at_home_is_told_but_not_one_of_a_borrowed_key() {
        let untrue = untrue_after(|story| story.steps[3].cached = 0);
        assert!(untrue.contains("nothing came from its cache"), "{untrue}");
        assert_eq!(untrue_after(|story| story.steps[4].cached = 0), "");
    }

    #[test]
    fn a_throttling_that_nobody_met_is_told() {
        let untrue = untrue_after(|story| story.steps[4].attempts = 1);
        assert!(
            untrue.contains("no request met the throttled key"),
            "{untrue}"
        );
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!((percent(1, 3), percent(0, 0)), (33, 0));
    }
}
