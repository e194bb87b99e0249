//! The tables, and how a file of an older version becomes one of this.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// What tells our files from those of other programs that use SQLite: "AKLB".
pub(super) const APPLICATION: i64 = 0x414B_4C42;
/// The version that this program writes: how many steps there are.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// What leads from each version to the next. Steps that were released stay as they are.
///
/// Sessions, accounts, keys, models and objects are hashes; times are milliseconds since 1970, hours are
/// hours. Only `usage`, `session_usage` and `labels` hold texts: the names of models that were served, and what the
/// configuration calls its keys.
const STEPS: &[&str] = &[FIRST, RECOGNITION, DISABLED, SESSION_USAGE];

const FIRST: &str = "
    CREATE TABLE sessions (
        id BLOB PRIMARY KEY, account INTEGER NOT NULL, served INTEGER NOT NULL, used INTEGER NOT NULL,
        bytes INTEGER NOT NULL, tokens INTEGER NOT NULL, places BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY, noted INTEGER NOT NULL, credit_until INTEGER NOT NULL,
        credit_streak INTEGER NOT NULL, all_at_once INTEGER NOT NULL, at_once REAL,
        refused_at_once REAL, refused_when INTEGER, first_byte REAL, recent REAL NOT NULL,
        counted INTEGER NOT NULL
    );
    CREATE TABLE cooldowns (
        account INTEGER NOT NULL, model INTEGER, until INTEGER NOT NULL, last_until INTEGER,
        streak INTEGER NOT NULL, why TEXT, recovers_with INTEGER
    );
    CREATE INDEX cooldowns_of ON cooldowns (account);
    CREATE TABLE limits (
        account INTEGER NOT NULL, model INTEGER, axis TEXT NOT NULL, whole_account INTEGER NOT NULL,
        most INTEGER, remaining INTEGER NOT NULL, reset INTEGER, at INTEGER NOT NULL,
        requests INTEGER NOT NULL, tokens INTEGER NOT NULL
    );
    CREATE INDEX limits_of ON limits (account);
    CREATE TABLE lifetimes (
        account INTEGER NOT NULL, model INTEGER, hits BLOB NOT NULL, misses BLOB NOT NULL
    );
    CREATE INDEX lifetimes_of ON lifetimes (account);
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY, noted INTEGER NOT NULL, refused_until INTEGER NOT NULL,
        refused_streak INTEGER NOT NULL, trouble TEXT, turn INTEGER NOT NULL
    );
    CREATE TABLE lacks (
        key INTEGER NOT NULL, model INTEGER NOT NULL, until INTEGER NOT NULL, streak INTEGER NOT NULL
    );
    CREATE INDEX lacks_of ON lacks (key);
    CREATE TABLE owners (
        account INTEGER PRIMARY KEY, owner INTEGER NOT NULL, noted INTEGER NOT NULL
    );
    CREATE TABLE objects (
        object INTEGER NOT NULL, keeping INTEGER NOT NULL, account INTEGER NOT NULL,
        used INTEGER NOT NULL, PRIMARY KEY (object, keeping)
    ) WITHOUT ROWID;
    CREATE TABLE labels (key INTEGER PRIMARY KEY, label TEXT NOT NULL, noted INTEGER NOT NULL);
    CREATE TABLE usage (
        hour INTEGER NOT NULL, key INTEGER NOT NULL, model TEXT NOT NULL,
        requests INTEGER NOT NULL, errors INTEGER NOT NULL, throttles INTEGER NOT NULL,
        prompt INTEGER NOT NULL, cached INTEGER NOT NULL, written INTEGER NOT NULL,
        output INTEGER NOT NULL, waited_ms INTEGER NOT NULL,
        PRIMARY KEY (hour, key, model)
    ) WITHOUT ROWID;
";

/// What conversations without an id are recognised by.
const RECOGNITION: &str = "
    CREATE TABLE threads (
        id BLOB PRIMARY KEY, used INTEGER NOT NULL, length INTEGER NOT NULL, last INTEGER NOT NULL,
        before_last INTEGER NOT NULL, opening INTEGER NOT NULL, began_twice INTEGER NOT NULL,
        named INTEGER NOT NULL, read_bytes INTEGER NOT NULL, stride INTEGER NOT NULL,
        links BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE shared (
        id BLOB PRIMARY KEY, used INTEGER NOT NULL, why TEXT, many INTEGER, since INTEGER,
        openers BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE answers (
        answer INTEGER PRIMARY KEY, session BLOB NOT NULL, learned INTEGER NOT NULL
    );
";

/// Which keys a person has taken out of use.
const DISABLED: &str = "ALTER TABLE keys ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;";

/// What each session has used: sums over all its time, so that it costs a row or two, not one an hour.
const SESSION_USAGE: &str = "
    CREATE TABLE session_usage (
        session BLOB NOT NULL, key INTEGER NOT NULL, model TEXT NOT NULL, used INTEGER NOT NULL,
        requests INTEGER NOT NULL, errors INTEGER NOT NULL, throttles INTEGER NOT NULL,
        prompt INTEGER NOT NULL, cached INTEGER NOT NULL, written INTEGER NOT NULL,
        output INTEGER NOT NULL, waited_ms INTEGER NOT NULL,
        PRIMARY KEY (session, key, model)
    ) WITHOUT ROWID;
";

/// The version of the file; 0 if it is new.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the file up to this version, or leaves it as it was.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? >= VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    let done = usize::try_from(version(&transaction)?).unwrap_or(0);
    if done >= STEPS.len() {
        return Ok(());
    }
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    sign(&transaction)?;
    transaction.commit()
}

fn sign(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    ))
}

/// A file as the first version made it.
#[cfg(test)]
pub(super) fn make_first(connection: &Connection) {
    let sql = format!("{FIRST} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1;");
    connection.execute_batch(&sql).unwrap();
}
