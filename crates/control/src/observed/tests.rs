//! What is kept of requests is bounded, adds up, and holds nothing that it should not.

use std::time::Duration;

use api_key_lb_core::Secret;
use api_key_lb_core::fact::{Affinity, Attempt, Client, Ending, SessionId};
use api_key_lb_core::target::Target;
use api_key_lb_core::verdict::Matter;
use proptest::prelude::*;

use super::*;

/// A moment on a full day, in milliseconds since 1970.
const DAY: u64 = 1_790_035_200_000;
const MINUTE: u64 = 60_000;

fn key(number: u8) -> KeyId {
    let target = Target::parse("https://h").unwrap();
    KeyId::of(&Secret::new(format!("sk-planted-{number}")), &target)
}

fn label(id: KeyId) -> String {
    (0..9)
        .find(|number| key(*number) == id)
        .map_or_else(|| "gone".into(), |number| format!("key-{number}"))
}

fn fact(number: u64, began: u64) -> Fact {
    Fact {
        took: Duration::from_millis(500),
        first_byte: Duration::from_millis(200),
        status: 200,
        model: Some("m".into()),
        session: Some(SessionId(u128::from(number % 3) << 96 | 1)),
        rule: Some("header x-session-id".into()),
        affinity: Affinity::Home,
        added: Some(Duration::from_micros(150)),
        client: Client::of(b"claude-cli/2.0.1 (external)"),
        attempts: vec![Attempt {
            status: Some(200),
            verdict: Some((Matter::Served, "status")),
            ..Attempt::begun(key(1))
        }],
        usage: Some(Usage {
            prompt: 1000,
            cached: 900,
            written: 10,
            output: 20,
        }),
        ending: Ending::Complete,
        ..Fact::begun(
            RequestId::of(1, number),
            Moment::from_unix_millis(began),
            http::Method::POST,
            "/v1/messages?key=sk-planted".into(),
        )
    }
}

fn price(model: &str, usage: &Usage) -> Option<Spent> {
    (model == "m").then_some(Spent {
        cost_usd: usage.output as f64,
        saved_usd: usage.cached as f64,
    })
}

fn observed(facts: &[Fact]) -> Observed {
    let observed = Observed::default();
    observed.observe(facts, &label, &price);
    observed
}

#[test]
fn a_request_is_told_as_it_went() {
    let mut fact = fact(5, DAY);
    fact.attempts.insert(
        0,
        Attempt {
            status: Some(429),
            verdict: Some((Matter::AccountRate, "1302")),
            took: Duration::from_millis(120),
            ..Attempt::begun(key(2))
        },
    );
    let observed = observed(&[fact]);
    let request = observed.request(RequestId::of(1, 5)).unwrap();
    let json = serde_json::to_value(&*request).unwrap();
    assert_eq!(json["path"], "/v1/messages", "without its query");
    assert_eq!(json["client"], "claude-cli/2.0.1");
    assert_eq!(json["session"], "00000002");
    assert_eq!(json["attempts"][0]["key"], "key-2");
    assert_eq!(json["attempts"][0]["verdict"], "account's rate limit");
    assert_eq!(json["attempts"][0]["took_ms"], 120);
    assert_eq!(json["attempts"][1]["status"], 200);
    assert_eq!(
        (&json["added_us"], &json["cost_usd"]),
        (&150.into(), &20.0.into())
    );
    assert!(json.get("error_code").is_none());
    let back: Request = serde_json::from_value(json).unwrap();
    assert_eq!(back, *request);
    assert!(observed.request(RequestId::of(1, 6)).is_none());
}

#[test]
fn a_model_is_named_once_it_was_served() {
    let mut failed = fact(0, DAY);
    failed.model = Some("sk-planted".into());
    failed.status = 404;
    let mut known = fact(2, DAY);
    known.status = 500;
    let observed = observed(&[failed, fact(1, DAY), known]);
    let models: Vec<_> = observed.requests(3, None);
    let models: Vec<_> = models
        .iter()
        .map(|request| request.model.as_deref())
        .collect();
    assert_eq!(models, [Some("m"), Some("m"), None]);
}

