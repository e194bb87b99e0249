//! Usage over time, in steps of equal length: what charts are drawn from.

use std::path::Path;

use api_key_lb_core::Moment;
use rusqlite::Connection;
use serde::Serialize;

use super::time::{self, HOUR_MS, HOURS_OF_A_DAY};
use super::usage::{SUMS, counts};
use super::{StoreError, file};

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Span {
    /// The last 24 hours, by hour; the current one is the last.
    #[serde(rename = "24h")]
    Day,
    /// The last 30 days, by day in UTC; today is the last.
    #[serde(rename = "30d")]
    Month,
}

/// What was counted in each step. Serialised, it is what `/_lb/charts` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// What was asked for.
    pub span: Span,
    /// Milliseconds of a step.
    pub step_ms: u64,
    /// When the first one begins, in milliseconds since 1970.
    pub from: u64,
    /// A number for each step, of each kind.
    pub series: Columns,
}

/// As many numbers of each kind as there are steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Columns {
    /// Requests.
    pub requests: Vec<u64>,
    /// Attempts that failed otherwise than by a throttle.
    pub errors: Vec<u64>,
    /// Attempts that were throttled.
    pub throttles: Vec<u64>,
    /// Tokens of prompts, cached ones included.
    pub prompt: Vec<u64>,
    /// Tokens of prompts from the provider's cache.
    pub cached: Vec<u64>,
    /// Tokens generated.
    pub output: Vec<u64>,
    /// Milliseconds that requests waited for an account.
    pub waits_ms: Vec<u64>,
}

impl Span {
    /// How many steps, and of how many hours.
    const fn steps(self) -> (usize, i64) {
        match self {
            Self::Day => (24, 1),
            Self::Month => (30, HOURS_OF_A_DAY),
        }
    }
}

/// What the store at `path` has counted until `now`. Blocks for as long as the disk takes: some
/// milliseconds. The last half second may be missing.
///
/// # Errors
/// If there is no store, or it cannot be read.
pub fn series(path: &Path, span: Span, now: Moment) -> Result<Series, StoreError> {
    let connection = file::open_to_read(path)?;
    read(&connection, span, now).map_err(|source| StoreError::Sql {
        path: path.to_owned(),
        source,
    })
}

fn read(connection: &Connection, span: Span, now: Moment) -> rusqlite::Result<Series> {
    let (steps, hours) = span.steps();
    let last = time::hour(now).div_euclid(hours) * hours;
    let first = last - hours * (i64::try_from(steps).unwrap_or(1) - 1);
    let columns = || vec![0; steps];
    let mut series = Columns {
        requests: columns(),
        errors: columns(),
        throttles: columns(),
        prompt: columns(),
        cached: columns(),
        output: columns(),
        waits_ms: columns(),
    };
    let mut query = connection.prepare(&format!(
        "SELECT {SUMS}, (hour - ?1) / ?2 FROM usage WHERE hour >= ?1 AND hour < ?3 GROUP BY 9"
    ))?;
    let mut rows = query.query([first, hours, last + hours])?;
    while let Some(row) = rows.next()? {
        let counts = counts(row)?;
        let at = usize::try_from(row.get::<_, i64>(8)?).unwrap_or(usize::MAX);
        for (column, count) in [
            (&mut series.requests, counts.requests),
            (&mut series.errors, counts.errors),
            (&mut series.throttles, counts.throttles),
            (&mut series.prompt, counts.prompt),
            (&mut series.cached, counts.cached),
            (&mut series.output, counts.output),
            (&mut series.waits_ms, counts.waited_ms),
        ] {
            if let Some(cell) = column.get_mut(at) {
                *cell = count;
            }
        }
    }
    Ok(Series {
        span,
        step_ms: HOUR_MS * hours.unsigned_abs(),
        from: HOUR_MS * u64::try_from(first).unwrap_or(0),
        series,
    })
}
