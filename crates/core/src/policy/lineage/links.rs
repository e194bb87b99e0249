//! Who has been through a link: the entries of the table.

use super::{Handle, Hashed};

/// The sessions that have been through a link; of more than two, the latest two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owners {
    pub(super) latest: Handle,
    pub(super) other: Option<Handle>,
    /// How many there were.
    pub(super) count: u16,
    /// Whether a session has come here by growing: then it is words of that conversation, and
    /// nothing that several begin with.
    pub(super) grown: bool,
}

/// What another session's row must say of a link from now on, so that a table made of the rows is
/// the one that was there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    pub(super) handle: Handle,
    pub(super) link: u64,
    /// Zero: it is none of the link's owners any more, though its messages go through it.
    pub(super) rank: u16,
    pub(super) grown: bool,
}

/// A session has come through a link; what the table says of it, and which owner had to leave.
pub(super) fn own(
    links: &mut Hashed<u64, Owners>,
    link: u64,
    handle: Handle,
    grown: bool,
) -> (Owners, Option<Effect>) {
    let mut left = None;
    let owners = links
        .entry(link)
        .and_modify(|owners| {
            owners.grown |= grown;
            if owners.latest != handle {
                left = owners.other.filter(|other| *other != handle);
                *owners = Owners {
                    latest: handle,
                    other: Some(owners.latest),
                    // One that comes back is counted again; that errs to the side of a better balance.
                    count: owners
                        .count
                        .saturating_add(u16::from(owners.other != Some(handle))),
                    ..*owners
                };
            }
        })
        .or_insert(Owners {
            latest: handle,
            other: None,
            count: 1,
            grown,
        });
    let effect = left.map(|handle| Effect {
        handle,
        link,
        rank: 0,
        grown: false,
    });
    (*owners, effect)
}

/// A session is not on a link any more; who is the latest owner instead, if it was that.
pub(super) fn disown(links: &mut Hashed<u64, Owners>, link: u64, handle: Handle) -> Option<Effect> {
    let owners = links.get_mut(&link)?;
    if owners.other == Some(handle) {
        owners.other = None;
    } else if owners.latest == handle {
        match owners.other {
            Some(other) => {
                *owners = Owners {
                    latest: other,
                    other: None,
                    ..*owners
                };
                return Some(Effect {
                    handle: other,
                    link,
                    rank: owners.count,
                    grown: owners.grown,
                });
            }
            None => {
                links.remove(&link);
            }
        }
    }
    None
}
