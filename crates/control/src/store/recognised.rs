//! What sessions are recognised by, as rows of tables: written, and read back.

use api_key_lb_core::Moment;
use api_key_lb_core::fact::SessionId;
use api_key_lb_core::policy::SplitReason;
use api_key_lb_core::policy::memory::{AnswerRow, LinkRow, Memory, SharedRow, ThreadRow};
use rusqlite::{Connection, Row, Transaction, params};

use super::rows::{list, moment};
use super::time::stored as time;

/// Bytes of a link: position with [`GROWN`], rank, hash.
const LINK: usize = 4 + 2 + 8;
/// Set in the position of a link that a session has grown to; no conversation has so many messages.
const GROWN: u32 = 1 << 31;
/// Bytes of an opener: a part of its hash, seconds.
const OPENER: usize = 4 + 4;

/// Writes rows, each in the place of an older one about the same.
pub(super) fn write(transaction: &Transaction<'_>, memory: &Memory) -> rusqlite::Result<()> {
    if !memory.threads.is_empty() {
        threads(transaction, &memory.threads)?;
    }
    if !memory.shared.is_empty() {
        shared(transaction, &memory.shared)?;
    }
    if !memory.answers.is_empty() {
        let mut put = transaction.prepare(
            "INSERT OR REPLACE INTO answers (answer, session, learned) VALUES (?, ?, ?)",
        )?;
        for row in &memory.answers {
            let session = row.session.0.to_be_bytes();
            put.execute(params![
                row.answer.cast_signed(),
                session,
                time(row.learned)
            ])?;
        }
    }
    Ok(())
}

fn threads(transaction: &Transaction<'_>, rows: &[ThreadRow]) -> rusqlite::Result<()> {
    let mut put = transaction.prepare(
        "INSERT OR REPLACE INTO threads (id, used, length, last, before_last, opening, \
         began_twice, named, read_bytes, stride, links) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let mut links = Vec::new();
    for row in rows {
        links.clear();
        for one in &row.links {
            let grown = if one.grown { GROWN } else { 0 };
            links.extend_from_slice(&(one.position & !GROWN | grown).to_be_bytes());
            links.extend_from_slice(&one.rank.to_be_bytes());
            links.extend_from_slice(&one.link.to_be_bytes());
        }
        put.execute(params![
            row.id.0.to_be_bytes(),
            time(row.used),
            row.length,
            row.end.cast_signed(),
            row.before_end.cast_signed(),
            row.opening,
            row.began_twice,
            row.named,
            row.read_bytes.cast_signed(),
            row.stride,
            links,
        ])?;
    }
    Ok(())
}

fn shared(transaction: &Transaction<'_>, rows: &[SharedRow]) -> rusqlite::Result<()> {
    let mut put = transaction.prepare(
        "INSERT OR REPLACE INTO shared (id, used, why, many, since, openers) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for row in rows {
        let mut openers = Vec::with_capacity(row.openers.len() * OPENER);
        for (opener, seen) in &row.openers {
            openers.extend_from_slice(&opener.to_be_bytes());
            openers.extend_from_slice(&seen.to_be_bytes());
        }
        let why = row.split.map(|(why, _)| match why {
            SplitReason::InFlight(many) => ("in_flight", i64::from(many)),
            SplitReason::Openers(many) => ("openers", i64::try_from(many).unwrap_or(i64::MAX)),
        });
        put.execute(params![
            row.id.0.to_be_bytes(),
            time(row.used),
            why.map(|(word, _)| word),
            why.map(|(_, many)| many),
            row.split.map(|(_, since)| time(since)),
            openers,
        ])?;
    }
    Ok(())
}

/// Reads the latest `most` of each kind that were used since `since` into `memory`.
pub(super) fn read(
    connection: &Connection,
    memory: &mut Memory,
    since: Moment,
    most: usize,
) -> rusqlite::Result<()> {
    let bounds = params![time(since), i64::try_from(most).unwrap_or(i64::MAX)];
    // A session whose messages were not read of late may have been used all the same.
    memory.threads = list(
        connection.prepare(
            "SELECT id, used, length, last, before_last, opening, began_twice, named, read_bytes, \
             stride, links FROM threads WHERE used >= ?1 OR EXISTS \
             (SELECT 1 FROM sessions WHERE sessions.id = threads.id AND sessions.used >= ?1) \
             ORDER BY used DESC LIMIT ?2",
        )?,
        bounds,
        thread,
    )?;
    memory.shared = list(
        connection.prepare(
            "SELECT id, used, why, many, since, openers FROM shared \
             WHERE used >= ? ORDER BY used DESC LIMIT ?",
        )?,
        bounds,
        shared_of,
    )?;
    memory.answers = list(
        connection.prepare(
            "SELECT answer, session, learned FROM answers \
             WHERE learned >= ? ORDER BY learned DESC LIMIT ?",
        )?,
        bounds,
        |row| {
            Ok(AnswerRow {
                answer: row.get::<_, i64>(0)?.cast_unsigned(),
                session: SessionId(u128::from_be_bytes(row.get(1)?)),
                learned: moment(row, 2)?,
            })
        },
    )?;
    memory.threads.reverse();
    memory.shared.reverse();
    memory.answers.reverse();
    Ok(())
}

fn thread(row: &Row<'_>) -> rusqlite::Result<ThreadRow> {
    let bits = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let links = row.get_ref(10)?.as_blob()?.chunks_exact(LINK);
    Ok(ThreadRow {
        id: SessionId(u128::from_be_bytes(row.get(0)?)),
        used: moment(row, 1)?,
        length: row.get(2)?,
        end: bits(3)?,
        before_end: bits(4)?,
        opening: row.get(5)?,
        began_twice: row.get(6)?,
        named: row.get(7)?,
        read_bytes: bits(8)?,
        stride: row.get(9)?,
        links: links
            .map(|link| LinkRow {
                position: number(&link[..4]) as u32 & !GROWN,
                rank: number(&link[4..6]) as u16,
                grown: number(&link[..4]) as u32 & GROWN != 0,
                link: number(&link[6..]),
            })
            .collect(),
    })
}

fn shared_of(row: &Row<'_>) -> rusqlite::Result<SharedRow> {
    let why: Option<String> = row.get(2)?;
    let (many, since): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
    let many = many.unwrap_or(0);
    let why = match why.as_deref() {
        Some("in_flight") => Some(SplitReason::InFlight(u32::try_from(many).unwrap_or(0))),
        Some("openers") => Some(SplitReason::Openers(usize::try_from(many).unwrap_or(0))),
        _ => None,
    };
    let since = since.map(|millis| Moment::from_unix_millis(u64::try_from(millis).unwrap_or(0)));
    let openers = row.get_ref(5)?.as_blob()?.chunks_exact(OPENER);
    Ok(SharedRow {
        id: SessionId(u128::from_be_bytes(row.get(0)?)),
        used: moment(row, 1)?,
        split: why.zip(since),
        openers: openers
            .map(|opener| (number(&opener[..4]) as u32, number(&opener[4..]) as u32))
            .collect(),
    })
}

/// High byte first.
fn number(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter();
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}
