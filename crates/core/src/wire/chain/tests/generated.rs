//! Chains of one conversation are prefixes of each other, and those of two part for good.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::conversation::Conversation;
use crate::wire::sample::{
    APIS, Api, Entry, Json, Style, Turn, api, body, entries, read, style, system, turn, turns,
};

fn written(api: Api, system: &str, turns: &[Turn], style: &Style) -> Conversation {
    let body = body(api, Some(system), turns, &mut style.clone());
    read(&body.write()).conversation
}

fn plain_entries(api: Api, turns: &[Turn]) -> Vec<Entry> {
    entries(api, turns, &mut Style::PLAIN.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_next_turn_extends_the_chain_in_every_dialect_and_style(
        system in system(), turns in turns(), kept in any::<prop::sample::Index>(),
        one in style(), other in style(),
    ) {
        for api in APIS {
            let before = 1 + kept.index(turns.len());
            let earlier = written(api, &system, &turns[..before], &one);
            let later = written(api, &system, &turns, &other);
            prop_assert!(later.links.starts_with(&earlier.links), "{:?}", api);
            prop_assert_eq!(earlier.opener, later.opener);
            prop_assert_eq!(earlier.system, later.system);
            prop_assert!(later.opener.is_some());
        }
    }

    #[test]
    fn there_is_one_link_per_message_that_counts_and_replies_are_where_they_are(
        api in api(), system in system(), turns in turns(), mut style in style(),
    ) {
        let talk = written(api, &system, &turns, &style);
        let counted: Vec<bool> = entries(api, &turns, &mut style)
            .into_iter()
            .filter(|entry| entry.counts)
            .map(|entry| entry.by_model)
            .collect();
        let is_reply = |by_model: &bool| *by_model;
        prop_assert_eq!(talk.links.len(), counted.len());
        prop_assert_eq!(
            talk.before_reply,
            counted.iter().position(is_reply).unwrap_or(counted.len())
        );
        prop_assert_eq!(
            talk.last_reply,
            counted.iter().rposition(is_reply).map_or(0, |at| at + 1)
        );
    }

    #[test]
    fn two_conversations_share_no_link_from_where_they_differ(
        api in api(), system in system(), turns in turns(), at in any::<prop::sample::Index>(),
        another in turn(), how in 0..4,
    ) {
        let at = at.index(turns.len());
        let mut others = turns.clone();
        match how {
            0 => others[at] = another,
            1 => others.insert(at, another),
            2 => { others.remove(at); }
            _ => others.swap(0, at),
        }
        let list = |turns: &[Turn]| -> Vec<Json> {
            plain_entries(api, turns).into_iter().map(|entry| entry.json).collect()
        };
        let (one, other) = (list(&turns), list(&others));
        let shared = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        // What stands before the first words of a user may be read as the system prompt.
        let by_user = |turns: &[Turn]| matches!(turns.first(), Some(Turn::User { .. }));
        prop_assume!(by_user(&others));
        let links = written(api, &system, &turns, &Style::PLAIN).links;
        let other_links = written(api, &system, &others, &Style::PLAIN).links;
        prop_assert_eq!(&links[..shared], &other_links[..shared]);
        let after: HashSet<u64> = links[shared..].iter().copied().collect();
        prop_assert!(other_links[shared..].iter().all(|link| !after.contains(link)));
    }
}
