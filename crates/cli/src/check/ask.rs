//! Asks the providers, several at once: the free questions for each key and, if wanted, one that costs.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api_key_lb_core::Moment;
use api_key_lb_core::plan::Key;
use api_key_lb_core::provider::{OwnErrorRule, Tells};
use api_key_lb_core::wire::probe::{self, Question, Standing, Told};
use api_key_lb_engine::probe::{ProbeError, Prober};
use tokio::sync::{Semaphore, mpsc};

use super::Checked;

/// Keys asked about at once: enough that one slow provider holds nobody up, too few to look like
/// an attack to one that counts requests by address.
const AT_ONCE: usize = 4;
/// That an answer would have been the same for anybody.
const OPEN_TO_ALL: &str = "it answers the same without any key, so this proves nothing; \
    `--paid --model NAME` would (and costs)";

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    /// Sends the questions.
    pub(crate) prober: Prober,
    /// How long all questions about one key may take.
    pub(crate) timeout: Duration,
    /// The model that the paid question is for; `None` if none is asked.
    pub(crate) paid: Option<String>,
    /// The person's own rules about errors.
    pub(crate) error_rules: Vec<OwnErrorRule>,
}

/// Asks about every key; `finished` is called with the place of each as soon as it is done. Needs a
/// runtime of one thread.
pub(crate) async fn ask_all<'p>(
    keys: &[(&'p str, &'p Key)],
    inquiry: Inquiry,
    mut finished: impl FnMut(&Checked<'p>),
) -> Vec<Checked<'p>> {
    let inquiry = Rc::new(inquiry);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (sender, mut answers) = mpsc::unbounded_channel();
    for (at, (_, key)) in keys.iter().enumerate() {
        let (inquiry, places, sender) = (inquiry.clone(), places.clone(), sender.clone());
        let key = Key::clone(key);
        tokio::task::spawn_local(async move {
            // Never closed.
            let _place = places.acquire().await;
            let answer = about(&key, &inquiry).await;
            // Nobody waits any more if this fails.
            let _ = sender.send((at, answer));
        });
    }
    drop(sender);
    let mut all: Vec<Option<Checked<'p>>> = keys.iter().map(|_| None).collect();
    while let Some((at, (told, took))) = answers.recv().await {
        let (pool, key) = keys[at];
        let checked = Checked {
            pool,
            key,
            told,
            took,
        };
        finished(&checked);
        all[at] = Some(checked);
    }
    all.into_iter().flatten().collect()
}

/// An answer, and what it answers.
struct Answered {
    told: Told,
    took: Duration,
    question: Question,
}

/// What is told of one key, and how long the answer that decided took.
async fn about(key: &Key, inquiry: &Inquiry) -> (Told, Duration) {
    let begun = Instant::now();
    let left = || inquiry.timeout.saturating_sub(begun.elapsed());
    let Some(free) = free(key, inquiry, &left).await else {
        return (Told::bare(Standing::Unclear, None), Duration::ZERO);
    };
    let Answered { told, took, .. } = free;
    match &inquiry.paid {
        Some(model) if !is_hopeless(told.standing) => {
            let question = probe::paid(&key.target, key.secret.expose(), model);
            let paid = one(key, inquiry, &question, true, left()).await;
            (merged(told, paid.told), paid.took)
        }
        _ => (told, took),
    }
}

/// Whether a paid question could only be refused.
const fn is_hopeless(standing: Standing) -> bool {
    matches!(
        standing,
        Standing::Refused | Standing::NoCredit | Standing::UsedUp | Standing::Unreachable
    )
}

/// The first answer that settles something; if none does, a refusal, else the first answer.
async fn free(key: &Key, inquiry: &Inquiry, left: &impl Fn() -> Duration) -> Option<Answered> {
    let mut best: Option<Answered> = None;
    for question in probe::free(&key.target, key.secret.expose()) {
        if let Some(best) = &best
            && !probe::is_worth(&question, &best.question, &best.told, &key.target)
        {
            continue;
        }
        let mut answer = one(key, inquiry, &question, true, left()).await;
        let mut is_open = false;
        let says_valid = answer.told.standing == Standing::Valid;
        if says_valid && question.tells == Tells::Validity && inquiry.paid.is_none() {
            // Some lists of models are for everybody.
            let anonymous = one(key, inquiry, &question, false, left()).await;
            is_open = anonymous.told.standing == Standing::Valid;
            if is_open {
                answer.told.standing = Standing::Unclear;
                answer.told.reason = Some(OPEN_TO_ALL.to_owned());
            }
        }
        let replaces = match best.as_ref().map(|best| best.told.standing) {
            None => true,
            // A refusal may have been only of this question, see `is_worth`.
            Some(Standing::Refused) => answer.told.standing.is_usable(),
            Some(_) => !matches!(
                answer.told.standing,
                Standing::Unclear | Standing::Unreachable
            ),
        };
        if replaces {
            best = Some(answer);
        }
        if is_open {
            // So are its other lists.
            break;
        }
    }
    best
}

/// The answer to one question; `shown` says whether the key goes with it.
async fn one(
    key: &Key,
    inquiry: &Inquiry,
    question: &Question,
    shown: bool,
    timeout: Duration,
) -> Answered {
    let begun = Instant::now();
    let asking = inquiry.prober.ask(key, question, shown, timeout);
    let told = match asking.await {
        Ok(answer) => probe::read(
            &inquiry.error_rules,
            question,
            &key.target,
            answer.status,
            &answer.headers,
            &answer.body,
            now(),
        ),
        Err(error) => {
            // What is left of the time means nothing to people.
            let reason = match error {
                ProbeError::Silent(_) => ProbeError::Silent(inquiry.timeout).to_string(),
                other => other.to_string(),
            };
            Told::bare(Standing::Unreachable, Some(reason))
        }
    };
    Answered {
        told,
        took: begun.elapsed(),
        question: question.clone(),
    }
}

/// What both answers tell; how the key stands, the paid one knows better.
fn merged(free: Told, paid: Told) -> Told {
    let mut owners = free.owners;
    for owner in paid.owners {
        if owners.iter().all(|known| known.id != owner.id) {
            owners.push(owner);
        }
    }
    Told {
        owners,
        plan: free.plan.or(paid.plan),
        left: free.left.into_iter().chain(paid.left).collect(),
        ..paid
    }
}

/// The time now.
pub(crate) fn now() -> Moment {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use api_key_lb_core::wire::probe::Owner;

    use super::*;

    #[test]
    fn a_paid_answer_decides_and_adds_to_the_free_one() {
        let owner = |id: &str| Owner {
            kind: "organization",
            id: id.into(),
        };
        let free = Told {
            owners: vec![owner("a")],
            plan: Some("Pro".into()),
            ..Told::bare(Standing::Valid, None)
        };
        let paid = Told {
            owners: vec![owner("a"), owner("b")],
            ..Told::bare(Standing::NoCredit, Some("no money".into()))
        };
        let told = merged(free, paid);
        assert_eq!(told.standing, Standing::NoCredit);
        assert_eq!(told.owners, [owner("a"), owner("b")]);
        assert_eq!(told.plan.as_deref(), Some("Pro"));
    }
}
