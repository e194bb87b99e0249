//! What accounts may do after each verdict, and what their limits leave.

use super::super::Choice;
use super::super::tests::{World, at};
use super::*;
use crate::fact::Affinity;
use crate::plan::KeyId;

fn verdict(matter: Matter, until: Option<u64>) -> Verdict {
    Verdict {
        until: until.map(at),
        ..Verdict::new(matter, "test")
    }
}

#[test]
fn a_throttled_model_leaves_the_account_to_the_others_until_a_second_one_is_throttled() {
    let mut world = World::new(&["a", "b"]);
    world.model = Some(ModelId::of("large"));
    let (home, _) = world.served(7, 0);
    world.judged(
        Some(7),
        home,
        verdict(Matter::ModelRate, Some(60_000)),
        &[],
        0,
    );
    assert_ne!(world.served(7, 1).0, home);
    world.model = Some(ModelId::of("small"));
    assert_eq!(world.served(7, 2).0, home, "another model is not throttled");
    world.judged(
        Some(7),
        home,
        verdict(Matter::ModelRate, Some(30_000)),
        &[],
        3,
    );
    world.model = Some(ModelId::of("middle"));
    assert_ne!(
        world.served(7, 4).0,
        home,
        "it is the account's limit, then"
    );
    assert_eq!(world.served(7, 30_001).0, home);
    world.model = Some(ModelId::of("large"));
    assert_ne!(world.served(7, 30_002).0, home, "its own time has not come");
    assert_eq!(world.served(7, 60_001).0, home);
}

#[test]
fn a_quota_without_a_time_is_asked_again_after_an_hour_and_a_rate_after_a_second() {
    for (matter, back) in [
        (Matter::AccountRate, 1_000),
        (Matter::Concurrency, 500),
        (Matter::FairUse, 30_000),
        (Matter::AccountQuota, 3_600_000),
    ] {
        let mut world = World::new(&["a", "b"]);
        let (home, _) = world.served(7, 0);
        world.judged(Some(7), home, verdict(matter, None), &[], 0);
        assert_ne!(world.used(Some(7), &[], back - 1).0, home, "{matter:?}");
        assert_eq!(world.used(Some(7), &[], back).0, home, "{matter:?}");
    }
}

#[test]
fn an_account_without_credit_comes_last_until_it_serves_again() {
    let mut world = World::new(&["a@acme", "b@acme", "c"]);
    let ids: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    world.judged(None, ids[0], verdict(Matter::Credit, None), &[], 0);
    for turn in 1..10 {
        assert_eq!(
            world.used(None, &[], turn).0,
            ids[2],
            "both keys of acme come last"
        );
    }
    let (last, _) = world.used(None, &[ids[2]], 10);
    assert!(
        ids[..2].contains(&last),
        "but they come: its answer is the best there is"
    );
    world.judged(None, last, Verdict::SERVED, &[], 11);
    let used: Vec<KeyId> = (12..20).map(|turn| world.used(None, &[], turn).0).collect();
    assert!(used.contains(&ids[0]) && used.contains(&ids[1]));
}

#[test]
fn a_key_that_lacks_a_model_comes_last_for_that_model_alone() {
    let mut world = World::new(&["a", "b"]);
    world.model = Some(ModelId::of("large"));
    let (home, _) = world.served(7, 0);
    world.judged(Some(7), home, verdict(Matter::Entitlement, None), &[], 1);
    assert_ne!(world.used(Some(7), &[], 2).0, home);
    world.model = Some(ModelId::of("small"));
    assert_eq!(world.used(Some(7), &[], 3).0, home);
    world.model = Some(ModelId::of("large"));
    assert_eq!(
        world.used(Some(7), &[], 3_600_002).0,
        home,
        "asked again after an hour"
    );
}

#[test]
fn what_is_the_providers_or_the_requests_matter_touches_no_key() {
    for matter in [Matter::Request, Matter::State, Matter::Overload] {
        let mut world = World::new(&["a", "b"]);
        let (home, _) = world.served(7, 0);
        for _ in 0..10 {
            world.judged(Some(7), home, verdict(matter, None), &[], 1);
        }
        assert_eq!(world.served(7, 2), (home, Affinity::Home), "{matter:?}");
    }
}

#[test]
fn an_account_that_fails_twice_in_a_row_comes_after_others_until_it_is_tried_again() {
    for matter in [Matter::Server, Matter::Network] {
        let mut world = World::new(&["a", "b"]);
        let (home, _) = world.served(7, 0);
        world.judged(Some(7), home, verdict(matter, None), &[], 1);
        assert_eq!(world.used(Some(7), &[], 2), (home, Affinity::Home));
        world.judged(Some(7), home, verdict(matter, None), &[], 2);
        let (other, affinity) = world.used(Some(7), &[], 3);
        assert_ne!(other, home, "{matter:?}");
        assert_eq!(affinity, Affinity::Borrowed, "its cache is still there");
        assert_eq!(world.used(Some(7), &[other], 4).0, home, "but it comes");
        assert_eq!(world.served(7, 1_002), (home, Affinity::Home));
        assert_eq!(world.served(7, 1_003), (home, Affinity::Home));
    }
}

fn bucket(remaining: u64, reset: u64, whole_account: bool) -> Bucket {
    Bucket {
        axis: Axis::Tokens,
        whole_account,
        limit: Some(1000),
        remaining,
        reset: Some(at(reset)),
    }
}

#[test]
fn an_account_that_has_nothing_left_is_not_tried_just_to_be_refused() {
    let mut world = World::new(&["a", "b"]);
    world.model = Some(ModelId::of("large"));
    let (home, _) = world.served(7, 0);
    world.learned(home, &[bucket(0, 5_000, false)], 0);
    let (lender, affinity) = world.used(Some(7), &[], 1);
    assert_eq!((lender == home, affinity), (false, Affinity::Borrowed));
    let soonest = world.choose(Some(7), &[lender], 2);
    assert_eq!(
        soonest,
        Choice::Exhausted {
            soonest: Some(at(5_000))
        }
    );
    world.model = Some(ModelId::of("small"));
    assert_eq!(
        world.used(Some(7), &[], 3).0,
        home,
        "it was the model's limit"
    );
    world.model = Some(ModelId::of("large"));
    assert_eq!(world.used(Some(7), &[], 5_000).0, home);
    world.learned(home, &[bucket(0, 9_000, true)], 6_000);
    world.model = Some(ModelId::of("small"));
    assert_ne!(
        world.used(Some(7), &[], 6_001).0,
        home,
        "it is the account's limit"
    );
    world.learned(home, &[bucket(800, 9_000, true)], 6_002);
    assert_eq!(
        world.used(Some(7), &[], 6_003).0,
        home,
        "something has come back"
    );
}

#[test]
fn new_sessions_keep_off_an_account_that_is_near_its_limit() {
    let mut world = World::new(&["a", "b"]);
    let ids: Vec<KeyId> = world.pool().keys.iter().map(|key| key.id).collect();
    let (home, _) = world.served(7, 0);
    let other = if home == ids[0] { ids[1] } else { ids[0] };
    world.learned(home, &[bucket(50, 60_000, true)], 0);
    for session in 100..120 {
        assert_eq!(world.used(Some(session), &[], 1).0, other);
    }
    assert_eq!(world.served(7, 2).0, home, "those that live there stay");
    world.learned(home, &[bucket(900, 60_000, true)], 3);
    let spread: Vec<KeyId> = (200..220).map(|s| world.used(Some(s), &[], 4).0).collect();
    assert!(spread.contains(&home));
}
