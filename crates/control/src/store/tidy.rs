//! The file's size is bounded: what is older than it is kept for goes, and its space with it.

use std::time::Duration;

use api_key_lb_core::Moment;
use rusqlite::{Connection, Transaction};

use super::time;

/// How long accounts, keys and names of keys are kept that nothing more was heard of: longer than
/// any quota lasts.
const FORGET_AFTER: Duration = Duration::from_secs(90 * 24 * 3600);
/// Pages given back at a time, so that no transaction takes long: 2 MB.
const PAGES: u32 = 512;
/// Rows of usage at most: some 200 MB. Far beyond what anybody's keys and models come to.
const MOST_USAGE: i64 = 2_000_000;

/// For how long it is kept which account has a file, a response …
const OBJECTS_FOR: Duration = Duration::from_secs(180 * 24 * 3600);
/// … and of how many.
const MOST_OBJECTS: usize = 200_000;

/// For how long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Sessions that have not been used for so long are forgotten.
    pub session_ttl: Duration,
    /// So many sessions are kept.
    pub sessions: usize,
    /// Usage is kept for so many days.
    pub usage_days: u32,
}

impl Retention {
    /// The first hour of which the usage is kept.
    pub fn first_hour(&self, now: Moment) -> i64 {
        time::hour(now) - i64::from(self.usage_days) * time::HOURS_OF_A_DAY
    }

    /// The earliest use, in milliseconds since 1970, of a session that is kept.
    pub fn first_use(&self, now: Moment) -> i64 {
        let ttl = u64::try_from(self.session_ttl.as_millis()).unwrap_or(u64::MAX);
        i64::try_from(now.unix_millis().saturating_sub(ttl)).unwrap_or(i64::MAX)
    }
}

/// Removes what is over.
pub(super) fn tidy(
    connection: &mut Connection,
    retention: &Retention,
    now: Moment,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "DELETE FROM usage WHERE hour < ?",
        [retention.first_hour(now)],
    )?;
    super::by_session::remove(&transaction, retention.first_hour(now))?;
    let usage: i64 = transaction.query_row("SELECT count(*) FROM usage", [], |row| row.get(0))?;
    if usage > MOST_USAGE {
        transaction.execute(
            "DELETE FROM usage WHERE hour <= (SELECT hour FROM usage ORDER BY hour LIMIT 1 OFFSET ?)",
            [usage - MOST_USAGE],
        )?;
    }
    sessions(&transaction, retention.first_use(now))?;
    for (table, used) in [
        ("sessions", "used"),
        ("session_usage", "used"),
        ("threads", "used"),
        ("shared", "used"),
        ("answers", "learned"),
    ] {
        newest(&transaction, table, used, retention.sessions)?;
    }
    let forgotten = now
        .unix_millis()
        .saturating_sub(FORGET_AFTER.as_millis() as u64);
    let forgotten = i64::try_from(forgotten).unwrap_or(i64::MAX);
    for table in ["accounts", "owners"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE noted < ?"), [forgotten])?;
    }
    // One that a person has taken out of use stays so, however long ago that was.
    transaction.execute(
        "DELETE FROM keys WHERE noted < ? AND NOT disabled",
        [forgotten],
    )?;
    for table in ["cooldowns", "limits", "lifetimes"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE account NOT IN (SELECT id FROM accounts)"),
            [],
        )?;
    }
    transaction.execute(
        "DELETE FROM lacks WHERE key NOT IN (SELECT id FROM keys)",
        [],
    )?;
    transaction.execute(
        "DELETE FROM labels WHERE noted < ? AND key NOT IN (SELECT key FROM usage)",
        [forgotten],
    )?;
    objects(&transaction, now)?;
    transaction.commit()?;
    give_back_space(connection, Some(PAGES))
}

/// The policy keeps no more, and for no longer.
fn objects(transaction: &Transaction<'_>, now: Moment) -> rusqlite::Result<()> {
    let millis = now
        .unix_millis()
        .saturating_sub(OBJECTS_FOR.as_millis() as u64);
    let before = i64::try_from(millis).unwrap_or(i64::MAX);
    transaction.execute("DELETE FROM objects WHERE used < ?", [before])?;
    newest(transaction, "objects", "used", MOST_OBJECTS)
}

/// Removes sessions not used since `before`, and what they were recognised by; how many there were.
pub(super) fn sessions(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<usize> {
    let sessions = transaction.execute("DELETE FROM sessions WHERE used < ?", [before])?;
    // Of those that are left, the messages may not have been read of late.
    transaction.execute(
        "DELETE FROM threads WHERE used < ? AND id NOT IN (SELECT id FROM sessions)",
        [before],
    )?;
    transaction.execute("DELETE FROM shared WHERE used < ?", [before])?;
    transaction.execute("DELETE FROM answers WHERE learned < ?", [before])?;
    Ok(sessions)
}

/// Leaves the latest `most` rows of a table.
fn newest(
    transaction: &Transaction<'_>,
    table: &str,
    used: &str,
    most: usize,
) -> rusqlite::Result<()> {
    let sql = format!("SELECT count(*) FROM {table}");
    let count: i64 = transaction.query_row(&sql, [], |row| row.get(0))?;
    let over = count.saturating_sub_unsigned(most as u64);
    if over > 0 {
        transaction.execute(
            &format!(
                "DELETE FROM {table} WHERE {used} < \
                 (SELECT {used} FROM {table} ORDER BY {used} LIMIT 1 OFFSET ?)"
            ),
            [over],
        )?;
    }
    Ok(())
}

/// Shortens the file by what is empty in it, at most by so many pages.
pub(super) fn give_back_space(connection: &Connection, pages: Option<u32>) -> rusqlite::Result<()> {
    let pages = pages.unwrap_or(0);
    // It frees one page per row that is asked for.
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(vacuum);
    if pages == 0 {
        // Fails to finish, not to begin, while somebody reads; then the log is cut later.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}
