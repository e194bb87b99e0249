//! Sessions whose messages another process has read since.

use super::links::{disown, own};
use super::{Lineage, Thread};
use crate::moment::Moment;
use crate::policy::memory::{LinkRow, ThreadRow};

impl Lineage {
    /// Takes over what another process knows of sessions' messages, if it is newer.
    pub(in crate::policy) fn join(&mut self, rows: Vec<ThreadRow>, now: Moment) {
        for mut row in rows {
            row.used = row.used.min(now);
            if now.since(row.used) <= self.ttl && !row.links.is_empty() && self.is_news(&row) {
                self.replace(row);
            }
        }
        self.keep_bounds();
    }

    fn is_news(&self, row: &ThreadRow) -> bool {
        let Some(known) = self.threads.peek(&row.id) else {
            let is_full = self.threads.len() >= self.threads.cap().get();
            let oldest = self.threads.peek_lru().map(|(_, thread)| thread.used);
            return !is_full || oldest < Some(row.used);
        };
        // What came at the same moment has to be decided somehow.
        let known = (known.used, known.length, known.end, known.read_bytes);
        (row.used, row.length as usize, row.end, row.read_bytes) > known
    }

    fn replace(&mut self, mut row: ThreadRow) {
        let session = row.id;
        let (handle, before, began_twice, is_marked) = match self.threads.peek_mut(&session) {
            Some(thread) => {
                let links = std::mem::take(&mut thread.links);
                (thread.handle, links, thread.began_twice, thread.is_marked)
            }
            None => {
                if self.threads.len() >= self.threads.cap().get() {
                    self.forget_oldest();
                }
                (self.handle(session), Vec::new(), false, false)
            }
        };
        let mut has = sorted(&row.links);
        for gone in before
            .iter()
            .filter(|one| has.binary_search(&one.link).is_err())
        {
            disown(&mut self.links, gone.link, handle);
        }
        has = sorted(&before);
        for one in &mut row.links {
            if has.binary_search(&one.link).is_err() {
                let grown = one.position > row.opening;
                own(&mut self.links, one.link, handle, grown);
            }
            // Of those that came before, only the other process may know.
            if let Some(owners) = self.links.get_mut(&one.link) {
                owners.count = owners.count.max(one.rank);
                one.rank = owners.count;
            }
        }
        row.began_twice |= began_twice;
        let mut thread = Thread::of_row(row, handle);
        thread.is_marked = is_marked;
        self.changed.mark(&mut thread.is_marked, session);
        self.threads.put(session, thread);
    }
}

fn sorted(links: &[LinkRow]) -> Vec<u64> {
    let mut links: Vec<u64> = links.iter().map(|one| one.link).collect();
    links.sort_unstable();
    links
}
