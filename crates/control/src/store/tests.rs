//! The store as a whole: what was written is read back, and whatever is wrong with the file or the
//! disk, the proxy starts and goes on.

mod rows;
mod trouble;
mod usage;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api_key_lb_core::AccountId;
use api_key_lb_core::fact::SessionId;
use api_key_lb_core::object::Keeping;
use api_key_lb_core::policy::ObjectRow;
use api_key_lb_core::policy::memory::{
    AccountRow, AnswerRow, LinkRow, OwnerRow, SessionRow, ThreadRow,
};
use rusqlite::Connection;

use super::tally::Slot;
use super::*;
use crate::private_file::scratch::Scratch;
use usage::{used, with_usage};

/// 2026-07-22 14:30 UTC.
const NOW: u64 = 1_784_730_600_000;

fn at(seconds: i64) -> Moment {
    Moment::from_unix_millis(NOW.saturating_add_signed(seconds * 1000))
}

fn setup(dir: &Path) -> Setup {
    Setup {
        path: path(dir, 4577),
        retention: Retention {
            session_ttl: Duration::from_secs(3600),
            sessions: 1_000,
            usage_days: 400,
        },
        labels: vec![(KeyId::from_number(1), "work".to_owned())],
    }
}

/// Rows to be taken, and a clock that stands.
#[derive(Clone, Default)]
struct Policy(Arc<Mutex<Memory>>, Arc<AtomicUsize>);

impl Policy {
    fn changed(&self, memory: Memory) {
        self.0.lock().unwrap().append(memory);
    }
}

impl Source for Policy {
    fn changes(&self, most: usize) -> Memory {
        let mut all = self.0.lock().unwrap();
        let sessions = all.sessions.len().min(most);
        let mut taken = Memory {
            sessions: all.sessions.drain(..sessions).collect(),
            ..Memory::default()
        };
        if taken.len() < most {
            let rest = std::mem::take(&mut *all);
            taken.append(rest);
        }
        taken
    }

    fn forgotten(&self) {
        self.1.fetch_add(1, Ordering::AcqRel);
    }

    fn now(&self) -> Moment {
        at(0)
    }
}

#[derive(Clone, Default)]
struct Words(Arc<Mutex<Vec<String>>>);

impl Words {
    fn listen(&self) -> impl Fn(&str) + Send + 'static {
        let words = self.0.clone();
        move |said| words.lock().unwrap().push(said.to_owned())
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn open(dir: &Path) -> (Store, Memory, Words) {
    let words = Words::default();
    let (store, memory) = Store::open(setup(dir), at(0), words.listen());
    (store, memory, words)
}

/// One run that writes `memory`.
fn written(dir: &Path, memory: Memory) -> Words {
    let (mut store, _, words) = open(dir);
    let policy = Policy::default();
    store.start(policy.clone()).unwrap();
    policy.changed(memory);
    store.finish();
    words
}

fn session(number: u128, used: Moment) -> SessionRow {
    SessionRow {
        id: SessionId(number),
        account: AccountId::from_number(7),
        served: true,
        used,
        bytes: 4_000,
        tokens: 1_000,
        places: [None; SessionRow::PLACES],
    }
}

fn thread_of(session: &SessionRow) -> ThreadRow {
    let link = |position| LinkRow {
        position,
        rank: 1,
        grown: position > 2,
        link: u64::from(position) ^ session.id.0 as u64,
    };
    ThreadRow {
        id: session.id,
        used: session.used,
        length: 40,
        end: 1,
        before_end: u64::MAX,
        opening: 2,
        began_twice: false,
        named: false,
        read_bytes: 40_000,
        stride: 8,
        links: (1..=20).map(link).collect(),
    }
}

fn answer(answer: u64, learned: Moment) -> AnswerRow {
    AnswerRow {
        answer,
        session: SessionId(u128::from(answer)),
        learned,
    }
}

fn sessions(count: u128) -> Memory {
    Memory {
        sessions: (0..count).map(|number| session(number, at(0))).collect(),
        ..Memory::default()
    }
}

fn asides(dir: &Path, ending: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().flatten();
    names
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains(ending))
        .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sessions_come_back_in_the_order_of_their_use_and_only_those_that_are_not_over() {
    let scratch = Scratch::new();
    let ages = [10_i64, 4_000, 0, 3_000, 3_601];
    let sessions = ages
        .iter()
        .zip(0..)
        .map(|(age, number)| session(number, at(-*age)));
    let memory = Memory {
        sessions: sessions.collect(),
        ..Memory::default()
    };
    written(scratch.path(), memory);
    let (_, read, _) = open(scratch.path());
    let ids: Vec<u128> = read.sessions.iter().map(|row| row.id.0).collect();
    assert_eq!(ids, [3, 0, 2]);
}

#[test]
fn an_object_that_is_gone_is_removed() {
    let scratch = Scratch::new();
    let object = |account: Option<u64>| Memory {
        objects: vec![ObjectRow {
            object: 5,
            keeping: Keeping::Stored,
            account: account.map(AccountId::from_number),
            used: at(0),
        }],
        ..Memory::default()
    };
    written(scratch.path(), object(Some(1)));
    assert_eq!(open(scratch.path()).1.objects.len(), 1);
    written(scratch.path(), object(None));
    assert!(open(scratch.path()).1.is_empty());
}

#[test]
fn a_file_that_is_damaged_or_not_ours_is_set_aside_and_an_empty_one_takes_its_place() {
    let cut_short = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let scribbled = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        for byte in &mut bytes[4_096..] {
            *byte = 0xA5;
        }
        fs::write(path, bytes).unwrap();
    };
    let no_database = |path: &Path| fs::write(path, "hello ".repeat(2_000)).unwrap();
    let foreign = |path: &Path| {
        fs::remove_file(path).unwrap();
        let other = Connection::open(path).unwrap();
        other.execute_batch("CREATE TABLE mine (x)").unwrap();
    };
    let without_a_table = |path: &Path| {
        let own = Connection::open(path).unwrap();
        own.execute_batch("DROP TABLE cooldowns").unwrap();
    };
    let damages: [&dyn Fn(&Path); 5] = [
        &cut_short,
        &scribbled,
        &no_database,
        &foreign,
        &without_a_table,
    ];
    for damage in damages {
        let scratch = Scratch::new();
        let mut memory = sessions(200);
        memory.accounts = vec![AccountRow {
            id: AccountId::from_number(1),
            credit: (at(0), 0),
            all_at_once: false,
            at_once: None,
            refused_at_once: None,
            first_byte: None,
            recent: (0.0, at(0)),
            cooldowns: Vec::new(),
            limits: Vec::new(),
            lifetimes: Vec::new(),
        }];
        written(scratch.path(), memory);
        damage(&path(scratch.path(), 4577));
        let words = written(scratch.path(), sessions(3));
        let said = words.all().join("\n");
        assert!(said.contains("4577.db.corrupt-20260722T143000Z"), "{said}");
        assert!(said.contains("an empty one takes its place"), "{said}");
        assert_eq!(words.all().len(), 1, "{said}");
        assert_eq!(asides(scratch.path(), "corrupt").len(), 1);
        let (_, read, words) = open(scratch.path());
        assert_eq!(read.sessions.len(), 3);
        assert!(words.all().is_empty());
    }
}

