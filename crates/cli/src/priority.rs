//! Threads that look on give way to those that carry requests.

/// How much nicer they are: with one core for all, a worker gets some nine tenths of it while both want it.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// Has the thread that calls this give way. Only Linux has a priority for each thread; elsewhere the
/// system is left to find out.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        // There the number of a thread is as good as that of a process.
        let own = Some(rustix::thread::gettid());
        let now = getpriority_process(own).unwrap_or(0);
        // A system that refuses is no worse off than without.
        let _ = setpriority_process(own, now.saturating_add(NICER));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    #[test]
    fn only_the_thread_that_calls_gives_way() {
        let of_this = || getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = of_this();
        let other = std::thread::spawn(move || {
            super::give_way();
            of_this()
        });
        assert!(other.join().unwrap() > before || before >= 19);
        assert_eq!(of_this(), before);
    }
}
