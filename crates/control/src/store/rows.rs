//! What the policy remembers, as rows of tables: written, and read back.

use super::recognised;
use super::time::stored as time;
use api_key_lb_core::fact::{ModelId, SessionId};
use api_key_lb_core::headroom::{Axis, Bucket};
use api_key_lb_core::object::Keeping;
use api_key_lb_core::policy::ObjectRow;
use api_key_lb_core::policy::memory::{
    AccountRow, CooldownRow, KeyRow, LifetimeRow, LimitRow, Memory, OwnerRow, PlaceRow, SessionRow,
};
use api_key_lb_core::verdict::Matter;
use api_key_lb_core::{AccountId, KeyId, Moment};
use rusqlite::{Connection, Row, Statement, Transaction, params};

/// Bytes of a place: account, model, tokens, time.
const PLACE: usize = 8 + 4 + 4 + 8;
/// The tables that hold more about a row of `accounts`.
const OF_ACCOUNTS: [&str; 3] = ["cooldowns", "limits", "lifetimes"];

/// Writes rows, each in the place of an older one about the same.
pub(super) fn write(
    transaction: &Transaction<'_>,
    memory: &Memory,
    now: Moment,
) -> rusqlite::Result<()> {
    if !memory.owners.is_empty() {
        let mut put = transaction
            .prepare("INSERT OR REPLACE INTO owners (account, owner, noted) VALUES (?, ?, ?)")?;
        for row in &memory.owners {
            put.execute(params![number(row.account), number(row.owner), time(now)])?;
        }
    }
    if !memory.accounts.is_empty() {
        accounts(transaction, &memory.accounts, now)?;
    }
    if !memory.keys.is_empty() {
        keys(transaction, &memory.keys, now)?;
    }
    if !memory.sessions.is_empty() {
        let mut put = transaction.prepare(
            "INSERT OR REPLACE INTO sessions (id, account, served, used, bytes, tokens, places) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        for row in &memory.sessions {
            put.execute(params![
                row.id.0.to_be_bytes(),
                number(row.account),
                row.served,
                time(row.used),
                row.bytes,
                row.tokens,
                places(row),
            ])?;
        }
    }
    if !memory.objects.is_empty() {
        objects(transaction, &memory.objects)?;
    }
    recognised::write(transaction, memory)
}

fn objects(transaction: &Transaction<'_>, rows: &[ObjectRow]) -> rusqlite::Result<()> {
    let mut put = transaction.prepare(
        "INSERT OR REPLACE INTO objects (object, keeping, account, used) VALUES (?, ?, ?, ?)",
    )?;
    let mut remove = transaction.prepare("DELETE FROM objects WHERE object = ? AND keeping = ?")?;
    for row in rows {
        let (object, keeping) = (row.object.cast_signed(), keeping_number(row.keeping));
        match row.account {
            Some(account) => {
                put.execute(params![object, keeping, number(account), time(row.used)])?;
            }
            None => {
                remove.execute(params![object, keeping])?;
            }
        }
    }
    Ok(())
}

