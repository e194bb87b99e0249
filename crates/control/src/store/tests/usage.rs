//! Usage adds up, is told as asked, and goes when it is old.

use api_key_lb_core::fact::{Affinity, Attempt, Ending, Fact, RequestId, Usage};

use super::*;
use crate::prices::Prices;

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
    let told = |by: &[By], since| report(&file, by, since, &Prices::default()).unwrap();
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
    assert_eq!(
        report(&file, &[], None, &Prices::default())
            .unwrap()
            .total
            .requests,
        11
    );
    let none = prune(&scratch.path().join("none.db"), 0, 0).unwrap_err();
    assert!(matches!(none, StoreError::Missing(_)));
}

/// A request of the session `number` that ended so many seconds from now.
fn request(number: u128, key: u64, model: &str, seconds: i64) -> Fact {
    let path = "/v1/messages".to_owned();
    let mut fact = Fact::begun(RequestId::default(), at(seconds), http::Method::POST, path);
    fact.status = 200;
    fact.model = Some(model.to_owned());
    fact.session = Some(SessionId(number));
    fact.affinity = Affinity::Home;
    fact.attempts = vec![Attempt {
        status: Some(200),
        ..Attempt::begun(KeyId::from_number(key))
    }];
    fact.usage = Some(Usage {
        prompt: 1_000_000,
        cached: 900_000,
        written: 0,
        output: 0,
    });
    fact.ending = Ending::Complete;
    fact
}

fn counted(dir: &Path, setup: Setup, facts: &[Fact]) -> PathBuf {
    let (mut store, _) = Store::open(setup, at(0), |_| {});
    store.tally().count(facts);
    store.start(Policy::default()).unwrap();
    store.finish();
    path(dir, 4577)
}

#[test]
fn sessions_add_up_over_runs_and_the_last_used_comes_first() {
    let scratch = Scratch::new();
    let facts = [
        request(1, 1, "claude-sonnet-4-5", -7_200),
        request(1, 2, "who-knows", -7_100),
        request(2, 1, "claude-sonnet-4-5", -60),
        request(3, 1, "claude-sonnet-4-5", -100_000),
    ];
    counted(scratch.path(), setup(scratch.path()), &facts);
    let file = counted(scratch.path(), setup(scratch.path()), &facts[..1]);
    let told = |by: &[By], since| report(&file, by, since, &Prices::default()).unwrap();
    let all = told(&[By::Session], None);
    let lines: Vec<_> = all
        .lines
        .iter()
        .map(|line| {
            (
                line.session.unwrap().0,
                line.counts.requests,
                line.used.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [(2, 1, at(-60)), (1, 3, at(-7_100)), (3, 1, at(-100_000))]
    );
    let first = all.lines[1].worth;
    assert_eq!(first.unpriced, 1_000_000, "of the model that nobody knows");
    assert!((first.cost.unwrap().cost_usd - 2.0 * (0.3 + 0.27)).abs() < 1e-9);
    assert_eq!(Vec::from_iter(&all.unpriced), ["who-knows"]);
    let apart = told(&[By::Session, By::Key, By::Model], Some(hour(at(0)) - 3));
    let lines: Vec<_> = apart
        .lines
        .iter()
        .map(|line| (line.key.clone().unwrap().0, line.model.clone().unwrap()))
        .collect();
    let unknown = KeyId::from_number(2).to_string();
    let known = ("work".to_owned(), "claude-sonnet-4-5".to_owned());
    assert_eq!(lines, [known.clone(), known, (unknown, "who-knows".into())]);
    assert_eq!(told(&[], None).total.requests, 5, "the same, by hour");
    prune(&file, hour(at(0)) - 3, 0).unwrap();
    assert_eq!(told(&[By::Session], None).lines.len(), 2);
}

#[test]
fn no_more_sessions_are_kept_than_are_remembered() {
    let scratch = Scratch::new();
    let facts: Vec<Fact> = (0..50)
        .map(|number| request(number, 1, "m", -(number as i64)))
        .collect();
    let file = counted(scratch.path(), setup(scratch.path()), &facts);
    let mut connection = Connection::open(&file).unwrap();
    let retention = Retention {
        sessions: 20,
        ..setup(scratch.path()).retention
    };
    tidy::tidy(&mut connection, &retention, at(0)).unwrap();
    let lines = report(&file, &[By::Session], None, &Prices::default())
        .unwrap()
        .lines;
    let kept: Vec<u128> = lines.iter().map(|line| line.session.unwrap().0).collect();
    assert_eq!(kept, (0..20).collect::<Vec<u128>>());
}

#[test]
fn a_file_of_before_tells_of_no_sessions_and_of_its_usage() {
    let scratch = Scratch::new();
    let file = path(scratch.path(), 4577);
    let connection = Connection::open(&file).unwrap();
    schema::make_first(&connection);
    let report = report(&file, &[By::Session], None, &Prices::default()).unwrap();
    assert!(report.lines.is_empty());
}

#[test]
fn series_have_a_number_for_each_step_and_end_now() {
    let scratch = Scratch::new();
    let all = [
        used(0, 1, "m", 1),
        used(0, 2, "n", 2),
        used(23, 1, "m", 3),
        used(24, 1, "m", 4),
        // 14:30 now: 15 hours ago was yesterday.
        used(15, 1, "m", 5),
        used(24 * 29 + 14, 1, "m", 6),
        used(24 * 29 + 15, 1, "m", 7),
    ];
    let file = with_usage(scratch.path(), &all);
    let day = series(&file, Span::Day, at(0)).unwrap();
    assert_eq!(day.from, (NOW / 3_600_000 - 23) * 3_600_000);
    let filled: Vec<_> = (0..24).filter(|at| day.series.requests[*at] > 0).collect();
    assert_eq!(filled, [0, 8, 23]);
    assert_eq!((day.series.requests[23], day.series.prompt[23]), (3, 300));
    let month = series(&file, Span::Month, at(0)).unwrap();
    assert_eq!(month.series.requests.len(), 30);
    assert_eq!(
        (
            month.series.requests[29],
            month.series.requests[28],
            month.series.requests[0]
        ),
        (3, 3 + 4 + 5, 6)
    );
    let json = serde_json::to_value(&month).unwrap();
    assert_eq!(
        (&json["span"], &json["step_ms"]),
        (&"30d".into(), &86_400_000.into())
    );
    assert_eq!(json["series"]["waits_ms"].as_array().unwrap().len(), 30);
    let none = series(&scratch.path().join("none.db"), Span::Day, at(0));
    assert!(matches!(none, Err(StoreError::Missing(_))));
}
