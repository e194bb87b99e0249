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
        let mut effects = Vec::new();
        let stays = sorted(&row.links);
        for gone in &before {
            if stays
                .binary_search_by_key(&gone.link, |one| one.link)
                .is_err()
            {
                effects.extend(disown(&mut self.links, gone.link, handle));
            }
        }
        let before = sorted(&before);
        for one in &mut row.links {
            if let Ok(at) = before.binary_search_by_key(&one.link, |one| one.link) {
                (one.rank, one.grown) = (before[at].rank, before[at].grown);
            } else if one.rank > 0 {
                let (_, left) = own(&mut self.links, one.link, handle, one.grown);
                effects.extend(left);
                if let Some(owners) = self.links.get_mut(&one.link) {
                    // Of those that came before it, only the other process may know.
                    owners.count = owners.count.max(one.rank);
                    (one.rank, one.grown) = (owners.count, owners.grown);
                }
            }
        }
        row.began_twice |= began_twice;
        let mut thread = Thread::of_row(row, handle);
        thread.is_marked = is_marked;
        self.changed.mark(&mut thread.is_marked, session);
        self.threads.put(session, thread);
        self.note(effects);
    }
}

fn sorted(links: &[LinkRow]) -> Vec<LinkRow> {
    let mut links = links.to_vec();
    links.sort_unstable_by_key(|one| one.link);
    links
}
