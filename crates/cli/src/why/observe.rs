//! What the engine found out about a request, in fields and words.

use std::collections::BTreeMap;

use api_key_lb_control::health::split_reason;
use api_key_lb_core::AccountId;
use api_key_lb_core::fact::{Affinity, Part};
use api_key_lb_core::ladder::{CONFIGURED, LADDER, Place, Rule as LadderRule};
use api_key_lb_core::plan::{self, Pool, SplitSubAgents};
use api_key_lb_core::policy::Choice;
use api_key_lb_core::wire::identity::Found;
use api_key_lb_engine::{Explained, State};
use serde::de::IgnoredAny;

use super::{
    Asked, Key, Never, Request, Resting, Rule, Said, Session, UNKNOWN_POOL, WAITING, Why, secrets,
};
use crate::render::{long, path_of};

/// Most characters of an id that are shown.
const MOST_VALUE: usize = 64;
/// Shortest part of a credential that is not shown, in bytes; shorter ones are part of anything.
const PART_OF_A_SECRET: usize = 8;

/// The names of the accounts that have one.
pub(crate) type Names = BTreeMap<AccountId, String>;

impl Why {
    /// What `state` would make of the request now; `None` if it is no HTTP.
    pub(crate) fn of(state: &State, names: &Names, asked: &Asked, proxy: Said) -> Option<Self> {
        let (method, headers) = asked.head()?;
        let body = asked.body.as_bytes();
        let explained = state.explain(&method, &asked.path, &headers, body);
        let secrets = secrets(&explained.plan, &headers, &asked.path);
        let view = View {
            explained: &explained,
            names,
            secrets,
            asked,
        };
        Some(view.why(proxy))
    }
}

/// One request and what was found out about it.
struct View<'e> {
    explained: &'e Explained,
    names: &'e Names,
    secrets: Vec<&'e [u8]>,
    asked: &'e Asked,
}

