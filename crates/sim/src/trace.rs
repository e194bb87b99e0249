//! Recorded requests: the public Mooncake format (JSON lines), and the trace that comes with us.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use serde::Deserialize;

use crate::request::{BLOCK_TOKENS, Request};

/// The first half of Mooncake's conversation trace (Apache-2.0, see `traces/README.md`).
const BUILTIN: &[u8] = include_bytes!("../traces/mooncake_conversation.jsonl.gz");
/// Longest line that is read: a row of the largest context windows has some 20 000 ids.
const LONGEST_LINE: u64 = 4 << 20;

/// What is wrong with a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Reading failed.
    #[error("line {line}: cannot be read: {source}")]
    Read {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
    /// The line is not a row.
    #[error(
        "line {line}: {source}; a row is one JSON object with `timestamp` (milliseconds), \
         `input_length`, `output_length` (tokens) and `hash_ids` (ids of 512-token prefix blocks)"
    )]
    Row {
        /// Counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The line is longer than any row.
    #[error("line {line}: longer than {LONGEST_LINE} bytes; one request a line is expected")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// The ids do not cover the prompt.
    #[error(
        "line {line}: {ids} `hash_ids` for {tokens} tokens; one id for every 512 tokens is expected"
    )]
    Blocks {
        /// Counted from 1.
        line: usize,
        /// How many ids there are.
        ids: usize,
        /// For how many tokens.
        tokens: u64,
    },
}

#[derive(Deserialize)]
struct Row {
    timestamp: f64,
    input_length: u64,
    output_length: u64,
    hash_ids: Vec<u64>,
    /// Not in the public format: traces of our own may name the session.
    session: Option<u64>,
}

/// The rows of a trace, read one by one.
#[derive(Debug)]
pub struct Rows<R> {
    input: R,
    line: usize,
    text: Vec<u8>,
}

impl<R: BufRead> Rows<R> {
    /// The rows of `input`.
    pub const fn of(input: R) -> Self {
        Self {
            input,
            line: 0,
            text: Vec::new(),
        }
    }

    /// The next line into `self.text`; whether there was one.
    fn read_line(&mut self) -> Result<bool, TraceError> {
        self.text.clear();
        self.line += 1;
        let line = self.line;
        let mut limited = (&mut self.input).take(LONGEST_LINE);
        let read = limited
            .read_until(b'\n', &mut self.text)
            .map_err(|source| TraceError::Read { line, source })?;
        if read as u64 == LONGEST_LINE && self.text.last() != Some(&b'\n') {
            return Err(TraceError::Line { line });
        }
        Ok(read > 0)
    }