fn accounts(
    transaction: &Transaction<'_>,
    rows: &[AccountRow],
    now: Moment,
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare(
        "INSERT OR REPLACE INTO accounts (id, noted, credit_until, credit_streak, all_at_once, \
         at_once, refused_at_once, refused_when, first_byte, recent, counted) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut clear = Vec::new();
    for table in OF_ACCOUNTS {
        clear.push(transaction.prepare(&format!("DELETE FROM {table} WHERE account = ?"))?);
    }
    let mut cooldown = transaction.prepare(
        "INSERT INTO cooldowns (account, model, until, last_until, streak, why, recovers_with) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut limit = transaction.prepare(
        "INSERT INTO limits (account, model, axis, whole_account, most, remaining, reset, at, \
         requests, tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut lifetime = transaction
        .prepare("INSERT INTO lifetimes (account, model, hits, misses) VALUES (?, ?, ?, ?)")?;
    for row in rows {
        let id = number(row.id);
        put.execute(params![
            id,
            time(now),
            time(row.credit.0),
            row.credit.1,
            row.all_at_once,
            row.at_once,
            row.refused_at_once.map(|(most, _)| most),
            row.refused_at_once.map(|(_, at)| time(at)),
            row.first_byte,
            row.recent.0,
            time(row.recent.1),
        ])?;
        for statement in &mut clear {
            statement.execute([id])?;
        }
        for row in &row.cooldowns {
            cooldown.execute(params![
                id,
                model(row.model),
                time(row.until),
                row.last_until.map(time),
                row.streak,
                row.why.map(Matter::word),
                row.recovers_with,
            ])?;
        }
        for row in &row.limits {
            let bucket = &row.bucket;
            limit.execute(params![
                id,
                model(row.model),
                axis_word(bucket.axis),
                bucket.whole_account,
                bucket.limit.map(u64::cast_signed),
                bucket.remaining.cast_signed(),
                bucket.reset.map(time),
                time(row.at),
                row.requests.cast_signed(),
                row.tokens.cast_signed(),
            ])?;
        }
        for row in &row.lifetimes {
            lifetime.execute(params![id, model(row.model), row.hits, row.misses])?;
        }
    }
    Ok(())
}

fn keys(transaction: &Transaction<'_>, rows: &[KeyRow], now: Moment) -> rusqlite::Result<()> {
    let mut put = transaction.prepare(
        "INSERT OR REPLACE INTO keys (id, noted, refused_until, refused_streak, trouble, turn, \
         disabled) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut clear = transaction.prepare("DELETE FROM lacks WHERE key = ?")?;
    let mut lack =
        transaction.prepare("INSERT INTO lacks (key, model, until, streak) VALUES (?, ?, ?, ?)")?;
    for row in rows {
        let id = row.id.number().cast_signed();
        put.execute(params![
            id,
            time(now),
            time(row.refused.0),
            row.refused.1,
            row.trouble.map(Matter::word),
            row.turn,
            row.disabled,
        ])?;
        clear.execute([id])?;
        for (of, until, streak) in &row.lacks {
            lack.execute(params![id, model(Some(*of)), time(*until), streak])?;
        }
    }
    Ok(())
}

/// Everything, with the latest `most` of the sessions used since `since`.
pub(super) fn read(
    connection: &Connection,
    since: Moment,
    most: usize,
) -> rusqlite::Result<Memory> {
    let mut sessions = list(
        connection.prepare(
            "SELECT id, account, served, used, bytes, tokens, places FROM sessions \
             WHERE used >= ? ORDER BY used DESC LIMIT ?",
        )?,
        params![time(since), i64::try_from(most).unwrap_or(i64::MAX)],
        session,
    )?;
    sessions.reverse();
    let mut accounts = list(
        connection.prepare(
            "SELECT id, credit_until, credit_streak, all_at_once, at_once, refused_at_once, \
             refused_when, first_byte, recent, counted FROM accounts",
        )?,
        [],
        account,
    )?;
    let (mut cooldowns, mut limits, mut lifetimes) = (
        connection.prepare(
            "SELECT model, until, last_until, streak, why, recovers_with FROM cooldowns \
             WHERE account = ? ORDER BY rowid",
        )?,
        connection.prepare(
            "SELECT model, axis, whole_account, most, remaining, reset, at, requests, tokens \
             FROM limits WHERE account = ? ORDER BY rowid",
        )?,
        connection.prepare(
            "SELECT model, hits, misses FROM lifetimes WHERE account = ? ORDER BY rowid",
        )?,
    );
    for row in &mut accounts {
        let id = [number(row.id)];
        row.cooldowns = cooldowns
            .query_map(id, cooldown)?
            .collect::<Result<_, _>>()?;
        row.limits = flat(limits.query_map(id, limit)?)?;
        row.lifetimes = flat(lifetimes.query_map(id, lifetime)?)?;
    }
    let mut keys = list(
        connection.prepare(
            "SELECT id, refused_until, refused_streak, trouble, turn, disabled FROM keys",
        )?,
        [],
        key,
    )?;
    let mut lacks = connection
        .prepare("SELECT model, until, streak FROM lacks WHERE key = ? ORDER BY rowid")?;
    for row in &mut keys {
        let of_key = lacks.query_map([row.id.number().cast_signed()], |row| {
            let model = ModelId::from_number(row.get::<_, i64>(0)?.cast_unsigned());
            Ok((model, moment(row, 1)?, row.get(2)?))
        })?;
        row.lacks = of_key.collect::<Result<_, _>>()?;
    }
    let owners = list(
        connection.prepare("SELECT account, owner FROM owners")?,
        [],
        |row| {
            Ok(OwnerRow {
                account: account_id(row, 0)?,
                owner: account_id(row, 1)?,
            })
        },
    )?;
    let objects = flat(
        connection
            .prepare("SELECT object, keeping, account, used FROM objects ORDER BY used")?
            .query_map([], object)?,
    )?;
    let mut memory = Memory {
        objects,
        sessions,
        accounts,
        keys,
        owners,
        ..Memory::default()
    };
    recognised::read(connection, &mut memory, since, most)?;
    Ok(memory)
}

pub(super) fn list<T>(
    mut statement: Statement<'_>,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    statement.query_map(params, read)?.collect()
}

/// Those that could be understood.
fn flat<T>(rows: impl Iterator<Item = rusqlite::Result<Option<T>>>) -> rusqlite::Result<Vec<T>> {
    rows.filter_map(Result::transpose).collect()
}

fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: SessionId(u128::from_be_bytes(row.get(0)?)),
        account: account_id(row, 1)?,
        served: row.get(2)?,
        used: moment(row, 3)?,
        bytes: row.get(4)?,
        tokens: row.get(5)?,
        places: places_of(&row.get::<_, Vec<u8>>(6)?),
    })
}