impl View<'_> {
    fn why(&self, proxy: Said) -> Why {
        let explained = self.explained;
        let found = self.found();
        let used = explained.session.as_ref().and_then(|session| {
            let is_it = |found: &Found| found.rule.name == session.rule;
            found.iter().position(is_it)
        });
        let first = used.and_then(|at| Some((at, found.get(at)?)));
        let rules = explained.plan.recognition.ladder.rules();
        let others = found.iter().enumerate().filter(|(at, _)| Some(*at) != used);
        Why {
            proxy,
            request: Request {
                method: self.asked.method.clone(),
                path: self.path().to_owned(),
                pool: explained.pool.clone(),
                messages: explained.identity.conversation.links.len() as u64,
            },
            rule: first.map(|(_, found)| self.rule(found, meaning(&found.rule, rules))),
            session: self.session(),
            no_session: self.no_session(),
            not_used: others
                .map(|(at, found)| self.rule(found, not_used(at, found, first)))
                .collect(),
            never: explained
                .never
                .iter()
                .map(|never| Never {
                    name: never.place.clone(),
                    because: never.why.to_owned(),
                })
                .collect(),
            key: self.key(),
            no_key: self.no_key(),
            resting: self.resting(),
            notes: Vec::new(),
        }
    }

    fn path(&self) -> &str {
        self.asked.path.split('?').next().unwrap_or_default()
    }

    /// What the rules found, with the one about the content, which is no value.
    fn found(&self) -> Vec<Found> {
        let explained = self.explained;
        let mut found = explained.found.clone();
        if explained.endpoint.converses && !explained.identity.conversation.is_empty() {
            let rules = explained.plan.recognition.ladder.rules();
            let content = rules.iter().find(|rule| rule.place == Place::Content);
            found.extend(content.map(|rule| Found {
                rule: rule.clone(),
                value: None,
            }));
        }
        found
    }

    fn rule(&self, found: &Found, because: String) -> Rule {
        let value = match (&found.value, &found.rule.place) {
            (Some(value), _) => Some(self.shown(value)),
            (None, Place::Content) => None,
            (None, _) => Some("(very long, so by its hash)".to_owned()),
        };
        Rule {
            number: found.rule.number,
            name: found.rule.name.to_string(),
            family: found.rule.family.to_owned(),
            value,
            because,
        }
    }

    /// The beginning of an id, unless it is a credential in the wrong place.
    fn shown(&self, value: &[u8]) -> String {
        let holds = |whole: &[u8], part: &[u8]| {
            part.len() <= whole.len() && whole.windows(part.len()).any(|window| window == part)
        };
        let long_enough = |text: &[u8]| text.len() >= PART_OF_A_SECRET;
        let is_secret = |secret: &&[u8]| {
            value == *secret
                || (long_enough(secret) && holds(value, secret))
                || (long_enough(value) && holds(secret, value))
        };
        if self.secrets.iter().any(is_secret) {
            return "(a credential, not shown)".to_owned();
        }
        let text = String::from_utf8_lossy(value);
        let mut shown: String = text
            .chars()
            .take(MOST_VALUE)
            .map(|one| if one.is_control() { '?' } else { one })
            .collect();
        if text.chars().count() > MOST_VALUE {
            shown.push('…');
        }
        shown
    }

    fn session(&self) -> Option<Session> {
        let explained = self.explained;
        let session = explained.session.as_ref()?;
        let unused = explained
            .standing
            .used
            .map(|used| explained.now.since(used));
        Some(Session {
            id: session.id.short(),
            state: if unused.is_some() { "known" } else { "new" }.to_owned(),
            last_used_ms: unused.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            part: match session.part {
                Part::Whole => "whole",
                Part::SubAgent => "sub_agent",
                Part::Conversation => "conversation",
            }
            .to_owned(),
            text: [self.sub_agent(), self.split(), self.parent()]
                .into_iter()
                .flatten()
                .collect(),
        })
    }

    fn sub_agent(&self) -> Option<String> {
        let explained = self.explained;
        explained.identity.agent?;
        let part = explained.session.as_ref()?.part;
        let text = match (part, explained.plan.recognition.split_subagents) {
            (Part::Conversation, _) => return None,
            (Part::SubAgent, SplitSubAgents::Auto) => {
                "sent by a sub-agent, which is apart from its session, because `split_subagents` \
                 is \"auto\" and the session's key is near its limit, or was when it began"
            }
            (Part::SubAgent, _) => {
                "sent by a sub-agent, which is apart from its session, because `split_subagents` \
                 is \"always\""
            }
            // No id that it could be a part of.
            (Part::Whole, _) if explained.identity.named.is_none() => return None,
            (Part::Whole, SplitSubAgents::Auto) => {
                "sent by a sub-agent of the session; it goes with it, because `split_subagents` \
                 is \"auto\" and the session's key is not near its limit"
            }
            (Part::Whole, _) => {
                "sent by a sub-agent of the session; it goes with it, because `split_subagents` \
                 is \"never\""
            }
        };
        Some(text.to_owned())
    }

    fn split(&self) -> Option<String> {
        let shared = self.explained.standing.shared?;
        let reason = split_reason(shared.why, self.explained.plan.timing.session_ttl);
        let when = shared
            .home
            .and_then(|home| self.label_of(home))
            .map_or(String::new(), |label| {
                format!(" while {label} was throttled")
            });
        Some(format!(
            "this id is used by many conversations ({reason}{when}), so they are told apart by \
             content"
        ))
    }

    fn parent(&self) -> Option<String> {
        let explained = self.explained;
        let parent = explained.identity.parent?;
        let parent = parent.within(explained.pool.as_ref()?).short();
        Some(match explained.standing.drawn_to {
            Some(account) => format!(
                "begun from session {parent} with the same beginning, so it first goes to {}",
                self.label_of(account).unwrap_or("its key")
            ),
            None => format!("begun from session {parent}"),
        })
    }

    fn no_session(&self) -> Option<Said> {
        let explained = self.explained;
        if explained.session.is_some() {
            return None;
        }
        let body = self.asked.body.trim();
        let is_json = serde_json::from_str::<IgnoredAny>(body).is_ok();
        let (code, text) = if explained.pool.is_none() {
            (UNKNOWN_POOL, "there is no pool for this path".to_owned())
        } else if !explained.endpoint.converses {
            let why = format!("it has no id, and {} is no conversation", self.path());
            ("no_conversation", why)
        } else if !explained.identity.answers.is_empty() {
            let why = "it continues an answer that this proxy did not give, or has forgotten, and \
                       says nothing else by which it could be recognised";
            ("unknown_answer", why.to_owned())
        } else if body.is_empty() {
            ("no_body", "it has no id and no body".to_owned())
        } else if !is_json {
            (
                "not_json",
                "it has no id, and its body is not JSON".to_owned(),
            )
        } else {
            let why = "it has no id, and no message of a user by which it could be recognised";
            ("no_user_message", why.to_owned())
        };
        Some(Said::new(code, text))
    }

    fn key(&self) -> Option<Key> {
        let Choice::Use {
            key: at,
            affinity,
            reason,
        } = self.explained.choice
        else {
            return None;
        };
        let pool = self.explained.pool()?;
        let key = pool.keys.get(at)?;
        let words = reason.words(pool, at, self.explained.now);
        Some(Key {
            label: key.label.clone(),
            account: self.names.get(&key.account).cloned(),
            affinity: affinity.as_str().to_owned(),
            because: match affinity {
                _ if reason.is_worth_saying() => words.to_string(),
                _ => self.because(pool, key, affinity),
            },
        })
    }

    fn because(&self, pool: &Pool, key: &plan::Key, affinity: Affinity) -> String {
        let standing = self.explained.standing;
        match affinity {
            Affinity::Home => {
                "the session's home: it served it before, so its cache is warm".into()
            }
            _ if pool.keys.len() == 1 => "it is the only key".into(),
            Affinity::New if standing.drawn_to == Some(key.account) => {
                "a new session, which begins where its parent's cache is warm".into()
            }
            Affinity::New if standing.used.is_some() => {
                "the session has not been served yet, so nothing is warm anywhere".into()
            }
            Affinity::New if self.resting().is_empty() => {
                "a new session; its id decides between the keys".into()
            }
            Affinity::New => "a new session; its id decides between the keys that are free".into(),
            Affinity::Borrowed => format!("borrowed, because {}", self.homes_trouble()),
            Affinity::Moved => format!("the session moves here, because {}", self.homes_trouble()),
            Affinity::None => "without a session the keys take turns, and it is this one's".into(),
        }
    }

    /// Why the home does not serve.
    fn homes_trouble(&self) -> String {
        let home = self.explained.standing.home;
        let Some(label) = home.and_then(|home| self.label_of(home)) else {
            return "its home is not configured any more".into();
        };
        let resting = self.resting();
        match resting.iter().find(|resting| resting.label == label) {
            Some(resting) => format!("its home {label} is {}", in_words(resting)),
            None => format!("its home {label} cannot serve"),
        }
    }

    /// What a request that is kept waiting waits for.
    fn waits(&self) -> Option<Said> {
        let Choice::Hold { key, reason, .. } = &self.explained.choice else {
            return None;
        };
        let words = reason.waiting(self.explained.pool()?, *key, self.explained.now);
        Some(Said::new(WAITING, format!("not yet: {words}")))
    }

    fn no_key(&self) -> Option<Said> {
        if let Some(waits) = self.waits() {
            return Some(waits);
        }
        let Choice::Exhausted { soonest } = self.explained.choice else {
            return None;
        };
        let Some(pool) = self.explained.pool() else {
            let plan = &self.explained.plan;
            let paths: Vec<String> = plan.pools().map(|pool| path_of(&pool.name)).collect();
            let text = format!(
                "there is no pool for this path, so the proxy refuses it; it must begin with one of {}",
                paths.join(", ")
            );
            return Some(Said::new(UNKNOWN_POOL, text));
        };
        if pool.keys.is_empty() {
            return Some(Said::new("not_configured", "no key is configured"));
        }
        let soonest = soonest.map_or(String::new(), |soonest| {
            let wait = soonest.since(self.explained.now);
            format!("; the soonest is back in {}", long(wait))
        });
        Some(Said::new(
            "cooling",
            format!("every key is cooling{soonest}"),
        ))
    }

    /// The keys of the pool that cannot serve now.
    fn resting(&self) -> Vec<Resting> {
        let explained = self.explained;
        let keys = explained.pool().map_or(&[][..], |pool| &pool.keys);
        let resting = |key: &plan::Key| {
            let known = explained.key(key.id)?;
            let (state, until) = match (known.refused_until, known.cooling_until) {
                (Some(refused), _) => ("refused", refused),
                (None, Some(cooling)) => ("cooling", cooling),
                (None, None) => return None,
            };
            let wait = until.since(explained.now);
            Some(Resting {
                label: key.label.clone(),
                state: state.to_owned(),
                retry_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            })
        };
        keys.iter().filter_map(resting).collect()
    }

    /// A key of the account.
    fn label_of(&self, account: AccountId) -> Option<&str> {
        let pool = self.explained.pool()?;
        let key = pool.keys.iter().find(|key| key.account == account)?;
        Some(&key.label)
    }
}

