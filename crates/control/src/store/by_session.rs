//! What each session has used: added to the file, asked for, and removed when it is old.

use std::collections::HashMap;

use api_key_lb_core::Moment;
use api_key_lb_core::fact::SessionId;
use rusqlite::{Connection, Transaction, params};

use super::tally::{SessionCounts, SessionSlot};
use super::time::HOUR_MS;
use super::usage::{By, Fold, Line, MOST, Report, SUMS, counts, key_of, whole};
use crate::prices::Prices;

/// Adds sums to what is there.
pub(super) fn add(
    transaction: &Transaction<'_>,
    sessions: &HashMap<SessionSlot, SessionCounts>,
) -> rusqlite::Result<()> {
    // An older version may have taken the file over, and made one without.
    if sessions.is_empty() || !is_kept(transaction)? {
        return Ok(());
    }
    let mut add = transaction.prepare(
        "INSERT INTO session_usage (session, key, model, used, requests, errors, throttles, prompt, \
         cached, written, output, waited_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
         ON CONFLICT (session, key, model) DO UPDATE SET used = max(used, ?4), \
         requests = min(requests + ?5, ?13), errors = min(errors + ?6, ?13), \
         throttles = min(throttles + ?7, ?13), prompt = min(prompt + ?8, ?13), \
         cached = min(cached + ?9, ?13), written = min(written + ?10, ?13), \
         output = min(output + ?11, ?13), waited_ms = min(waited_ms + ?12, ?13)",
    )?;
    for (slot, SessionCounts { counts, used }) in sessions {
        add.execute(params![
            slot.session.0.to_be_bytes(),
            slot.key.number().cast_signed(),
            slot.model,
            used,
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

/// Removes what was last used before the hour `before`.
pub(super) fn remove(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<usize> {
    let before = before.saturating_mul(HOUR_MS.cast_signed());
    transaction.execute("DELETE FROM session_usage WHERE used < ?", [before])
}

/// The sessions that were used since the hour `since`, the last used first.
pub(super) fn read(
    connection: &Connection,
    by: &[By],
    since: Option<i64>,
    prices: &Prices,
) -> rusqlite::Result<Report> {
    let mut fold = Fold::new(by.contains(&By::Model), prices);
    if !is_kept(connection)? {
        return Ok(fold.report());
    }
    let (key, label) = if by.contains(&By::Key) {
        ("usage.key", "max(label)")
    } else {
        ("0", "NULL")
    };
    let mut query = connection.prepare(&format!(
        "SELECT {SUMS}, usage.session, {key}, model, {label} AS name, last \
         FROM session_usage AS usage \
         JOIN (SELECT session, max(used) AS last FROM session_usage GROUP BY session) AS ends \
             ON ends.session = usage.session \
         LEFT JOIN labels ON labels.key = usage.key WHERE last >= ? \
         GROUP BY 9, 10, 11 ORDER BY last DESC, 9, name IS NULL, name, 10, 11"
    ))?;
    let since = since.map(|hour| hour.saturating_mul(HOUR_MS.cast_signed()));
    let mut rows = query.query([since.unwrap_or(i64::MIN)])?;
    while let Some(row) = rows.next()? {
        let used: i64 = row.get(12)?;
        let line = Line {
            session: Some(SessionId(u128::from_be_bytes(row.get(8)?))),
            used: Some(Moment::from_unix_millis(u64::try_from(used).unwrap_or(0))),
            key: if by.contains(&By::Key) {
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

/// Whether the file has what this is about: one of an older version, which nobody has brought up to
/// date yet, does not.
fn is_kept(connection: &Connection) -> rusqlite::Result<bool> {
    let mut query = connection
        .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'session_usage'")?;
    query.exists([])
}