fn account(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    let refused: Option<f32> = row.get(5)?;
    let refused_when = moment_or_none(row, 6)?;
    Ok(AccountRow {
        id: account_id(row, 0)?,
        credit: (moment(row, 1)?, row.get(2)?),
        all_at_once: row.get(3)?,
        at_once: row.get(4)?,
        refused_at_once: refused.zip(refused_when),
        first_byte: row.get(7)?,
        recent: (row.get(8)?, moment(row, 9)?),
        cooldowns: Vec::new(),
        limits: Vec::new(),
        lifetimes: Vec::new(),
    })
}

fn cooldown(row: &Row<'_>) -> rusqlite::Result<CooldownRow> {
    let why: Option<String> = row.get(4)?;
    Ok(CooldownRow {
        model: model_of(row, 0)?,
        until: moment(row, 1)?,
        last_until: moment_or_none(row, 2)?,
        streak: row.get(3)?,
        why: why.as_deref().and_then(Matter::remembered),
        recovers_with: row.get(5)?,
    })
}

fn limit(row: &Row<'_>) -> rusqlite::Result<Option<LimitRow>> {
    let count = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let Some(axis) = axis_of(&row.get::<_, String>(1)?) else {
        return Ok(None);
    };
    Ok(Some(LimitRow {
        model: model_of(row, 0)?,
        bucket: Bucket {
            axis,
            whole_account: row.get(2)?,
            limit: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
            remaining: count(4)?,
            reset: moment_or_none(row, 5)?,
        },
        at: moment(row, 6)?,
        requests: count(7)?,
        tokens: count(8)?,
    }))
}

fn lifetime(row: &Row<'_>) -> rusqlite::Result<Option<LifetimeRow>> {
    let (hits, misses): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
    // With other classes of age than ours they say nothing.
    let (Ok(hits), Ok(misses)) = (hits.try_into(), misses.try_into()) else {
        return Ok(None);
    };
    let model = model_of(row, 0)?;
    Ok(Some(LifetimeRow {
        model,
        hits,
        misses,
    }))
}

