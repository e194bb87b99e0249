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

/// A session has come through a link: as the how-manieth.
pub(super) fn own(links: &mut Hashed<u64, Owners>, link: u64, handle: Handle, grown: bool) -> u16 {
    let owners = links
        .entry(link)
        .and_modify(|owners| {
            owners.grown |= grown;
            if owners.latest != handle {
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
    owners.count
}

pub(super) fn disown(links: &mut Hashed<u64, Owners>, link: u64, handle: Handle) {
    let Some(owners) = links.get_mut(&link) else {
        return;
    };
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
            }
            None => {
                links.remove(&link);
            }
        }
    }
}
