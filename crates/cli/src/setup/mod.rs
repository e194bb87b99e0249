//! What `setup` does besides the configuration file: agents pointed at the proxy, and taken back again.

pub(crate) mod agents;
pub(crate) mod apply;
pub(crate) mod files;
pub(crate) mod interview;
pub(crate) mod journal;
pub(crate) mod probe;
pub(crate) mod providers;
pub(crate) mod purge;
pub(crate) mod service;
pub(crate) mod show;
pub(crate) mod survey;
pub(crate) mod undo;

#[cfg(test)]
pub(crate) mod scratch {
    //! A directory of one test, removed with it.

    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) struct Scratch(PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("api-key-lb-setup-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            drop(std::fs::remove_dir_all(&path));
            std::fs::create_dir_all(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}
