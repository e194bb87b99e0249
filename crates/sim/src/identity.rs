//! What the proxy would have read of a simulated request: its id, and its messages as a chain.

use std::sync::Arc;

use api_key_lb_core::conversation::{Conversation, Identity, MAX_LINKS, Named};
use api_key_lb_core::fact::{ModelId, SessionId};

use crate::request::Request;
use crate::rng::mix;

/// The rule that finds the ids, as the ladder names the usual one.
const RULE: &str = "x-session-id";

/// What `request` says about which conversation it belongs to.
pub fn of(request: &Request) -> Identity {
    Identity {
        named: request.session.map(|session| Named {
            session: session_id(session),
            rule: Arc::from(RULE),
            may_be_shared: false,
        }),
        parent: request.parent.map(session_id),
        conversation: conversation(request),
        ..Identity::default()
    }
}

/// The model called by this number.
pub fn model(number: u32) -> ModelId {
    ModelId::of(&format!("model-{number}"))
}

fn session_id(number: u64) -> SessionId {
    SessionId((u128::from(mix(number)) << 64) | u128::from(mix(!number)))
}

/// One message a block, as far as it is not the system prompt.
fn conversation(request: &Request) -> Conversation {
    let system = chain(
        0,
        &request.blocks[..request.system_blocks.min(request.blocks.len())],
    )
    .last()
    .copied()
    .unwrap_or(0);
    let said = request.blocks.get(request.system_blocks..).unwrap_or(&[]);
    let links: Vec<u64> = chain(system, said).into_iter().take(MAX_LINKS).collect();
    let before_reply = request
        .opening_blocks
        .saturating_sub(request.system_blocks)
        .clamp(1, links.len().max(1));
    let opener = links.get(before_reply - 1);
    let ends = (1..=links.len()).map(|messages| {
        let bytes =
            crate::request::TOKEN_BYTES * request.tokens_of(request.system_blocks + messages);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    });
    Conversation {
        ends: ends.collect(),
        before_reply,
        // What stands last is the client's; if more than the opening is there, a reply is, too.
        last_reply: if links.len() > before_reply {
            links.len() - 1
        } else {
            0
        },
        opener: opener.map(|link| (u128::from(system) << 64) | u128::from(*link)),
        system,
        links,
    }
}

fn chain(seed: u64, blocks: &[u64]) -> Vec<u64> {
    let mut link = seed;
    let next = |block: &u64| {
        link = mix(link ^ mix(*block));
        link
    };
    blocks.iter().map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(blocks: &[u64], system: usize, opening: usize) -> Request {
        Request {
            input_tokens: blocks.len() as u64 * 512 - 12,
            blocks: Arc::from(blocks),
            system_blocks: system,
            opening_blocks: opening,
            ..Request::default()
        }
    }

    #[test]
    fn links_are_equal_as_far_as_the_blocks_are() {
        let one = of(&request(&[1, 2, 3, 4], 0, 2)).conversation;
        let other = of(&request(&[1, 2, 5, 4], 0, 2)).conversation;
        assert_eq!(one.links[..2], other.links[..2]);
        assert_ne!(one.links[2], other.links[2]);
        assert_ne!(one.links[3], other.links[3]);
        assert_eq!(one.opener, other.opener);
        assert_eq!((one.before_reply, one.last_reply), (2, 3));
        assert_eq!(one.ends, [2048, 4096, 6144, 8144]);
    }

    #[test]
    fn the_system_prompt_is_no_message() {
        let first = of(&request(&[1, 2, 3], 2, 3)).conversation;
        assert_eq!((first.links.len(), first.before_reply), (1, 1));
        assert_eq!(first.last_reply, 0);
        assert_ne!(first.system, 0);
        assert!(first.opener.is_some());
    }
}
