//! Whatever becomes of the file while it is used, and whoever else uses it.

use super::*;

#[test]
fn a_place_where_nothing_can_be_written_is_said_once_and_tried_again() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("state");
    fs::write(&dir, "a file where the directory should be").unwrap();
    let (mut store, memory, words) = open(&dir);
    assert!(memory.is_empty());
    let policy = Policy::default();
    let standing = store.standing();
    assert!(standing().problem.is_some());
    store.start(policy.clone()).unwrap();
    policy.changed(sessions(2));
    assert!(store.flush());
    assert!(store.flush());
    assert_eq!(words.all().len(), 1, "{:?}", words.all());
    assert!(
        words.all()[0].contains("in memory only"),
        "{:?}",
        words.all()
    );
    fs::remove_file(&dir).unwrap();
    eventually("it is tried again", || standing().problem.is_none());
    store.finish();
    assert_eq!(words.all().len(), 2, "{:?}", words.all());
    assert_eq!(open(&dir).1.sessions.len(), 2, "nothing was lost meanwhile");
}

#[test]
fn a_full_disk_loses_nothing_once_there_is_room_again() {
    let scratch = Scratch::new();
    let words = Words::default();
    let (mut writer, shared) = writer::for_tests(setup(scratch.path()), words.listen());
    let policy = Policy::default();
    writer.limits_pages(Some(30));
    writer.turn(&policy);
    policy.changed(sessions(5_000));
    let one = Counts {
        requests: 1,
        ..Counts::default()
    };
    let slot = Slot {
        hour: hour(at(0)),
        key: KeyId::from_number(1),
        model: "m".into(),
    };
    writer.tally().give_back(HashMap::from([(slot, one)]));
    for _ in 0..3 {
        writer.turn(&policy);
    }
    assert_eq!(words.all().len(), 1, "{:?}", words.all());
    assert!(words.all()[0].contains("full"), "{:?}", words.all());
    assert!(shared().problem.is_some());
    writer.limits_pages(None);
    writer.turn(&policy);
    assert_eq!(shared().problem, None);
    assert_eq!(words.all().len(), 2, "{:?}", words.all());
    drop(writer);
    let file = path(scratch.path(), 4577);
    let report = report(&file, &[By::Key], None, &Default::default()).unwrap();
    assert_eq!(report.total.requests, 1);
    let connection = Connection::open(&file).unwrap();
    let sessions: i64 = connection
        .query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sessions, 5_000);
}

