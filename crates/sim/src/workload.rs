//! Generated requests of agents: sessions that grow, think, branch off sub-agents and share prompts.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::request::{BLOCK_TOKENS, PATIENCE_MS, Request};
use crate::rng::Rng;

/// The first block ids of system prompts, canned messages and everything else, far apart.
const SYSTEM_IDS: u64 = 1 << 40;
const CANNED_IDS: u64 = 1 << 41;
/// Block ids of one kind of agent.
const IDS_OF_A_KIND: u64 = 1 << 16;
/// Tokens of what an agent asks besides its conversation: titles, summaries, file names.
const SIDE_TOKENS: RangeInclusive<u64> = 200..=3000;

/// What a workload is like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Sessions.
    pub sessions: usize,
    /// Within which time they begin, in milliseconds.
    pub begin_within_ms: u64,
    /// Turns of a session.
    pub turns: RangeInclusive<u64>,
    /// Kinds of agents; those of a kind share their system prompt.
    pub kinds: u64,
    /// Blocks of a system prompt.
    pub system_blocks: RangeInclusive<u64>,
    /// Blocks of canned messages after it, which all sessions of a kind share; 0 for most agents.
    pub canned_blocks: RangeInclusive<u64>,
    /// Tokens of the first message.
    pub first_tokens: RangeInclusive<u64>,
    /// Tokens that a turn adds.
    pub turn_tokens: RangeInclusive<u64>,
    /// Tokens of an answer.
    pub output_tokens: RangeInclusive<u64>,
    /// Mean time between an answer and the next turn, in milliseconds.
    pub think_ms: u64,
    /// Share of the sessions that send no id.
    pub anonymous: f64,
    /// Share of the turns at which a sub-agent branches off, with a new id.
    pub branches: f64,
    /// Share of the turns that are accompanied by a small request to another model.
    pub side_requests: f64,
    /// Share of the turns that come again as they were.
    pub regenerates: f64,
    /// Share of the turns after which the history is replaced by a summary.
    pub compacts: f64,
    /// Models of conversations.
    pub models: u32,
    /// How long clients wait for the first byte, in milliseconds; each session picks one.
    pub patience_ms: Vec<u64>,
    /// Share of the requests whose client leaves before long.
    pub leaves: f64,
    /// Share of the requests that must not be sent twice.
    pub unrepeatable: f64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            sessions: 8,
            begin_within_ms: 60_000,
            turns: 1..=20,
            kinds: 1,
            system_blocks: 4..=20,
            canned_blocks: 0..=0,
            first_tokens: 200..=4000,
            turn_tokens: 200..=6000,
            output_tokens: 50..=800,
            think_ms: 5000,
            anonymous: 0.0,
            branches: 0.0,
            side_requests: 0.0,
            regenerates: 0.0,
            compacts: 0.0,
            models: 1,
            patience_ms: vec![PATIENCE_MS],
            leaves: 0.0,
            unrepeatable: 0.0,
        }
    }
}

impl Shape {
    /// Coding agents at work: 8 sessions that grow to some 150 000 tokens in 40 turns each, with
    /// seconds between their turns.
    pub fn coding() -> Self {
        Self {
            sessions: 8,
            begin_within_ms: 120_000,
            turns: 40..=40,
            system_blocks: 20..=20,
            turn_tokens: 500..=6500,
            output_tokens: 100..=900,
            think_ms: 8000,
            branches: 0.03,
            side_requests: 0.1,
            ..Self::default()
        }
    }
}

/// The requests of a workload of this shape. Those that follow another one name it.
pub fn generate(shape: &Shape, rng: &mut Rng) -> Vec<Request> {
    let mut maker = Maker {
        shape,
        rng: rng.fork(),
        requests: Vec::new(),
        next_block: 0,
        next_session: 0,
        kinds: Vec::new(),
    };
    for kind in 0..shape.kinds.max(1) {
        let system = maker.rng.within(&shape.system_blocks);
        let canned = maker.rng.within(&shape.canned_blocks);
        let ids = |first: u64, count: u64| {
            (0..count).map(move |block| first + kind * IDS_OF_A_KIND + block)
        };
        maker.kinds.push(Kind {
            system: system as usize,
            canned: canned as usize,
            blocks: ids(SYSTEM_IDS, system)
                .chain(ids(CANNED_IDS, canned))
                .collect(),
        });
    }
    for _ in 0..shape.sessions {
        let at = maker.rng.below(shape.begin_within_ms.max(1));
        maker.session(at);
    }
    maker.requests
}

#[derive(Clone, Debug)]
struct Kind {
    system: usize,
    canned: usize,
    blocks: Vec<u64>,
}

struct Maker<'s> {
    shape: &'s Shape,
    rng: Rng,
    requests: Vec<Request>,
    next_block: u64,
    next_session: u64,
    kinds: Vec<Kind>,
}

/// A conversation as it grows.
#[derive(Clone, Debug)]
struct Talk {
    kind: Kind,
    /// Full blocks.
    blocks: Vec<u64>,
    /// Tokens beyond them.
    rest: u64,
    session: Option<u64>,
    parent: Option<u64>,
    model: u32,
    patience_ms: u64,
}

