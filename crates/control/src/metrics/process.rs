//! What the process uses, as the kernel tells it; nothing where it does not (other systems than Linux).

/// What it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    /// Seconds of CPU.
    pub(super) cpu: Option<f64>,
    /// Bytes in memory.
    pub(super) resident: Option<f64>,
    /// Bytes mapped.
    pub(super) mapped: Option<f64>,
    /// Files that are open …
    pub(super) files: Option<f64>,
    /// … and that may be.
    pub(super) most_files: Option<f64>,
    /// Threads.
    pub(super) threads: Option<f64>,
}

impl Process {
    /// This one, now.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        let read =
            |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (status, limits) = (read("status"), read("limits"));
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = std::time::Duration::try_from(cpu);
        // The one that reads the directory is open only meanwhile.
        let files = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        let files = files.ok().and_then(|files| u32::try_from(files).ok());
        let kilobytes = |name| number(&status, name).map(|kilobytes| kilobytes * 1024.0);
        Self {
            cpu: cpu.ok().map(|cpu| cpu.as_secs_f64()),
            resident: kilobytes("VmRSS:"),
            mapped: kilobytes("VmSize:"),
            files: files.map(|files| f64::from(files.saturating_sub(1))),
            most_files: number(&limits, "Max open files"),
            threads: number(&status, "Threads:"),
        }
    }

    /// This one, now.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn now() -> Self {
        Self::default()
    }
}

/// The first number in the line that begins with `name`.
#[cfg(target_os = "linux")]
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_of_everything() {
        let process = Process::now();
        for (what, number) in [
            ("cpu", process.cpu),
            ("resident", process.resident),
            ("mapped", process.mapped),
            ("files", process.files),
            ("most files", process.most_files),
            ("threads", process.threads),
        ] {
            assert!(
                number.is_some_and(|number| number > 0.0),
                "{what}: {number:?}"
            );
        }
        assert!(process.resident < process.mapped);
    }
}
