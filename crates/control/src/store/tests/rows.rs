//! What was written is read back, whatever it was.

use api_key_lb_core::fact::ModelId;
use api_key_lb_core::headroom::{Axis, Bucket};
use api_key_lb_core::policy::SplitReason;
use api_key_lb_core::policy::memory::{
    CooldownRow, KeyRow, LifetimeRow, LimitRow, PlaceRow, SharedRow,
};
use api_key_lb_core::verdict::Matter;
use proptest::prelude::*;

use super::*;

prop_compose! {
    fn moment()(millis in prop_oneof![Just(0), NOW - 3_000_000..NOW, Just(i64::MAX as u64)]) -> Moment {
        Moment::from_unix_millis(millis)
    }
}

prop_compose! {
    fn any_session()(
        id in any::<u128>(), account in any::<u64>(), served in any::<bool>(),
        used in 0..3_000_i64, bytes in any::<u32>(), tokens in any::<u32>(),
        places in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), moment()), 0..=3),
    ) -> SessionRow {
        let mut row = session(id, at(-used));
        (row.account, row.served, row.bytes, row.tokens) =
            (AccountId::from_number(account), served, bytes, tokens);
        for (slot, (account, model, tokens, at)) in row.places.iter_mut().zip(places) {
            *slot = Some(PlaceRow { account: AccountId::from_number(account), model, tokens, at });
        }
        row
    }
}

prop_compose! {
    fn any_account()(
        id in any::<u64>(), credit in (moment(), any::<u32>()), all_at_once in any::<bool>(),
        at_once in prop::option::of(1.0_f32..100.0),
        refused_at_once in prop::option::of((1.0_f32..100.0, moment())),
        first_byte in prop::option::of(0.0_f32..9e5), recent in (0.0_f64..1e12, moment()),
        cooldowns in prop::collection::vec(
            (prop::option::of(any::<u64>()), moment(), prop::option::of(moment()), any::<u32>(), prop::option::of(1..32_u32)), 0..4),
        limits in prop::collection::vec(
            (prop::option::of(any::<u64>()), any::<bool>(), prop::option::of(any::<u64>()), any::<u64>(), prop::option::of(moment()), moment()), 0..4),
        lifetimes in prop::collection::vec((prop::option::of(any::<u64>()), any::<[u8; 8]>(), any::<[u8; 8]>()), 0..3),
    ) -> AccountRow {
        let model = |model: Option<u64>| model.map(ModelId::from_number);
        let cooldowns = cooldowns.into_iter().map(|(of, until, last_until, streak, recovers_with)| CooldownRow {
            model: model(of), until, last_until, streak, recovers_with,
            why: (streak % 2 == 0).then_some(Matter::FairUse),
        });
        let limits = limits.into_iter().map(|(of, whole_account, limit, remaining, reset, at)| LimitRow {
            model: model(of), at, requests: remaining / 2, tokens: remaining / 3,
            bucket: Bucket { axis: Axis::InputTokens, whole_account, limit, remaining, reset },
        });
        let lifetimes = lifetimes.into_iter().map(|(of, hits, misses)| LifetimeRow { model: model(of), hits, misses });
        AccountRow {
            id: AccountId::from_number(id), credit, all_at_once, at_once, refused_at_once, first_byte, recent,
            cooldowns: cooldowns.collect(), limits: limits.collect(), lifetimes: lifetimes.collect(),
        }
    }
}

prop_compose! {
    fn any_key()(
        id in any::<u64>(), refused in (moment(), any::<u32>()), turn in any::<i64>(),
        lacks in prop::collection::vec((any::<u64>(), moment(), any::<u32>()), 0..3),
    ) -> KeyRow {
        let trouble = (turn % 2 == 0).then_some(Matter::Suspicion);
        let lacks = lacks.into_iter().map(|(model, until, streak)| (ModelId::from_number(model), until, streak));
        KeyRow { id: KeyId::from_number(id), refused, trouble, turn, disabled: id % 2 == 0, lacks: lacks.collect() }
    }
}

