//! Usage by hour alone, for charts.

use std::path::Path;

use super::tally::Counts;
use super::{StoreError, file};

/// What was counted in each hour from `since` on, all keys and models together; hours are counted from
/// 1970.
///
/// # Errors
/// If there is no store, or it cannot be read.
pub fn hours(path: &Path, since: i64) -> Result<Vec<(i64, Counts)>, StoreError> {
    let connection = file::open_to_read(path)?;
    let read = || {
        let mut query = connection.prepare(
            "SELECT hour, sum(requests), sum(errors), sum(throttles), sum(prompt), sum(cached), \
             sum(written), sum(output), sum(waited_ms) FROM usage WHERE hour >= ? \
             GROUP BY hour ORDER BY hour",
        )?;
        let rows = query.query_map([since], |row| {
            let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let counts = Counts {
                requests: count(1)?,
                errors: count(2)?,
                throttles: count(3)?,
                prompt: count(4)?,
                cached: count(5)?,
                written: count(6)?,
                output: count(7)?,
                waited_ms: count(8)?,
            };
            Ok((row.get(0)?, counts))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|source| StoreError::Sql {
        path: path.to_owned(),
        source,
    })
}
