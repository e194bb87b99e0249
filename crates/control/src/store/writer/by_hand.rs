//! A writer without a thread, for tests of a disk that is full.

use super::*;

/// A writer without a thread, for tests of a disk that is full.
pub(in crate::store) fn for_tests(
    setup: Setup,
    warn: impl Fn(&str) + Send + 'static,
) -> (Writer, impl Fn() -> Standing) {
    let shared = Arc::new(Shared::default());
    let mut writer = Writer::new(setup, Arc::default(), shared.clone(), Box::new(warn));
    writer.open_and_read(Moment::default());
    (writer, move || lock(&shared.standing).clone())
}

impl Writer {
    /// The file may have so many pages: what a full disk is to SQLite.
    pub(in crate::store) fn limits_pages(&self, pages: Option<u32>) {
        let pages = pages.unwrap_or(1_000_000);
        let limit = format!("PRAGMA max_page_count = {pages}");
        if let Some(connection) = &self.connection {
            connection.query_row(&limit, [], |_| Ok(())).unwrap();
        }
    }

    pub(in crate::store) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// As the thread does when it is time.
    pub(in crate::store) fn turn(&mut self, source: &impl Source) {
        self.write_all(source, true);
    }
}