prop_compose! {
    fn any_thread()(
        id in any::<u128>(), used in 0..3_000_i64, length in any::<u32>(), ends in any::<(u64, u64)>(),
        opening in any::<u32>(), flags in any::<(bool, bool)>(), read_bytes in any::<u64>(),
        stride in any::<u32>(), links in prop::collection::vec((0..1_u32 << 31, any::<u16>(), any::<bool>(), any::<u64>()), 0..70),
    ) -> ThreadRow {
        ThreadRow {
            id: SessionId(id), used: at(-used), length, end: ends.0, before_end: ends.1, opening,
            began_twice: flags.0, named: flags.1, read_bytes, stride,
            links: links.into_iter().map(|(position, rank, grown, link)| LinkRow { position, rank, grown, link }).collect(),
        }
    }
}

prop_compose! {
    fn any_shared()(
        id in any::<u128>(), used in 0..3_000_i64, since in moment(), many in any::<u32>(), kind in 0..3,
        openers in prop::collection::vec(any::<(u32, u32)>(), 0..34),
    ) -> SharedRow {
        let why = [None, Some(SplitReason::InFlight(many)), Some(SplitReason::Openers(many as usize))];
        SharedRow {
            id: SessionId(id), used: at(-used), openers,
            split: why[kind as usize].map(|why| (why, since)),
        }
    }
}

/// One row about each thing, in an order that does not depend on chance.
fn sorted(mut memory: Memory) -> Memory {
    memory.sessions.sort_by_key(|row| row.id);
    memory.sessions.dedup_by_key(|row| row.id);
    memory.accounts.sort_by_key(|row| row.id);
    memory.accounts.dedup_by_key(|row| row.id);
    memory.keys.sort_by_key(|row| row.id);
    memory.keys.dedup_by_key(|row| row.id);
    memory.owners.sort_by_key(|row| row.account);
    memory.owners.dedup_by_key(|row| row.account);
    memory.objects.sort_by_key(|row| row.object);
    memory.objects.dedup_by_key(|row| row.object);
    memory.threads.sort_by_key(|row| row.id);
    memory.threads.dedup_by_key(|row| row.id);
    memory.shared.sort_by_key(|row| row.id);
    memory.shared.dedup_by_key(|row| row.id);
    memory.answers.sort_by_key(|row| row.answer);
    memory.answers.dedup_by_key(|row| row.answer);
    memory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_was_written_is_read_back_to_the_last_bit(
        sessions in prop::collection::vec(any_session(), 0..6),
        accounts in prop::collection::vec(any_account(), 0..4),
        keys in prop::collection::vec(any_key(), 0..4),
        owners in prop::collection::vec((any::<u64>(), any::<u64>()), 0..4),
        threads in prop::collection::vec(any_thread(), 0..5),
        shared in prop::collection::vec(any_shared(), 0..4),
        answers in prop::collection::vec((any::<u64>(), 0..3_000_i64), 0..4),
        objects in prop::collection::vec((any::<u64>(), 0_usize..3, any::<u64>(), moment()), 0..4),
    ) {
        let scratch = Scratch::new();
        let id = AccountId::from_number;
        let keeping = [Keeping::Stored, Keeping::Answer, Keeping::Sealed];
        let memory = sorted(Memory {
            threads,
            shared,
            answers: answers.into_iter().map(|(number, age)| answer(number, at(-age))).collect(),
            sessions,
            accounts,
            keys,
            owners: owners.into_iter().map(|(account, owner)| OwnerRow { account: id(account), owner: id(owner) }).collect(),
            objects: objects.into_iter().map(|(object, kind, account, used)| ObjectRow {
                object, keeping: keeping[kind], account: Some(id(account)), used,
            }).collect(),
        });
        prop_assert!(written(scratch.path(), memory.clone()).all().is_empty());
        // Once more: each row takes the place of the one before.
        written(scratch.path(), memory.clone());
        let (_, read, words) = open(scratch.path());
        prop_assert_eq!(sorted(read), memory);
        prop_assert!(words.all().is_empty());
    }
}
