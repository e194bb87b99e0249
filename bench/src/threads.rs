//! CPU time of the threads of a process, told apart by their names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

/// User and system ticks among the fields of a `stat` file after the command's name.
const TICKS_FIELDS: [usize; 2] = [11, 12];
/// Length of a tick there: 100 per second on every Linux that Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of each thread of a process up to a moment, with the names of the threads.
#[derive(Debug)]
pub struct Threads(BTreeMap<OsString, (String, Duration)>);

impl Threads {
    /// What the clocks of the threads of `pid` say now.
    pub fn of(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        let threads = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).ok();
            let name = read("comm")?.trim().to_owned();
            let exact = read("schedstat")
                .and_then(|text| text.split_whitespace().next()?.parse().ok())
                .map(Duration::from_nanos);
            let time = exact.or_else(|| ticks(&read("stat")?))?;
            Some((task.file_name(), (name, time)))
        });
        Self(threads.collect())
    }

    /// CPU time since `earlier` of the threads whose names begin with `prefix`, and of all others. What
    /// one used that has ended meanwhile is not in it.
    pub fn since(&self, earlier: &Self, prefix: &str) -> (Duration, Duration) {
        let (mut named, mut others) = (Duration::ZERO, Duration::ZERO);
        for (thread, (name, time)) in &self.0 {
            let before = earlier
                .0
                .get(thread)
                .map_or(Duration::ZERO, |(_, time)| *time);
            let used = time.saturating_sub(before);
            if name.starts_with(prefix) {
                named += used;
            } else {
                others += used;
            }
        }
        (named, others)
    }
}

/// User and system time in a `stat` file, in ticks: for kernels that have nothing better.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [user, system] = TICKS_FIELDS.map(|at| fields.get(at)?.parse::<u32>().ok());
    Some(TICK * (user? + system?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_time_of_a_thread_is_counted_under_its_name() {
        let before = Threads::of(std::process::id());
        let (done, is_done) = channel();
        let (end, ends) = channel::<()>();
        let thread = std::thread::Builder::new().name("busy-0".to_owned());
        let thread = thread.spawn(move || {
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(60) {
                std::hint::black_box(0);
            }
            let _ = done.send(());
            let _ = ends.recv();
        });
        is_done.recv().unwrap();
        let after = Threads::of(std::process::id());
        let (busy, _) = after.since(&before, "busy-");
        assert!(busy >= Duration::from_millis(5), "{busy:?}");
        let (nobody, all) = after.since(&before, "nobody-");
        assert_eq!(nobody, Duration::ZERO);
        assert!(all >= busy);
        drop(end);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn ticks_are_read_behind_a_name_with_brackets() {
        let stat = "7 (a) (b) S 1 7 7 0 -1 4194560 1 0 0 0 12 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(Duration::from_millis(420)));
        assert_eq!(ticks("7 (a)"), None);
    }
}