#[test]
fn a_lock_that_another_process_holds_delays_nothing_but_the_writing() {
    let scratch = Scratch::new();
    let (mut store, _, words) = open(scratch.path());
    let policy = Policy::default();
    let standing = store.standing();
    store.start(policy.clone()).unwrap();
    let other = Connection::open(path(scratch.path(), 4577)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    policy.changed(sessions(2));
    eventually("it notices", || standing().problem.is_some());
    assert!(words.all()[0].contains("locked"), "{:?}", words.all());
    other.execute_batch("COMMIT").unwrap();
    eventually("it is written", || standing().problem.is_none());
    store.finish();
    assert_eq!(open(scratch.path()).1.sessions.len(), 2);
}

#[test]
fn a_file_that_somebody_removes_is_made_again() {
    let scratch = Scratch::new();
    let (mut store, _, _) = open(scratch.path());
    let policy = Policy::default();
    store.start(policy.clone()).unwrap();
    fs::remove_file(path(scratch.path(), 4577)).unwrap();
    policy.changed(sessions(2));
    assert!(store.flush());
    assert!(path(scratch.path(), 4577).exists());
    assert_eq!(policy.1.load(Ordering::Acquire), 1, "all that was in it");
    store.finish();
    assert_eq!(open(scratch.path()).1.sessions.len(), 2);
}

/// The pages that a table or its index has, counted from 1.
fn pages_of(file: &Path, table: &str) -> Vec<u64> {
    let connection = Connection::open(file).unwrap();
    let mut pages = connection
        .prepare("SELECT pageno FROM dbstat WHERE name = ?")
        .unwrap();
    let pages = pages.query_map([table], |row| row.get::<_, i64>(0));
    pages
        .unwrap()
        .map(|page| page.unwrap().cast_unsigned())
        .collect()
}

#[test]
fn a_page_that_is_destroyed_in_the_middle_is_noticed_when_it_starts() {
    let scratch = Scratch::new();
    written(scratch.path(), sessions(2_000));
    let file = path(scratch.path(), 4577);
    let page = pages_of(&file, "sessions")[7];
    let mut bytes = fs::read(&file).unwrap();
    let at = (page as usize - 1) * 4096;
    bytes[at..at + 4096].fill(0x5A);
    fs::write(&file, bytes).unwrap();
    let (_, read, words) = open(scratch.path());
    assert!(read.is_empty());
    assert!(words.all()[0].contains("damaged"), "{:?}", words.all());
    assert!(
        words.all()[0].contains("usage start anew"),
        "{:?}",
        words.all()
    );
}

#[test]
fn a_page_that_is_destroyed_while_it_runs_costs_the_file_but_not_what_is_known() {
    let scratch = Scratch::new();
    // More than the writer keeps in memory.
    written(scratch.path(), sessions(40_000));
    let file = path(scratch.path(), 4577);
    let pages = pages_of(&file, "sessions");
    let (mut store, _, words) = open(scratch.path());
    let policy = Policy::default();
    store.start(policy.clone()).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    for page in pages {
        let at = (page as usize - 1) * 4096;
        bytes[at..at + 4096].fill(0x5A);
    }
    // In place, as a bad disk does.
    fs::write(&file, bytes).unwrap();
    policy.changed(Memory {
        sessions: (0..40_000)
            .step_by(400)
            .map(|number| session(number, at(0)))
            .collect(),
        ..Memory::default()
    });
    assert!(store.flush());
    eventually("it starts anew", || policy.1.load(Ordering::Acquire) == 1);
    assert!(store.flush());
    assert!(words.all()[0].contains("is damaged"), "{:?}", words.all());
    assert_eq!(asides(scratch.path(), "corrupt").len(), 1);
    store.finish();
    assert_eq!(open(scratch.path()).1.sessions.len(), 100);
}

#[test]
fn a_lock_at_the_start_keeps_nobody_from_reading_what_is_remembered() {
    let scratch = Scratch::new();
    written(scratch.path(), sessions(3));
    let other = Connection::open(path(scratch.path(), 4577)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (_, read, words) = open(scratch.path());
    assert_eq!(read.sessions.len(), 3);
    assert!(words.all().is_empty(), "{:?}", words.all());
}

#[test]
fn who_has_left_the_file_to_another_adds_usage_and_nothing_else() {
    let scratch = Scratch::new();
    let (mut old, _, words) = open(scratch.path());
    let policy = Policy::default();
    old.start(policy.clone()).unwrap();
    policy.changed(sessions(1));
    old.leave_to_another();
    let (mut new, read, _) = open(scratch.path());
    assert_eq!(read.sessions.len(), 1, "what was left is written");
    new.start(Policy::default()).unwrap();
    policy.changed(sessions(50));
    for store in [&old, &new] {
        let (slot, counts) = used(0, 1, "m", 2);
        store.tally().give_back(HashMap::from([(slot, counts)]));
    }
    assert!(old.flush());
    new.finish();
    old.finish();
    let file = path(scratch.path(), 4577);
    assert_eq!(
        report(&file, &[], None, &Default::default())
            .unwrap()
            .total
            .requests,
        4
    );
    assert_eq!(open(scratch.path()).1.sessions.len(), 1);
    assert!(words.all().is_empty(), "{:?}", words.all());
}

#[test]
fn who_has_left_the_file_to_a_newer_version_adds_to_it_as_it_is() {
    let scratch = Scratch::new();
    let (mut old, _, words) = open(scratch.path());
    old.start(Policy::default()).unwrap();
    old.leave_to_another();
    let file = path(scratch.path(), 4577);
    // The newer version has had to set the old file aside, so that it must be opened again.
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, bytes).unwrap();
    let newer = Connection::open(&file).unwrap();
    let version = schema::VERSION + 1;
    newer
        .execute_batch(&format!(
            "ALTER TABLE usage ADD COLUMN more INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = {version}"
        ))
        .unwrap();
    let (slot, counts) = used(0, 1, "m", 2);
    old.tally().give_back(HashMap::from([(slot, counts)]));
    old.finish();
    let sum: i64 = newer
        .query_row("SELECT sum(requests) FROM usage", [], |row| row.get(0))
        .unwrap();
    assert_eq!((sum, schema::version(&newer).unwrap()), (2, version));
    assert!(asides(scratch.path(), "newer").is_empty());
    assert!(words.all().is_empty(), "{:?}", words.all());
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it() {
    let scratch = Scratch::new();
    let file = path(scratch.path(), 4577);
    let first = Connection::open(&file).unwrap();
    schema::make_first(&first);
    let id = 5_u128.to_be_bytes();
    first
        .execute(
            "INSERT INTO sessions VALUES (?, 7, 1, ?, 4000, 1000, x'')",
            rusqlite::params![id, NOW.cast_signed()],
        )
        .unwrap();
    let hour = hour(at(0));
    first
        .execute(
            "INSERT INTO usage VALUES (?, 1, 'm', 3, 0, 0, 10, 5, 0, 1, 0)",
            [hour],
        )
        .unwrap();
    drop(first);
    let reported = report(&file, &[], None, &Default::default()).unwrap();
    assert_eq!(reported.total.requests, 3, "it can be looked at before");
    let mut memory = sessions(1);
    memory.threads = memory.sessions.iter().map(thread_of).collect();
    let words = written(scratch.path(), memory);
    assert!(words.all().is_empty(), "{:?}", words.all());
    let (_, read, _) = open(scratch.path());
    assert_eq!((read.sessions.len(), read.threads.len()), (2, 1));
    assert_eq!(
        report(&file, &[], None, &Default::default())
            .unwrap()
            .total
            .requests,
        3
    );
    let version = schema::version(&Connection::open(&file).unwrap()).unwrap();
    assert_eq!(version, schema::VERSION);
}

#[test]
fn keys_are_called_as_they_are_called_last() {
    let scratch = Scratch::new();
    let (mut store, _, _) = open(scratch.path());
    store.start(Policy::default()).unwrap();
    let (slot, counts) = used(0, 1, "m", 2);
    store.tally().give_back(HashMap::from([(slot, counts)]));
    assert!(store.flush());
    let file = path(scratch.path(), 4577);
    let name = || {
        report(&file, &[By::Key], None, &Default::default())
            .unwrap()
            .lines[0]
            .key
            .clone()
            .unwrap()
            .0
    };
    assert_eq!(name(), "work");
    let labels = vec![(KeyId::from_number(1), "home".to_owned())];
    store.follow(setup(scratch.path()).retention, labels);
    assert!(store.flush());
    assert_eq!(name(), "home");
    store.finish();
}

#[test]
fn a_provider_that_states_nonsense_does_not_make_the_sums_unreadable() {
    let scratch = Scratch::new();
    let nonsense = Counts {
        prompt: u64::MAX,
        cached: u64::MAX,
        ..Counts::default()
    };
    let (slot, _) = used(0, 1, "m", 1);
    let all = vec![(slot, nonsense); 3_000];
    let (mut writer, _) = writer::for_tests(setup(scratch.path()), |_: &str| {});
    for (slot, counts) in all {
        writer.tally().give_back(HashMap::from([(slot, counts)]));
        writer.turn(&Policy::default());
    }
    drop(writer);
    let file = path(scratch.path(), 4577);
    assert!(
        report(&file, &[], None, &Default::default())
            .unwrap()
            .total
            .prompt
            > 1 << 40
    );
}