    fn row(&self) -> Result<Request, TraceError> {
        let line = self.line;
        let row: Row = serde_json::from_slice(&self.text)
            .map_err(|source| TraceError::Row { line, source })?;
        let ids = row.hash_ids.len();
        if row.input_length.div_ceil(BLOCK_TOKENS) != ids as u64 {
            return Err(TraceError::Blocks {
                line,
                ids,
                tokens: row.input_length,
            });
        }
        Ok(Request {
            at_ms: row.timestamp.max(0.0) as u64,
            input_tokens: row.input_length,
            output_tokens: row.output_length,
            blocks: Arc::from(row.hash_ids),
            session: row.session,
            ..Request::default()
        })
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Request, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(false) => return None,
                Ok(true) if self.text.trim_ascii().is_empty() => {}
                Ok(true) => return Some(self.row()),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A whole trace, in order of time.
///
/// # Errors
/// [`TraceError`] names the line and what is wrong with it.
pub fn read(input: impl BufRead) -> Result<Vec<Request>, TraceError> {
    let mut rows = Rows::of(input).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| row.at_ms);
    find_openings(&mut rows);
    Ok(rows)
}

/// The trace that comes with us.
///
/// # Errors
/// None that a build with its tests run can have.
pub fn builtin() -> Result<Vec<Request>, TraceError> {
    read(BufReader::new(flate2::read::GzDecoder::new(BUILTIN)))
}

/// A trace does not say who wrote what: a conversation opens with the first block that not all
/// requests have in common.
fn find_openings(rows: &mut [Request]) {
    let Some(first) = rows.first().map(|row| Arc::clone(&row.blocks)) else {
        return;
    };
    let common = rows.iter().fold(first.len(), |common, row| {
        let same = first.iter().zip(row.blocks.iter());
        common.min(same.take_while(|(one, other)| one == other).count())
    });
    for row in rows {
        row.opening_blocks = (common + 1).min(row.blocks.len());
    }
}

/// Gives every row the session id that an agent would send: one for each branch. A request
/// continues the conversation that ended where it goes on; whatever else it shares with earlier
/// ones, it has an id of its own.
pub fn name_branches(rows: &mut [Request]) {
    let mut ends: HashMap<u64, u64> = HashMap::new();
    let mut ends_of: Vec<Vec<u64>> = Vec::new();
    for row in rows {
        let beyond = row.opening_blocks.saturating_sub(1);
        let told_apart = row.blocks.get(beyond..).unwrap_or(&[]);
        let continued = told_apart.iter().rev().find_map(|id| ends.get(id).copied());
        let session = continued.unwrap_or_else(|| {
            ends_of.push(Vec::new());
            ends_of.len() as u64 - 1
        });
        row.session = Some(session);
        // The last block is seldom full, so the next turn has another in its place.
        let tail = &told_apart[told_apart.len().saturating_sub(2)..];
        if let Some(old) = ends_of.get_mut(session as usize) {
            for id in old.drain(..) {
                ends.remove(&id);
            }
            old.extend_from_slice(tail);
        }
        ends.extend(tail.iter().map(|id| (*id, session)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: u64, tokens: u64, ids: &[u64]) -> String {
        format!(
            r#"{{"timestamp": {at}, "input_length": {tokens}, "output_length": 5, "hash_ids": {ids:?}}}"#
        )
    }

    #[test]
    fn rows_are_read_in_order_of_time_and_blank_lines_are_nothing() {
        let text = [row(7, 600, &[0, 2]), String::new(), row(3, 512, &[0])].join("\n");
        let rows = read(text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].at_ms, rows[0].blocks.len()), (3, 1));
        assert_eq!((rows[1].at_ms, rows[1].input_tokens), (7, 600));
        assert_eq!(rows[1].opening_blocks, 2, "block 0 is everyone's");
    }

    #[test]
    fn a_wrong_row_is_named_with_what_is_wrong() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        let missing = format!("{}\n{{\"timestamp\": 1}}", row(0, 512, &[1]));
        assert!(error(&missing).starts_with("line 2: missing field `input_length`"));
        let uncovered = row(0, 1025, &[1, 2]);
        assert!(error(&uncovered).contains("line 1: 2 `hash_ids` for 1025 tokens"));
        assert!(error("not json").starts_with("line 1: expected"));
    }

    #[test]
    fn the_builtin_trace_is_whole() {
        let rows = builtin().unwrap();
        assert_eq!(rows.len(), 6015);
        let tokens: u64 = rows.iter().map(|row| row.input_tokens).sum();
        assert_eq!(tokens, 76_878_216);
        assert!(rows.iter().all(|row| row.opening_blocks == 2));
    }

    #[test]
    fn a_branch_has_an_id_of_its_own() {
        let text = [
            row(0, 1400, &[0, 1, 2]),
            row(1, 2000, &[0, 1, 3, 4]),
            row(2, 2400, &[0, 1, 3, 5, 6]),
            row(3, 1500, &[0, 1, 7]),
            row(4, 1500, &[0, 8, 9]),
        ]
        .join("\n");
        let mut rows = read(text.as_bytes()).unwrap();
        name_branches(&mut rows);
        let ids: Vec<_> = rows.iter().map(|row| row.session.unwrap()).collect();
        assert_eq!(ids, [0, 0, 0, 1, 2]);
    }
}
