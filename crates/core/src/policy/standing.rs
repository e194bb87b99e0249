//! What the policy knows of a session, for whoever explains a choice. Changes nothing.

use super::Policy;
use super::recognition::Session;
use super::shared_id::SplitReason;
use crate::fact::Part;
use crate::moment::Moment;
use crate::plan::AccountId;

/// How it stands with a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When it was last used; `None` if it is not known (any more).
    pub used: Option<Moment>,
    /// Where it lives, if that account has ever served it.
    pub home: Option<AccountId>,
    /// Where it begins if it can: its parent's beginning is warm there.
    pub drawn_to: Option<AccountId>,
    /// Why it is only one conversation of those that have its id.
    pub shared: Option<Shared>,
}

/// An id that many conversations share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// What showed it.
    pub why: SplitReason,
    /// The home of the conversations that were there before: the account that neared its limit.
    pub home: Option<AccountId>,
}

impl Policy {
    /// How it stands with a session that [`Policy::recognise`] found.
    pub fn standing(&self, session: &Session, now: Moment) -> Standing {
        let home = self.sessions.peek(session.id, now);
        let id = session
            .counted
            .filter(|_| session.part == Part::Conversation);
        let shared = id.and_then(|id| {
            let why = session.split.or_else(|| self.shared_ids.why(id, now))?;
            let home = self.sessions.peek(id, now).map(|home| home.account);
            Some(Shared { why, home })
        });
        Standing {
            used: home.map(|home| home.used),
            home: home.filter(|home| home.served).map(|home| home.account),
            drawn_to: self.drawn_to(session, now).filter(|_| home.is_none()),
            shared,
        }
    }

    /// Where most of what a new session has in common with others is.
    fn drawn_to(&self, session: &Session, now: Moment) -> Option<AccountId> {
        let known = session.like?.sessions.into_iter().flatten();
        let mut homes = known.filter_map(|like| self.sessions.peek(like, now));
        let served = homes.find(|home| home.served)?;
        Some(self.canonical(served.account))
    }
}
