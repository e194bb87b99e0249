//! How it is going now, as metrics say it.

use api_key_lb_control::metrics::{Gauges, KeyGauges};
use api_key_lb_control::observed::{KeyState, State};
use api_key_lb_core::Moment;

/// What `state` says.
pub(super) fn gauges(state: &State, started: Moment) -> Gauges {
    Gauges {
        keys: state.keys.iter().map(|key| of_key(key, state)).collect(),
        ..Gauges::of(&state.health, started)
    }
}

fn of_key(key: &KeyState, state: &State) -> KeyGauges {
    let until = Moment::from_unix_millis(key.until_ms.unwrap_or(0));
    let share = |left: u64, most: u64| left as f64 / most.max(1) as f64;
    let headroom = key.headroom.iter().map(|limit| {
        let share = share(limit.remaining, limit.limit);
        (limit.what.clone().into(), share)
    });
    KeyGauges {
        pool: key.pool.clone(),
        label: key.label.clone(),
        state: key.state.clone(),
        cooldown: until.since(Moment::from_unix_millis(state.now)),
        headroom: headroom.collect(),
        in_flight: key.in_flight,
    }
}