#[test]
fn a_file_of_a_newer_version_is_kept_for_it() {
    let scratch = Scratch::new();
    written(scratch.path(), sessions(3));
    let file = path(scratch.path(), 4577);
    let connection = Connection::open(&file).unwrap();
    connection
        .execute_batch(&format!("PRAGMA user_version = {}", schema::VERSION + 1))
        .unwrap();
    drop(connection);
    let (_, read, words) = open(scratch.path());
    assert!(read.is_empty());
    let said = words.all().join("\n");
    assert!(
        said.contains("a newer version of api-key-lb wrote it"),
        "{said}"
    );
    let aside = asides(scratch.path(), "newer-20260722T143000Z");
    assert_eq!(aside.len(), 1);
    let kept = Connection::open(scratch.path().join(&aside[0])).unwrap();
    let sessions: i64 = kept
        .query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sessions, 3);
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_the_file_and_what_is_beside_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    let dir = scratch.path().join("state");
    fs::create_dir(&dir).unwrap();
    let file = path(&dir, 4577);
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (mut store, _, words) = open(&dir);
    let policy = Policy::default();
    store.start(policy.clone()).unwrap();
    policy.changed(sessions(10));
    assert!(store.flush());
    let mut seen = 0;
    for entry in fs::read_dir(&dir).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert_eq!(seen, 3, "the file, its log and its index");
    assert!(words.all().is_empty());
    store.finish();
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "a clean end leaves one file"
    );
}

#[test]
fn the_file_is_bounded_by_time_and_by_number() {
    let scratch = Scratch::new();
    let mut memory = sessions(1_500);
    for (row, age) in memory.sessions.iter_mut().zip(0..) {
        row.used = at(-age);
    }
    memory.sessions.push(session(9_999, at(-4_000)));
    memory.threads = memory.sessions.iter().map(thread_of).collect();
    // Not read of late, but used.
    memory.threads[5].used = at(-9_000);
    memory.answers = (0..1_500)
        .map(|number| answer(number, at(-4_000)))
        .collect();
    let id = AccountId::from_number(3);
    memory.owners.push(OwnerRow {
        account: id,
        owner: id,
    });
    written(scratch.path(), memory);
    let file = with_usage(
        scratch.path(),
        &[used(24 * 401, 1, "m", 1), used(24 * 399, 1, "m", 1)],
    );
    let mut connection = Connection::open(&file).unwrap();
    let retention = setup(scratch.path()).retention;
    tidy::tidy(&mut connection, &retention, at(0)).unwrap();
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(
        (count("sessions"), count("usage"), count("owners")),
        (1_000, 1, 1)
    );
    assert_eq!((count("threads"), count("answers")), (1_000, 0));
    tidy::tidy(
        &mut Connection::open(&file).unwrap(),
        &retention,
        at(100 * 24 * 3600),
    )
    .unwrap();
    assert_eq!((count("sessions"), count("owners")), (0, 0));
    assert_eq!(count("threads"), 0);
}
