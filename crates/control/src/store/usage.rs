//! Usage by hour, key and model: added to the file, asked for, and removed when it is old.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use api_key_lb_core::fact::{SessionId, Usage};
use api_key_lb_core::{KeyId, Moment};
use rusqlite::{Connection, Row, Transaction, params};

use super::tally::{Counts, Slot};
use super::{StoreError, by_session, file, time};
use crate::prices::{Cost, Prices};

/// The most that a row may come to, in tokens or milliseconds: what a provider states may be any
/// number, and sums over two million rows must still be numbers to SQLite.
pub(super) const MOST: u64 = 1 << 41;

/// What is counted, as sums: [`counts`] reads them.
pub(super) const SUMS: &str = "sum(requests), sum(errors), sum(throttles), sum(prompt), sum(cached), \
     sum(written), sum(output), sum(waited_ms)";

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
    /// One session, over all its time: days and hours are not told apart then.
    Session,
}

/// A line of a report; what it was not asked to tell apart is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The day or hour, as a date.
    pub when: Option<String>,
    /// What the key is called, and its identity; no name if no key was used.
    pub key: Option<(String, String)>,
    /// The model; empty if none was named.
    pub model: Option<String>,
    /// The session.
    pub session: Option<SessionId>,
    /// When that was last used.
    pub used: Option<Moment>,
    /// What was counted.
    pub counts: Counts,
    /// What it cost.
    pub worth: Worth,
}

/// What tokens cost, as far as their prices are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worth {
    /// Of those with a price; `None` if there were none.
    pub cost: Option<Cost>,
    /// Tokens without a price, cached ones included.
    pub unpriced: u64,
}

impl Worth {
    /// Of what was counted of one model.
    pub fn of(model: &str, counts: &Counts, prices: &Prices) -> Self {
        let tokens = counts.prompt.saturating_add(counts.output);
        if tokens == 0 {
            return Self::default();
        }
        let usage = Usage {
            prompt: counts.prompt,
            cached: counts.cached,
            written: counts.written,
            output: counts.output,
        };
        let cost = prices.cost(model, &usage);
        Self {
            cost,
            unpriced: if cost.is_none() { tokens } else { 0 },
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        if let Some(cost) = &other.cost {
            self.cost.get_or_insert_default().add(cost);
        }
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
    }
}

/// What was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order of time, key and model; of sessions, the last used first.
    pub lines: Vec<Line>,
    /// All of it.
    pub total: Counts,
    /// What that cost.
    pub worth: Worth,
    /// Models that were used and have no price; the empty one if none was named.
    pub unpriced: BTreeSet<String>,
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

/// What is in the store at `path` from the hour `since` on; of sessions, those that were used since.
///
/// # Errors
/// If there is no store, or it cannot be read.
pub fn report(
    path: &Path,
    by: &[By],
    since: Option<i64>,
    prices: &Prices,
) -> Result<Report, StoreError> {
    let connection = file::open_to_read(path)?;
    read(&connection, by, since, prices).map_err(|source| StoreError::Sql {
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
        by_session::remove(&transaction, before)?;
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
pub(super) fn whole(count: u64) -> i64 {
    count.min(MOST).cast_signed()
}

fn read(
    connection: &Connection,
    by: &[By],
    since: Option<i64>,
    prices: &Prices,
) -> rusqlite::Result<Report> {
    let mut report = if by.contains(&By::Session) {
        by_session::read(connection, by, since, prices)?
    } else {
        by_hour(connection, by, since, prices)?
    };
    let first: Option<i64> =
        connection.query_row("SELECT min(hour) FROM usage", [], |row| row.get(0))?;
    report.since = first.map(time::day);
    Ok(report)
}

fn by_hour(
    connection: &Connection,
    by: &[By],
    since: Option<i64>,
    prices: &Prices,
) -> rusqlite::Result<Report> {
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
    // Prices are the model's, so models are always told apart here.
    let mut query = connection.prepare(&format!(
        "SELECT {SUMS}, {when}, {key}, model, {label} AS name \
         FROM usage LEFT JOIN labels ON labels.key = usage.key WHERE hour >= ? \
         GROUP BY 9, 10, 11 ORDER BY 9, name IS NULL, name, 10, 11"
    ))?;
    let mut rows = query.query([since.unwrap_or(i64::MIN)])?;
    let mut fold = Fold::new(tells(By::Model), prices);
    while let Some(row) = rows.next()? {
        let hour: i64 = row.get(8)?;
        let line = Line {
            when: match (tells(By::Hour), tells(By::Day)) {
                (true, _) => Some(time::day_and_hour(hour)),
                (false, true) => Some(time::day(hour)),
                (false, false) => None,
            },
            key: if tells(By::Key) {
                Some(key_of(row.get(9)?, row.get(11)?))
            } else {
                None
            },
            counts: counts(row)?,
            ..Line::default()
        };
        fold.add(line, row.get(10)?);
    }
    Ok(fold.report())
}

/// What a key is called, and its identity.
pub(super) fn key_of(id: i64, label: Option<String>) -> (String, String) {
    let id = KeyId::from_number(id.cast_unsigned());
    let name = match label {
        Some(label) => label,
        None if id == KeyId::default() => String::new(),
        None => id.to_string(),
    };
    (name, id.to_string())
}

/// The sums of [`SUMS`], which stand first in a row.
pub(super) fn counts(row: &Row<'_>) -> rusqlite::Result<Counts> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    Ok(Counts {
        requests: count(0)?,
        errors: count(1)?,
        throttles: count(2)?,
        prompt: count(3)?,
        cached: count(4)?,
        written: count(5)?,
        output: count(6)?,
        waited_ms: count(7)?,
    })
}

/// Puts rows together that differ in nothing but their model, if that is not asked for.
pub(super) struct Fold<'p> {
    models: bool,
    prices: &'p Prices,
    report: Report,
}

impl<'p> Fold<'p> {
    pub(super) fn new(models: bool, prices: &'p Prices) -> Self {
        Self {
            models,
            prices,
            report: Report::default(),
        }
    }

    /// Adds a row of `model`; those that belong together come one after the other.
    pub(super) fn add(&mut self, mut line: Line, model: String) {
        line.worth = Worth::of(&model, &line.counts, self.prices);
        if line.worth.unpriced > 0 {
            self.report.unpriced.insert(model.clone());
        }
        self.report.total.add(&line.counts);
        self.report.worth.add(&line.worth);
        line.model = self.models.then_some(model);
        let last = self.report.lines.last_mut().filter(|last| {
            let same = |last: &Line| (last.when.clone(), last.key.clone(), last.session);
            !self.models && same(last) == same(&line)
        });
        match last {
            Some(last) => {
                last.counts.add(&line.counts);
                last.worth.add(&line.worth);
                last.used = last.used.max(line.used);
            }
            None => self.report.lines.push(line),
        }
    }

    pub(super) fn report(self) -> Report {
        self.report
    }
}
