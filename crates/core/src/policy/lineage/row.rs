//! What a restart keeps of the lineage: each session's links, from which the table is made again.

use super::{Handle, Hashed, Lineage, Owners, Thread};
use crate::fact::SessionId;
use crate::moment::Moment;
use crate::policy::memory::{LinkRow, ThreadRow};

/// A link of a restored session: what it stands for, who came through it, as the how-manieth.
struct Claim {
    link: u64,
    rank: u16,
    handle: Handle,
    grown: bool,
}

impl Lineage {
    /// What is to be remembered of a session that was marked, if it is still there.
    pub(in crate::policy) fn unmarked_row(&mut self, session: SessionId) -> Option<ThreadRow> {
        let thread = self.threads.peek_mut(&session)?;
        let was_marked = std::mem::take(&mut thread.is_marked);
        was_marked.then(|| thread.row(session))
    }

    /// Everything has changed; the least recently used first.
    pub(in crate::policy) fn mark_all(&mut self) {
        for (session, thread) in self.threads.iter_mut().rev() {
            self.changed.mark(&mut thread.is_marked, *session);
        }
    }

    /// Takes over what another run of the program knew; `used` knows when a session was last used.
    pub(in crate::policy) fn restore(
        &mut self,
        mut rows: Vec<ThreadRow>,
        used: impl Fn(SessionId) -> Option<Moment>,
        now: Moment,
    ) {
        for row in &mut rows {
            // A clock that was put back must not keep a session for longer than its time.
            row.used = used(row.id)
                .max(Some(row.used))
                .unwrap_or_default()
                .min(now);
        }
        rows.retain(|row| now.since(row.used) <= self.ttl && !row.links.is_empty());
        rows.sort_by_key(|row| row.used);
        let beyond = rows.len().saturating_sub(self.threads.cap().get());
        let mut claims = Vec::new();
        for row in rows.drain(..).skip(beyond) {
            if self.threads.contains(&row.id) {
                continue;
            }
            let handle = self.handle(row.id);
            let owned = row.links.iter().filter(|link| link.rank > 0);
            claims.extend(owned.map(|link| Claim {
                link: link.link,
                rank: link.rank,
                handle,
                grown: link.grown,
            }));
            self.threads.put(row.id, Thread::of_row(row, handle));
        }
        claims.sort_by_key(|claim| (claim.link, claim.rank));
        for claim in claims {
            claim.add_to(&mut self.links);
        }
        self.keep_bounds();
    }
}

impl Claim {
    /// They come in the order of their ranks.
    fn add_to(self, links: &mut Hashed<u64, Owners>) {
        links
            .entry(self.link)
            .and_modify(|owners| {
                *owners = Owners {
                    latest: self.handle,
                    other: Some(owners.latest),
                    count: self.rank,
                    grown: owners.grown || self.grown,
                };
            })
            .or_insert(Owners {
                latest: self.handle,
                other: None,
                count: self.rank,
                grown: self.grown,
            });
    }
}

impl Thread {
    fn row(&self, id: SessionId) -> ThreadRow {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ThreadRow {
            id,
            used: self.used,
            length: short(self.length),
            end: self.end,
            before_end: self.before_end,
            opening: short(self.opening),
            began_twice: self.began_twice,
            named: self.named,
            read_bytes: self.read_bytes,
            stride: short(self.stride),
            links: self.links.clone(),
        }
    }

    pub(super) fn of_row(row: ThreadRow, handle: Handle) -> Self {
        Self {
            handle,
            used: row.used,
            length: row.length as usize,
            end: row.end,
            before_end: row.before_end,
            opening: row.opening as usize,
            read_bytes: row.read_bytes,
            named: row.named,
            began_twice: row.began_twice,
            is_marked: false,
            links: row.links,
            stride: (row.stride as usize).max(1),
        }
    }
}

/// As it is kept: 16 bytes.
const _: () = assert!(size_of::<LinkRow>() == 16);
