//! Simulated time: milliseconds since the start of a run, and the moments that the policy sees.

use api_key_lb_core::Moment;

/// The moment at which every run starts; any will do.
const EPOCH_MS: u64 = 1_790_000_000_000;

/// The moment `ms` after the start.
pub const fn moment(ms: u64) -> Moment {
    Moment::from_unix_millis(EPOCH_MS + ms)
}

/// How long after the start `moment` is.
pub const fn ms(moment: Moment) -> u64 {
    moment.unix_millis().saturating_sub(EPOCH_MS)
}
