//! Usage by hour, key and model: added to the file, asked for, and removed when it is old.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use api_key_lb_core::KeyId;
use rusqlite::{Connection, Transaction, params};

use super::tally::{Counts, Slot};
use super::{StoreError, file, time};

/// The most that a row may come to, in tokens or milliseconds: what a provider states may be any
/// number, and sums over two million rows must still be numbers to SQLite.
const MOST: u64 = 1 << 41;

/// What a line of a report stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// One day, in UTC.
    Day,
    /// One hour, in UTC.
    Hour,
    /// One key.
    Key,
    /// One model.
    Model,
}

/// A line of a report; what it was not asked to tell apart is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The day or hour, as a date.
    pub when: Option<String>,
    /// What the key is called, and its identity; no name if no key was used.
    pub key: Option<(String, String)>,
    /// The model; empty if none was named.
    pub model: Option<String>,
    /// What was counted.
    pub counts: Counts,
}

/// What was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of time, key and model.
    pub lines: Vec<Line>,
    /// All of it.
    pub total: Counts,
    /// The first day of which anything is known.
    pub since: Option<String>,
}

/// What tidying up has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows of usage.
    pub hours: usize,
    /// Sessions.
    pub sessions: usize,
    /// Bytes before and after.
    pub bytes: (u64, u64),
}

/// What is in the store at `path` from the hour `since` on.
///
/// # Errors
/// If there is no store, or it cannot be read.
pub fn report(path: &Path, by: &[By], since: Option<i64>) -> Result<Report, StoreError> {
    let connection = file::open_to_read(path)?;
    read(&connection, by, since).map_err(|source| StoreError::Sql {
        path: path.to_owned(),
        source,
    })
}

/// Removes what is older than the hour `before` from the store at `path`, and sessions not used
/// since `sessions_before` (milliseconds since 1970). A proxy that runs may go on.
///
/// # Errors
/// If there is no store, or it cannot be written.
pub fn prune(path: &Path, before: i64, sessions_before: i64) -> Result<Pruned, StoreError> {
    let bytes = file::bytes(path);
    let mut connection = file::open_to_prune(path)?;
    let failed = |source| StoreError::Sql {
        path: PathBuf::from(path),
        source,
    };
    let (hours, sessions) = (|| {
        let transaction = connection.transaction()?;
        let hours = transaction.execute("DELETE FROM usage WHERE hour < ?", [before])?;
        let sessions = super::tidy::sessions(&transaction, sessions_before)?;
        transaction.commit()?;
        super::tidy::give_back_space(&connection, None)?;
        rusqlite::Result::Ok((hours, sessions))
    })()
    .map_err(failed)?;
    drop(connection);
    Ok(Pruned {
        hours,
        sessions,
        bytes: (bytes, file::bytes(path)),
    })
}

/// Adds sums to what is there.
pub(super) fn add(
    transaction: &Transaction<'_>,
    counts: &HashMap<Slot, Counts>,
) -> rusqlite::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let mut add = transaction.prepare(
        "INSERT INTO usage (hour, key, model, requests, errors, throttles, prompt, cached, \
         written, output, waited_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT (hour, key, model) DO UPDATE SET \
         requests = min(requests + ?4, ?12), errors = min(errors + ?5, ?12), \
         throttles = min(throttles + ?6, ?12), prompt = min(prompt + ?7, ?12), \
         cached = min(cached + ?8, ?12), written = min(written + ?9, ?12), \
         output = min(output + ?10, ?12), waited_ms = min(waited_ms + ?11, ?12)",
    )?;
    for (slot, counts) in counts {
        add.execute(params![
            slot.hour,
            slot.key.number().cast_signed(),
            slot.model,
            whole(counts.requests),
            whole(counts.errors),
            whole(counts.throttles),
            whole(counts.prompt),
            whole(counts.cached),
            whole(counts.written),
            whole(counts.output),
            whole(counts.waited_ms),
            MOST.cast_signed(),
        ])?;
    }
    Ok(())
}

/// Notes what keys are called, so that a report can name those that are gone.
pub(super) fn name(
    transaction: &Transaction<'_>,
    labels: &[(KeyId, String)],
    now: i64,
) -> rusqlite::Result<()> {
    let mut put = transaction
        .prepare("INSERT OR REPLACE INTO labels (key, label, noted) VALUES (?, ?, ?)")?;
    for (key, label) in labels {
        put.execute(params![key.number().cast_signed(), label, now])?;
    }
    Ok(())
}

/// The models that were served in the last 30 days of which anything is known.
pub(super) fn models(connection: &Connection, most: usize) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare(
        "SELECT DISTINCT model FROM usage WHERE model <> '' AND hour > ifnull((SELECT max(hour) \
             FROM usage), 0) - 720 LIMIT ?",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    names.query_map([most], |row| row.get(0))?.collect()
}

/// SQLite's numbers have a sign; and a sum must not overflow there, or the row could not be written.
fn whole(count: u64) -> i64 {
    count.min(MOST).cast_signed()
}

fn read(connection: &Connection, by: &[By], since: Option<i64>) -> rusqlite::Result<Report> {
    let tells = |what: By| by.contains(&what);
    let when = match (tells(By::Hour), tells(By::Day)) {
        (true, _) => "hour".to_owned(),
        (false, true) => format!("hour / {0} * {0}", time::HOURS_OF_A_DAY),
        (false, false) => "0".to_owned(),
    };
    let (key, label) = if tells(By::Key) {
        ("usage.key", "max(label)")
    } else {
        ("0", "NULL")
    };
    let model = if tells(By::Model) { "model" } else { "''" };
    let mut query = connection.prepare(&format!(
        "SELECT {when}, {key}, {model}, sum(requests), sum(errors), sum(throttles), sum(prompt), \
         sum(cached), sum(written), sum(output), sum(waited_ms), {label} AS name \
         FROM usage LEFT JOIN labels ON labels.key = usage.key WHERE hour >= ? \
         GROUP BY 1, 2, 3 ORDER BY 1, name IS NULL, name, 2, 3"
    ))?;
    let mut total = Counts::default();
    let lines = query.query_map([since.unwrap_or(i64::MIN)], |row| {
        let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
        let counts = Counts {
            requests: count(3)?,
            errors: count(4)?,
            throttles: count(5)?,
            prompt: count(6)?,
            cached: count(7)?,
            written: count(8)?,
            output: count(9)?,
            waited_ms: count(10)?,
        };
        let (hour, id): (i64, i64) = (row.get(0)?, row.get(1)?);
        let id = KeyId::from_number(id.cast_unsigned());
        let label: Option<String> = row.get(11)?;
        let name = match label {
            Some(label) => label,
            None if id == KeyId::default() => String::new(),
            None => id.to_string(),
        };
        total.add(&counts);
        Ok(Line {
            when: match (tells(By::Hour), tells(By::Day)) {
                (true, _) => Some(time::day_and_hour(hour)),
                (false, true) => Some(time::day(hour)),
                (false, false) => None,
            },
            key: tells(By::Key).then(|| (name, id.to_string())),
            model: if tells(By::Model) {
                Some(row.get(2)?)
            } else {
                None
            },
            counts,
        })
    })?;
    let lines = lines.collect::<rusqlite::Result<_>>()?;
    let first: Option<i64> =
        connection.query_row("SELECT min(hour) FROM usage", [], |row| row.get(0))?;
    Ok(Report {
        lines,
        total,
        since: first.map(time::day),
    })
}
