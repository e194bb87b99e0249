//! CPU time of a process and its children, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Fields of `/proc/PID/stat` after the command's name: parent, user ticks, system ticks.
const PARENT_FIELD: usize = 1;
const USER_TICKS_FIELD: usize = 11;
const SYSTEM_TICKS_FIELD: usize = 12;
/// Length of a tick in `/proc/PID/stat`: 100 per second on every Linux that Rust supports.
const TICK: Duration = Duration::from_millis(10);

fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// A process and the children it had when it was looked at.
#[derive(Debug, Clone)]
pub struct Family(Vec<u32>);

impl Family {
    /// The process `pid` and its children of now.
    pub fn of(pid: u32) -> Self {
        let mut pids = vec![pid];
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for entry in entries {
            let Some(other) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let parent = stat(other).and_then(|fields| fields.get(PARENT_FIELD)?.parse().ok());
            if parent == Some(pid) {
                pids.push(other);
            }
        }
        Self(pids)
    }

    /// Memory resident now, in bytes.
    pub fn memory(&self) -> u64 {
        let kilobytes = |pid: &u32| -> Option<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        self.0.iter().filter_map(kilobytes).sum::<u64>() * 1024
    }

    /// What the clocks say now.
    pub fn clock(&self) -> Clock {
        let (mut threads, mut ticks) = (BTreeMap::new(), 0);
        for pid in &self.0 {
            let tasks = fs::read_dir(format!("/proc/{pid}/task"));
            for task in tasks.into_iter().flatten().flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
                threads.insert(task.file_name(), nanos.unwrap_or(0));
            }
            let fields = stat(*pid).unwrap_or_default();
            ticks += [USER_TICKS_FIELD, SYSTEM_TICKS_FIELD]
                .iter()
                .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
                .sum::<u64>();
        }
        Clock { threads, ticks }
    }
}

/// CPU time used up to a moment.
#[derive(Debug)]
pub struct Clock {
    /// Nanoseconds on a CPU, by thread.
    threads: BTreeMap<std::ffi::OsString, u64>,
    ticks: u64,
}

impl Clock {
    /// CPU time since `earlier`: exact to the nanosecond where the kernel has per-thread
    /// statistics and no thread has ended meanwhile, else in ticks.
    pub fn since(&self, earlier: &Self) -> Duration {
        let all_alive = earlier
            .threads
            .keys()
            .all(|thread| self.threads.contains_key(thread));
        let nanos: u64 = self.threads.values().sum();
        let before: u64 = earlier.threads.values().sum();
        if all_alive && nanos > before {
            Duration::from_nanos(nanos - before)
        } else {
            TICK * u32::try_from(self.ticks.saturating_sub(earlier.ticks)).unwrap_or(u32::MAX)
        }
    }
}