#[test]
fn hidden_throttles_and_rescued_requests_are_counted() {
    let throttled = |status| Attempt {
        status,
        ..Attempt::begun(key(2))
    };
    let mut rescued = fact(0, DAY);
    rescued.attempts.insert(0, throttled(Some(429)));
    let mut seen = fact(1, DAY);
    seen.attempts = vec![throttled(Some(429))];
    seen.status = 429;
    seen.usage = None;
    let mut broken = fact(2, DAY);
    broken.attempts.insert(0, throttled(None));
    let observed = observed(&[rescued, seen, broken]);
    let (totals, saved) = observed.totals();
    assert_eq!(
        (totals.requests, totals.errors, totals.throttles),
        (3, 1, 2)
    );
    assert_eq!(
        (totals.prompt, totals.cached, totals.output),
        (2000, 1800, 40)
    );
    assert_eq!(totals.cost_usd, Some(40.0));
    assert_eq!((saved.throttles_hidden, saved.requests_rescued), (1, 2));
    assert_eq!((saved.cached_tokens, saved.usd), (1800, Some(1800.0)));
    let of = |number| observed.seen().sums.of_key(key(number));
    assert_eq!((of(1).requests, of(1).prompt, of(1).errors), (2, 2000, 0));
    assert_eq!((of(2).requests, of(2).throttles, of(2).errors), (1, 2, 1));
}

#[test]
fn a_session_lives_where_it_was_served_and_its_moves_are_counted() {
    let mut moved = fact(3, DAY + 1000);
    moved.affinity = Affinity::Moved;
    moved.attempts = vec![Attempt::begun(key(4))];
    let mut lent = fact(6, DAY + 2000);
    lent.affinity = Affinity::Borrowed;
    lent.attempts = vec![Attempt::begun(key(5))];
    let observed = observed(&[fact(0, DAY), moved, lent]);
    let seen = observed.seen();
    let all = seen.sessions.latest(10);
    let (id, session) = all[0];
    assert_eq!((all.len(), session.requests, session.moves), (1, 3, 1));
    assert_eq!(session.home, Some(key(4)));
    assert_eq!(
        seen.sessions.by_home(Moment::from_unix_millis(DAY))[&key(4)],
        1
    );
    assert!(
        seen.sessions
            .by_home(Moment::from_unix_millis(DAY + MINUTE))
            .is_empty()
    );
    drop(seen);
    observed.unpinned(id);
    assert_eq!(observed.seen().sessions.latest(1)[0].1.home, None);
}

#[test]
fn requests_are_found_by_session_and_what_came_after_others() {
    let facts: Vec<Fact> = (0..10).map(|number| fact(number, DAY + number)).collect();
    let observed = observed(&facts[..4]);
    assert_eq!(
        observed.requests(2, None)[0].id,
        RequestId::of(1, 3).to_string()
    );
    let of = |session| observed.requests(100, Some(session)).len();
    assert_eq!((of("00000000"), of("00000001"), of("ffffffff")), (2, 1, 0));
    assert_eq!(of(&SessionId(1).full()), 2);
    let known = observed.count();
    observed.observe(&facts[4..], &label, &price);
    let (new, count) = observed.after(known, 100);
    assert_eq!((new.len(), count), (6, 10));
    assert_eq!(
        observed.after(known, 2).0.len(),
        2,
        "who is slow is told the latest"
    );
    assert!(observed.after(count, 100).0.is_empty());
}

#[test]
fn what_is_kept_is_bounded_in_number_and_in_bytes() {
    let facts: Vec<Fact> = (0..MOST_REQUESTS as u64 + 500)
        .map(|number| fact(number, DAY + number))
        .collect();
    let observed = observed(&facts);
    assert_eq!(observed.seen().recent.held().0, MOST_REQUESTS);
    assert!(observed.request(RequestId::of(1, 0)).is_none());
    assert_eq!(observed.since().unwrap().unix_millis(), DAY + 500);
    let huge: Vec<Fact> = (0..3_000)
        .map(|number| {
            let mut fact = fact(number, DAY);
            fact.path = format!("/{}", "ä".repeat(8_000));
            fact.model = Some("m".repeat(1_000_000 / 100));
            fact.reason = Some("r".repeat(10_000));
            fact.attempts = vec![Attempt::begun(key(1)); 200];
            fact
        })
        .collect();
    observed.observe(&huge, &|_| "k".repeat(60), &price);
    let (held, bytes) = observed.seen().recent.held();
    assert!(bytes <= recent::Recent::MOST_BYTES, "{bytes}");
    assert!(held > 100, "{held}");
}

