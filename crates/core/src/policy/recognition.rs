//! Which session a request belongs to, given what it says and what came before.

use std::sync::Arc;

use super::Policy;
use super::lineage::{Chain, Found};
use super::shared_id::SplitReason;
use crate::conversation::{AnswerId, Identity, Named};
use crate::fact::{Part, SessionId};
use crate::moment::Moment;
use crate::plan::{Pool, SplitSubAgents};

/// The rule that the content itself is.
const BY_CONTENT: &str = "fingerprint";

/// The session of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which one; what homes are kept by.
    pub id: SessionId,
    /// The rule that recognised it.
    pub rule: Arc<str>,
    /// Which part of what the rule names it is.
    pub part: Part,
    /// For a new session: the ones that it begins like.
    pub(super) like: Option<Like>,
    /// The id that it is counted for, if that may be shared.
    pub(super) counted: Option<SessionId>,
    /// What shows right now that the id is shared.
    pub(super) split: Option<SplitReason>,
    /// Whether the request names an earlier answer, and so carries only what came after it.
    carries_on: bool,
}

/// The sessions that a new one has its beginning in common with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Like {
    pub(super) sessions: [Option<SessionId>; 2],
    /// How much of it, in bytes of text.
    pub(super) bytes: u32,
    /// Whether it says itself that it was begun from there.
    pub(super) is_parent: bool,
}

impl Session {
    /// A session that a rule names whole.
    pub const fn named(id: SessionId, rule: Arc<str>) -> Self {
        Self {
            id,
            rule,
            part: Part::Whole,
            like: None,
            counted: None,
            split: None,
            carries_on: false,
        }
    }
}

impl Policy {
    /// The session of a request to `pool` with this identity. Changes nothing.
    pub fn recognise(&self, pool: &Pool, identity: &Identity, now: Moment) -> Option<Session> {
        let answered = identity.answers.iter().find_map(|(answer, rule)| {
            let session = self.answers.session(*answer, &pool.name, now)?;
            Some(Session {
                carries_on: true,
                ..Session::named(session, rule.clone())
            })
        });
        if answered.is_some() {
            return answered;
        }
        let mut session = match &identity.named {
            Some(named) => self.named(pool, named, identity, now),
            None => self.by_content(pool, identity, now)?,
        };
        session.like = self.like(pool, identity, session.id, now);
        Some(session)
    }

    fn named(&self, pool: &Pool, named: &Named, identity: &Identity, now: Moment) -> Session {
        let id = named.session.within(&pool.name);
        let mut session = Session::named(id, named.rule.clone());
        if let Some(agent) = identity.agent {
            return self.of_agent(session, agent, now);
        }
        if !named.may_be_shared {
            return session;
        }
        session.counted = Some(id);
        let talk = &identity.conversation;
        if !self.shared_ids.is_split(id, now) {
            let hot = self.shared_ids.is_hot(id, talk.opener, now);
            if hot.is_none() || !self.home_is_near_limit(id, now) {
                return session;
            }
            session.split = hot;
        }
        if talk.opener.is_none() || talk.links.is_empty() {
            // Its messages were not read, since nobody knew yet that they would matter.
            return session;
        }
        let (Found::Known(part) | Found::New(part)) = self
            .lineage
            .find(&Chain::new(talk, &pool.name, Some(id)), now);
        Session {
            id: part,
            part: Part::Conversation,
            ..session
        }
    }

    fn of_agent(&self, session: Session, agent: u64, now: Moment) -> Session {
        let own = session.id.part(agent);
        let apart = match self.split_subagents {
            SplitSubAgents::Never => false,
            SplitSubAgents::Always => true,
            // Once apart it stays there: its cache is there.
            SplitSubAgents::Auto => {
                self.sessions.peek(own, now).is_some() || self.home_is_near_limit(session.id, now)
            }
        };
        if !apart {
            return session;
        }
        Session {
            id: own,
            part: Part::SubAgent,
            ..session
        }
    }

    fn by_content(&self, pool: &Pool, identity: &Identity, now: Moment) -> Option<Session> {
        identity.conversation.opener?;
        let chain = Chain::new(&identity.conversation, &pool.name, None);
        let (Found::Known(id) | Found::New(id)) = self.lineage.find(&chain, now);
        Some(Session::named(id, BY_CONTENT.into()))
    }

    /// The sessions that a new one begins like: its parent, if they have anything in common, and
    /// those whose own words it repeats.
    fn like(&self, pool: &Pool, identity: &Identity, id: SessionId, now: Moment) -> Option<Like> {
        if identity.conversation.links.is_empty() || self.sessions.peek(id, now).is_some() {
            return None;
        }
        let chain = Chain::new(&identity.conversation, &pool.name, None);
        if let Some(parent) = identity.parent.map(|parent| parent.within(&pool.name))
            && let Some(kin) = self.lineage.kin(&chain, now)
            && kin.sessions.contains(&Some(parent))
        {
            return Some(Like {
                sessions: [Some(parent), None],
                bytes: kin.bytes,
                is_parent: true,
            });
        }
        let kin = self.lineage.distinguishing_kin(&chain, now)?;
        Some(Like {
            sessions: kin.sessions,
            bytes: kin.bytes,
            is_parent: false,
        })
    }

    fn home_is_near_limit(&self, session: SessionId, now: Moment) -> bool {
        self.sessions
            .peek(session, now)
            .is_some_and(|home| self.is_near_limit(self.canonical(home.account), None, now))
    }

    /// Whether the messages of a request of `session`, which its head names, should be read whole:
    /// not if it is known and little has come since.
    pub fn wants_messages(&self, pool: &Pool, session: SessionId, bytes: u64, now: Moment) -> bool {
        let id = session.within(&pool.name);
        self.shared_ids.is_split(id, now) || self.lineage.wants(id, bytes)
    }

    /// A request of `session` begins; its body had `bytes`. Tell [`Policy::left`] when it is over.
    pub fn entered(
        &mut self,
        pool: &Pool,
        identity: &Identity,
        session: &Session,
        bytes: u64,
        now: Moment,
    ) {
        let talk = &identity.conversation;
        let part = match session.part {
            Part::Conversation => session.counted,
            Part::Whole | Part::SubAgent => None,
        };
        if talk.links.is_empty() || session.carries_on {
            self.lineage.touch(session.id, now);
        } else {
            let chain = Chain::new(talk, &pool.name, part);
            let named = session.part != Part::Conversation && identity.named.is_some();
            self.lineage.record(session.id, named, &chain, bytes, now);
        }
        if let Some(id) = session.counted {
            let (rule, split) = (&session.rule, session.split);
            self.shared_ids.entered(id, talk.opener, rule, split, now);
        }
    }

    /// A request of `session` is over.
    pub fn left(&mut self, session: &Session) {
        if let Some(id) = session.counted {
            self.shared_ids.left(id);
        }
    }

    /// An answer gave its client something to continue `session` by.
    pub fn gave_out(&mut self, pool: &str, answer: AnswerId, session: SessionId, now: Moment) {
        self.answers.learn(answer, pool, session, now);
    }
}

#[cfg(test)]
mod tests;
