//! `kill -9` in the middle of everything: sessions find their account again.

use std::time::Duration;

use serde_json::json;

use crate::store::Place;
use crate::support::{Load, homes, is_named, mock_builder};

/// What a crash may cost: what was learned within this time before it.
const LAST: Duration = Duration::from_secs(1);
const SESSIONS: usize = 200;

#[test]
fn kill_9_in_the_middle_of_200_sessions_leaves_them_on_their_account() {
    let mock = mock_builder(4).record(1_000_000).start().unwrap();
    let place = Place::new(&mock, 4, json!({}));
    let proxy = place.start();
    let load = Load::new(proxy.port, SESSIONS);
    let mut seen = 0;
    load.run(|| {
        load.turns(2);
        std::thread::sleep(LAST);
        let before = load.all();
        proxy.end();
        seen = mock.requests().len();
        assert!(load.all() > before || load.failures() > 0, "there is load");
        let _proxy = place.start();
        load.turns(2);
    });
    assert!(load.failures() > 0, "clients have noticed the crash");
    let requests = mock.requests();
    let before = homes(&requests[..seen], SESSIONS);
    let after = homes(&requests[seen..], SESSIONS);
    let stayed = |of: fn(usize) -> bool| {
        let pairs = before.iter().zip(&after).enumerate();
        pairs
            .filter(|(session, _)| of(*session))
            .filter(|(_, (before, after))| before.len() == 1 && before == after)
            .count()
    };
    let (named, unnamed) = (stayed(is_named), stayed(|session| !is_named(session)));
    assert!(
        (named + unnamed) * 100 >= SESSIONS * 99,
        "with an id {named}, without {unnamed} of {SESSIONS} stayed"
    );
    let used: std::collections::BTreeSet<_> = before.iter().flatten().collect();
    assert_eq!(used.len(), 4, "they were on all accounts");
}