#[test]
fn sessions_are_bounded_and_the_latest_stay() {
    let most = sessions::MOST as u64;
    let facts: Vec<Fact> = (0..most * 2)
        .map(|number| {
            let mut fact = fact(0, DAY + number);
            fact.session = Some(SessionId(number.into()));
            fact
        })
        .collect();
    let observed = observed(&facts);
    let seen = observed.seen();
    assert!(seen.sessions.len() as u64 <= most);
    assert_eq!(
        seen.sessions.latest(1)[0].0,
        SessionId(u128::from(most * 2 - 1))
    );
}

#[test]
fn a_chart_has_a_place_for_each_step_and_old_ones_leave_it() {
    let now = DAY + 90 * MINUTE;
    let observed = observed(&[
        fact(0, now - 61 * MINUTE),
        fact(1, now - 3 * MINUTE),
        fact(2, now - 1000),
        fact(3, now - 1000),
    ]);
    let hour = observed.chart(Span::Hour, Moment::from_unix_millis(now));
    assert_eq!((hour.step_ms, hour.series.requests.len()), (MINUTE, 60));
    assert_eq!(hour.from, now - 59 * MINUTE);
    assert_eq!(hour.series.requests.iter().sum::<u64>(), 3);
    assert_eq!(hour.series.requests[56], 1);
    assert_eq!(hour.series.prompt[58], 2000);
    assert_eq!(hour.series.added_us[58], Some(150));
    assert_eq!(hour.series.added_us[0], None);
    let day = observed.chart(Span::Day, Moment::from_unix_millis(now));
    assert_eq!(day.series.requests.len(), 24);
    assert_eq!(day.series.requests[22..], [1, 3]);
    let month = observed.chart(Span::Month, Moment::from_unix_millis(now));
    assert_eq!(month.from % (24 * 60 * MINUTE), 0);
    assert_eq!(month.series.requests[29], 4);
}

proptest! {
    #[test]
    fn charts_count_every_request_of_their_time_once(
        began in proptest::collection::vec(0..40 * 24 * 60_u64, 0..60),
        now in 0..50 * 24 * 60_u64,
    ) {
        let mut began = began;
        began.sort_unstable();
        began.retain(|minute| *minute <= now);
        let moment = |minute: u64| DAY + minute * MINUTE;
        let facts: Vec<Fact> = began.iter().map(|minute| fact(0, moment(*minute))).collect();
        let observed = observed(&facts);
        for (span, unit, steps) in [(Span::Hour, 1, 60), (Span::Day, 60, 24), (Span::Month, 1440, 30)] {
            let chart = observed.chart(span, Moment::from_unix_millis(moment(now)));
            let first = (now / unit + 1).saturating_sub(steps) * unit;
            // Before the epoch of the test there is nothing.
            let wanted = began.iter().filter(|minute| **minute >= first).count();
            let counted: u64 = chart.series.requests.iter().sum();
            prop_assert_eq!(counted, wanted as u64, "{:?}", span);
            prop_assert_eq!(chart.series.requests.len() as u64, steps);
        }
    }

    #[test]
    fn whatever_a_client_writes_is_told_in_one_short_line(
        path in ".{0,300}", model in proptest::option::of(".{0,300}"), agent in any::<Vec<u8>>()
    ) {
        let mut fact = fact(0, DAY);
        fact.path = path;
        fact.model = model;
        fact.client = Client::of(&agent);
        let request = Request::of(&fact, fact.model.as_deref(), &label, None);
        prop_assert!(!request.path.contains(char::is_control) && !request.path.contains('?'));
        if let Some(model) = &request.model {
            prop_assert!(model.chars().count() <= 96 && !model.contains(char::is_control));
        }
        prop_assert!(request.client.is_none_or(|client| client.is_ascii() && client.len() <= 40));
    }
}
