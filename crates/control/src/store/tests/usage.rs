//! Usage adds up, is told as asked, and goes when it is old.

use super::*;

pub(super) fn used(hours_ago: i64, key: u64, model: &str, requests: u64) -> (Slot, Counts) {
    let slot = Slot {
        hour: hour(at(0)) - hours_ago,
        key: KeyId::from_number(key),
        model: model.into(),
    };
    let counts = Counts {
        requests,
        prompt: requests * 100,
        ..Counts::default()
    };
    (slot, counts)
}

/// A store in which this was used.
pub(super) fn with_usage(dir: &Path, all: &[(Slot, Counts)]) -> PathBuf {
    let (mut store, _, _) = open(dir);
    for (slot, counts) in all {
        let sums = HashMap::from([(slot.clone(), *counts)]);
        store.tally().give_back(sums);
    }
    store.start(Policy::default()).unwrap();
    store.finish();
    path(dir, 4577)
}

#[test]
fn usage_adds_up_over_runs_and_is_told_by_whatever_was_asked() {
    let scratch = Scratch::new();
    let all = [
        used(0, 1, "m", 2),
        used(1, 1, "m", 3),
        used(20, 2, "n", 5),
        used(24 * 10, 1, "m", 7),
        used(0, 0, "", 1),
    ];
    with_usage(scratch.path(), &all);
    let file = with_usage(scratch.path(), &all[..1]);
    let told = |by: &[By], since| report(&file, by, since).unwrap();
    let lines = told(&[By::Key], None).lines;
    let keys: Vec<_> = lines
        .iter()
        .map(|line| (line.key.clone().unwrap().0, line.counts.requests))
        .collect();
    let unknown = KeyId::from_number(2).to_string();
    assert_eq!(
        keys,
        [("work".to_owned(), 14), (String::new(), 1), (unknown, 5)],
        "its label; no key at all; one that has no name"
    );
    let days: Vec<_> = told(&[By::Day], None)
        .lines
        .into_iter()
        .map(|line| (line.when.unwrap(), line.counts.requests))
        .collect();
    assert_eq!(
        days,
        [
            ("2026-07-12".into(), 7),
            ("2026-07-21".into(), 5),
            ("2026-07-22".to_owned(), 8),
        ]
    );
    let hours = told(&[By::Hour, By::Model], Some(hour(at(0)) - 1));
    assert_eq!(hours.lines.len(), 3);
    assert_eq!(hours.lines[0].when.as_deref(), Some("2026-07-22 13:00"));
    assert_eq!(hours.total.requests, 8);
    assert_eq!(told(&[], None).total.prompt, 2_000);
    assert_eq!(told(&[], None).since.as_deref(), Some("2026-07-12"));
}

#[test]
fn pruning_removes_what_is_old_and_gives_its_space_back() {
    let scratch = Scratch::new();
    let mut all: Vec<_> = (0..8_000).map(|hours| used(hours, 1, "m", 1)).collect();
    all.push(used(24 * 500, 1, "m", 1));
    let file = with_usage(scratch.path(), &all);
    let pruned = prune(&file, hour(at(0)) - 10, i64::MAX).unwrap();
    assert_eq!(pruned.hours, 8_001 - 11);
    assert!(pruned.bytes.1 < pruned.bytes.0 / 2, "{pruned:?}");
    assert_eq!(report(&file, &[], None).unwrap().total.requests, 11);
    let none = prune(&scratch.path().join("none.db"), 0, 0).unwrap_err();
    assert!(matches!(none, StoreError::Missing(_)));
}