fn object(row: &Row<'_>) -> rusqlite::Result<Option<ObjectRow>> {
    let Some(keeping) = keeping_of(row.get(1)?) else {
        return Ok(None);
    };
    Ok(Some(ObjectRow {
        object: row.get::<_, i64>(0)?.cast_unsigned(),
        keeping,
        account: Some(account_id(row, 2)?),
        used: moment(row, 3)?,
    }))
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let trouble: Option<String> = row.get(3)?;
    Ok(KeyRow {
        id: KeyId::from_number(row.get::<_, i64>(0)?.cast_unsigned()),
        refused: (moment(row, 1)?, row.get(2)?),
        trouble: trouble.as_deref().and_then(Matter::remembered),
        turn: row.get(4)?,
        disabled: row.get(5)?,
        lacks: Vec::new(),
    })
}

/// The places one after the other, those that are empty left out.
fn places(row: &SessionRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SessionRow::PLACES * PLACE);
    for place in row.places.iter().flatten() {
        bytes.extend_from_slice(&place.account.number().to_be_bytes());
        bytes.extend_from_slice(&place.model.to_be_bytes());
        bytes.extend_from_slice(&place.tokens.to_be_bytes());
        bytes.extend_from_slice(&place.at.unix_millis().to_be_bytes());
    }
    bytes
}

fn places_of(bytes: &[u8]) -> [Option<PlaceRow>; SessionRow::PLACES] {
    let mut places = [None; SessionRow::PLACES];
    for (place, bytes) in places.iter_mut().zip(bytes.chunks_exact(PLACE)) {
        let number = |from: usize, bytes_long: usize| {
            let bytes = bytes[from..from + bytes_long].iter();
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        *place = Some(PlaceRow {
            account: AccountId::from_number(number(0, 8)),
            model: number(8, 4) as u32,
            tokens: number(12, 4) as u32,
            at: Moment::from_unix_millis(number(16, 8)),
        });
    }
    places
}

const fn keeping_number(keeping: Keeping) -> i64 {
    match keeping {
        Keeping::Stored => 1,
        Keeping::Answer => 2,
        Keeping::Sealed => 3,
    }
}

fn keeping_of(number: i64) -> Option<Keeping> {
    let all = [Keeping::Stored, Keeping::Answer, Keeping::Sealed];
    all.into_iter()
        .find(|keeping| keeping_number(*keeping) == number)
}

const fn axis_word(axis: Axis) -> &'static str {
    match axis {
        Axis::Requests => "requests",
        Axis::Tokens => "tokens",
        Axis::InputTokens => "input_tokens",
        Axis::OutputTokens => "output_tokens",
        Axis::Window => "window",
    }
}

fn axis_of(word: &str) -> Option<Axis> {
    let all = [
        Axis::Requests,
        Axis::Tokens,
        Axis::InputTokens,
        Axis::OutputTokens,
        Axis::Window,
    ];
    all.into_iter().find(|axis| axis_word(*axis) == word)
}

// SQLite's numbers have a sign; the bits are the same.

const fn number(account: AccountId) -> i64 {
    account.number().cast_signed()
}

fn model(model: Option<ModelId>) -> Option<i64> {
    model.map(|model| model.number().cast_signed())
}

fn account_id(row: &Row<'_>, at: usize) -> rusqlite::Result<AccountId> {
    Ok(AccountId::from_number(
        row.get::<_, i64>(at)?.cast_unsigned(),
    ))
}

fn model_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<ModelId>> {
    let model: Option<i64> = row.get(at)?;
    Ok(model.map(|model| ModelId::from_number(model.cast_unsigned())))
}

pub(super) fn moment(row: &Row<'_>, at: usize) -> rusqlite::Result<Moment> {
    let millis: i64 = row.get(at)?;
    Ok(Moment::from_unix_millis(u64::try_from(millis).unwrap_or(0)))
}

fn moment_or_none(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Moment>> {
    let millis: Option<i64> = row.get(at)?;
    Ok(millis.map(|millis| Moment::from_unix_millis(u64::try_from(millis).unwrap_or(0))))
}