/// `cooling for 14 s`.
pub(super) fn in_words(resting: &Resting) -> String {
    let wait = long(std::time::Duration::from_millis(resting.retry_in_ms));
    match resting.state.as_str() {
        "refused" => format!("refused by the provider, tried again in {wait}"),
        state => format!("{state} for {wait}"),
    }
}

/// What a rule finds, in words.
fn meaning(rule: &LadderRule, rules: &[LadderRule]) -> String {
    let row = LADDER
        .iter()
        .find(|row| rule.number == Some(row.number) && row.name() == *rule.name);
    let text = match (&rule.place, rule.family, row) {
        (Place::Content, ..) => return "no id: a conversation is told by its messages".into(),
        (Place::AnswerInBody(_) | Place::AnswerInHeader(_), ..) => {
            return "an earlier answer, whose session this continues".into();
        }
        (_, CONFIGURED, _) => return "your own rule, from `session_rules`".into(),
        (_, _, Some(row)) => format!("sent by {}", row.client),
        (_, _, None) => "an id".to_owned(),
    };
    let family = rules.iter().filter(|other| other.family == rule.family);
    if family.count() > 1 {
        format!("{text}; the same value under another of its names is the same session")
    } else {
        text
    }
}

/// Why a rule that found something did not decide; `used` is the one that did.
fn not_used(at: usize, found: &Found, used: Option<(usize, &Found)>) -> String {
    let is_answer = matches!(
        found.rule.place,
        Place::AnswerInBody(_) | Place::AnswerInHeader(_)
    );
    match used {
        Some((used, first)) if used < at => match first.rule.number {
            Some(number) => format!("not used, rule {number} comes first"),
            None => "not used, your own rule comes first".into(),
        },
        _ if is_answer => {
            "not used, this proxy did not give that answer or has forgotten it".into()
        }
        _ => "not used, there is no session".into(),
    }
}