impl Maker<'_> {
    fn session(&mut self, at: u64) {
        let Some(kind) = self.rng.pick(&self.kinds).cloned() else {
            return;
        };
        let mut talk = Talk {
            blocks: kind.blocks.clone(),
            kind,
            rest: 0,
            session: self.id(),
            parent: None,
            model: self.rng.below(u64::from(self.shape.models.max(1))) as u32,
            patience_ms: self
                .rng
                .pick(&self.shape.patience_ms)
                .copied()
                .unwrap_or(PATIENCE_MS),
        };
        let first = self.rng.within(&self.shape.first_tokens);
        self.say(&mut talk, first);
        let turns = self.rng.within(&self.shape.turns);
        self.turns(&mut talk, turns, None, at);
    }

    fn id(&mut self) -> Option<u64> {
        self.next_session += 1;
        let named = !self.rng.chance(self.shape.anonymous);
        named.then_some(self.next_session)
    }

    /// Sends `turns` requests, the first of them `at` after `follows` is over.
    fn turns(&mut self, talk: &mut Talk, turns: u64, follows: Option<usize>, at: u64) {
        let (mut follows, mut at) = (follows, at);
        for turn in 0..turns {
            let row = self.send(talk, follows, at);
            if self.rng.chance(self.shape.regenerates) {
                let think = self.think();
                let again = Request {
                    follows: Some(row),
                    at_ms: think,
                    ..self.requests[row].clone()
                };
                self.requests.push(again);
            }
            if self.rng.chance(self.shape.side_requests) {
                self.side(talk, follows, at);
            }
            // Sub-agents do not have sub-agents.
            if talk.parent.is_none() && self.rng.chance(self.shape.branches) {
                let mut branch = Talk {
                    session: self.id(),
                    parent: talk.session,
                    ..talk.clone()
                };
                let task = self.rng.within(&self.shape.first_tokens);
                self.say(&mut branch, task);
                let turns = self.rng.within(&(1..=4));
                let think = self.think();
                self.turns(&mut branch, turns, Some(row), think);
            }
            if turn > 2 && self.rng.chance(self.shape.compacts) {
                talk.blocks.truncate(talk.kind.blocks.len());
                talk.rest = 0;
                let summary = self.rng.within(&(500..=3000));
                self.say(talk, summary);
            }
            let more = self.requests[row].output_tokens + self.rng.within(&self.shape.turn_tokens);
            self.say(talk, more);
            follows = Some(row);
            at = self.think();
        }
    }

    fn think(&mut self) -> u64 {
        self.rng.skewed(self.shape.think_ms)
    }

    fn block(&mut self) -> u64 {
        self.next_block += 1;
        self.next_block
    }

    fn say(&mut self, talk: &mut Talk, tokens: u64) {
        talk.rest += tokens;
        while talk.rest >= BLOCK_TOKENS {
            talk.rest -= BLOCK_TOKENS;
            let block = self.block();
            talk.blocks.push(block);
        }
    }

    fn send(&mut self, talk: &Talk, follows: Option<usize>, at: u64) -> usize {
        let mut blocks = talk.blocks.clone();
        if talk.rest > 0 {
            // Not full, so what is in its place next turn is another one.
            blocks.push(self.block());
        }
        let leaves = self.rng.chance(self.shape.leaves);
        let (system, canned) = (talk.kind.system, talk.kind.canned);
        let request = Request {
            at_ms: at,
            follows,
            input_tokens: talk.blocks.len() as u64 * BLOCK_TOKENS + talk.rest,
            output_tokens: self.rng.within(&self.shape.output_tokens),
            blocks: Arc::from(blocks),
            system_blocks: system,
            // The canned messages hold replies: what comes before the first one is the same for
            // all, and who looks no further takes all sessions for one.
            opening_blocks: system + usize::from(canned == 0).max(canned.min(1)),
            session: talk.session,
            parent: talk.parent,
            model: talk.model,
            patience_ms: talk.patience_ms,
            leaves_after_ms: leaves.then(|| self.rng.below(20_000)),
            repeatable: !self.rng.chance(self.shape.unrepeatable),
        };
        self.requests.push(request);
        self.requests.len() - 1
    }

    /// A small request at the same time to another model, with the same id.
    fn side(&mut self, talk: &Talk, follows: Option<usize>, at: u64) {
        let tokens = self.rng.within(&SIDE_TOKENS);
        let blocks: Vec<u64> = (0..tokens.div_ceil(BLOCK_TOKENS))
            .map(|_| self.block())
            .collect();
        self.requests.push(Request {
            at_ms: at,
            follows,
            input_tokens: tokens,
            output_tokens: 30,
            blocks: Arc::from(blocks),
            opening_blocks: 1,
            session: talk.session,
            model: talk.model + self.shape.models.max(1),
            patience_ms: talk.patience_ms,
            ..Request::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_grows_and_keeps_its_prefix() {
        let requests = generate(&Shape::coding(), &mut Rng::seeded(7));
        let longest = requests.iter().map(|request| request.input_tokens).max();
        assert!(
            (100_000..250_000).contains(&longest.unwrap()),
            "{longest:?}"
        );
        for (row, request) in requests.iter().enumerate() {
            let blocks = request.blocks.len() as u64;
            assert_eq!(blocks, request.input_tokens.div_ceil(BLOCK_TOKENS));
            let Some(earlier) = request.follows.filter(|_| request.model == 0) else {
                continue;
            };
            assert!(earlier < row);
            let earlier = &requests[earlier].blocks;
            assert_eq!(
                earlier[..earlier.len() - 1],
                request.blocks[..earlier.len() - 1]
            );
        }
    }

    #[test]
    fn a_seed_means_the_same_requests() {
        let shape = Shape::coding();
        let one = generate(&shape, &mut Rng::seeded(3));
        assert_eq!(one, generate(&shape, &mut Rng::seeded(3)));
        assert_ne!(one, generate(&shape, &mut Rng::seeded(4)));
    }
}
