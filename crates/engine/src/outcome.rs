//! Which of several upstream answers a client gets, and how it is handed on.

use std::future::poll_fn;
use std::time::Duration;

use api_key_lb_core::fact::Affinity;
use api_key_lb_core::object::{Keeping, Reference};
use api_key_lb_core::plan::{Limits, Plan};
use api_key_lb_core::policy::Bound;
use api_key_lb_core::verdict::{Matter, Verdict};
use api_key_lb_core::wire::references::{self, Gives};
use api_key_lb_core::wire::reply::{self, Refusal};
use api_key_lb_core::wire::usage::AnswerReader;
use api_key_lb_core::wire::{answer, headers};
use api_key_lb_core::{Moment, wire::dialect::Dialect};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};

use crate::body::AnswerBody;
use crate::error::SendError;
use crate::opening::Begun;
use crate::record::Record;
use crate::relay::RelayBody;
use crate::replies::{Answer, name, own};
use crate::upstream::Lease;

const LB_KEY: HeaderName = HeaderName::from_static("x-lb-key");
const LB_AFFINITY: HeaderName = HeaderName::from_static("x-lb-affinity");
const LB_WHY: HeaderName = HeaderName::from_static("x-lb-why");
const LB_WAITED: HeaderName = HeaderName::from_static("x-lb-waited-ms");
const LB_ATTEMPTS: HeaderName = HeaderName::from_static("x-lb-attempts");

/// Most bytes read of an answer that is thrown away, and the longest time taken for it; error
/// bodies are a few hundred bytes that have come with the head.
const DISCARD_MOST: usize = 64 << 10;
const DISCARD_WITHIN: Duration = Duration::from_secs(2);

/// An upstream's answer.
pub(crate) struct Answered<'p> {
    /// The label of the key that was used.
    pub(crate) label: &'p str,
    pub(crate) affinity: Affinity,
    pub(crate) head: Parts,
    pub(crate) body: Begun,
    pub(crate) lease: Option<Lease>,
    pub(crate) verdict: Verdict,
}

/// How the attempts of one request ended.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per request, mostly the large one, and a box costs more than its move"
)]
pub(crate) enum Came<'p> {
    /// The last one brought this answer.
    Answered(Answered<'p>),
    /// The last one brought none.
    Failed(SendError),
    /// There is no key to try, or not before so long from now.
    NothingLeft(Option<Duration>),
}

/// How much an answer that is no success helps the client, most first: a failure of the
/// provider's that it may retry, a limit that ends at a known time, a refusal of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    KeyRefused,
    /// Another account may know what this one does not.
    NotHere,
    Throttled,
    ServerFault,
    Final,
}

impl Answered<'_> {
    const fn worth(&self) -> Worth {
        match self.verdict.matter {
            Matter::Key | Matter::Suspicion | Matter::Credit | Matter::Entitlement => {
                Worth::KeyRefused
            }
            Matter::AccountRate
            | Matter::AccountQuota
            | Matter::ModelRate
            | Matter::ModelQuota
            | Matter::Concurrency
            | Matter::FairUse => Worth::Throttled,
            Matter::Overload | Matter::Server | Matter::Network => Worth::ServerFault,
            Matter::State => Worth::NotHere,
            Matter::Served | Matter::Request => Worth::Final,
        }
    }

    /// Whether it is a throttle that says so by its status. Some say it with a 403, on which agents
    /// do not wait and try again.
    fn is_plain_throttle(&self) -> bool {
        self.worth() == Worth::Throttled && self.head.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// Reads an answer that nobody will see to its end, so that its connection can be used again:
    /// after a 429 the next request would otherwise pay for a new TLS handshake.
    fn discard(self) {
        let Some(mut lease) = self.lease else {
            return;
        };
        let mut body = self.body;
        tokio::task::spawn_local(async move {
            let mut room = DISCARD_MOST;
            let to_its_end = async {
                while let Some(read) = poll_fn(|cx| body.poll(Some(&mut lease), cx)).await {
                    let Ok(frame) = read else {
                        return false;
                    };
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    let Some(left) = room.checked_sub(length) else {
                        return false;
                    };
                    room = left;
                }
                true
            };
            if tokio::time::timeout(DISCARD_WITHIN, to_its_end).await == Ok(true) {
                lease.give_back();
            }
        });
    }
}

/// What the attempts so far have brought, none of which the client has seen.
#[derive(Default)]
pub(crate) struct Outcomes<'p> {
    best: Option<Answered<'p>>,
    failure: Option<SendError>,
}

impl<'p> Outcomes<'p> {
    /// An answer that another key may better.
    pub(crate) fn answered(&mut self, answered: Answered<'p>) {
        self.best = Some(self.better_of(answered));
    }

    /// An attempt without an answer.
    pub(crate) fn failed(&mut self, error: SendError) {
        self.failure = Some(error);
    }

    /// Whether all that was tried is a connection that broke.
    pub(crate) fn is_broken(&self) -> bool {
        self.best.is_none() && self.failure.as_ref().is_some_and(SendError::is_broken)
    }

    /// The one of the held answer and this one that tells the client more; the newer of equals.
    fn better_of(&mut self, answered: Answered<'p>) -> Answered<'p> {
        match self.best.take() {
            Some(held) if held.worth() > answered.worth() => {
                answered.discard();
                held
            }
            Some(held) => {
                held.discard();
                answered
            }
            None => answered,
        }
    }

    /// What the client gets.
    pub(crate) fn finish(
        self,
        record: Record,
        came: Came<'p>,
        plan: &Plan,
        dialect: Dialect,
        now: Moment,
    ) -> Answer {
        match came {
            Came::Answered(answered) => self.give(record, answered, plan, now),
            Came::Failed(error) => self.give_up(record, &error, plan, dialect, now),
            Came::NothingLeft(soonest) => self.nothing_left(record, soonest, plan, dialect, now),
        }
    }

    /// Whether it would end so again if it were asked once more, as far as is known.
    pub(crate) fn is_lasting(&self, came: &Came<'p>) -> bool {
        let is_lasting = |answered: &Answered<'_>| {
            !matches!(answered.worth(), Worth::Throttled | Worth::ServerFault)
        };
        let held = self.best.as_ref().is_none_or(is_lasting);
        match came {
            Came::Answered(answered) => held && is_lasting(answered),
            Came::Failed(_) | Came::NothingLeft(Some(_)) => false,
            Came::NothingLeft(None) => held && self.failure.is_none(),
        }
    }

    /// The last attempt brought this answer: it, or a better one from before, goes to the client.
    pub(crate) fn give(
        mut self,
        record: Record,
        answered: Answered<'p>,
        plan: &Plan,
        now: Moment,
    ) -> Answer {
        let best = self.better_of(answered);
        relay(record, best, None, plan, now)
    }

    /// The last attempt brought no answer.
    pub(crate) fn give_up(
        self,
        record: Record,
        error: &SendError,
        plan: &Plan,
        dialect: Dialect,
        now: Moment,
    ) -> Answer {
        match self.best {
            Some(best) if error.is_network() && best.worth() == Worth::ServerFault => {
                relay(record, best, None, plan, now)
            }
            best => {
                if let Some(best) = best {
                    best.discard();
                }
                own(record, &error.refusal(&plan.limits), dialect)
            }
        }
    }

    /// Every key has been tried, or must not be before `soonest` from now. One bad key's refusal
    /// is never seen while another key lives.
    pub(crate) fn nothing_left(
        self,
        record: Record,
        soonest: Option<Duration>,
        plan: &Plan,
        dialect: Dialect,
        now: Moment,
    ) -> Answer {
        match (self.best, self.failure, soonest) {
            (Some(best), _, _) if best.worth() == Worth::ServerFault => {
                relay(record, best, None, plan, now)
            }
            (best, Some(failure), _) => {
                if let Some(best) = best {
                    best.discard();
                }
                own(record, &failure.refusal(&plan.limits), dialect)
            }
            (Some(best), None, Some(wait)) if best.is_plain_throttle() => {
                relay(record, best, Some(wait), plan, now)
            }
            (best, None, Some(wait)) => {
                if let Some(best) = best {
                    best.discard();
                }
                let back = now.after(wait);
                let refusal = match record.bound() {
                    Bound::Free => Refusal::AllCooling(wait, back),
                    _ => Refusal::OwnerCooling(wait, back),
                };
                own(record, &refusal, dialect)
            }
            (Some(best), None, None) => relay(record, best, None, plan, now),
            (None, None, None) => own(record, &Refusal::NoKey, dialect),
        }
    }
}

impl SendError {
    /// Whether there was a connection, and it broke.
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    /// Whether the network or the upstream failed, not the client and not the configuration.
    const fn is_network(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Broken(_))
    }

    fn refusal(&self, limits: &Limits) -> Refusal {
        match self {
            Self::Connect(why) | Self::Broken(why) => Refusal::Unreachable(why.clone()),
            Self::Loop => Refusal::Loop,
            Self::ClientBody => Refusal::BodyBroken,
            Self::ClientBodyTooLong => Refusal::BodyTooLarge(limits.body_bytes),
            Self::FirstByte(after) => Refusal::UpstreamTimeout(*after),
        }
    }
}

/// Stop 7: hands an answer on. `wait` replaces the time a 429 names, which is one account's, by
/// the pool's; a bare 429 gets a time, since Codex gives a turn up on one without.
pub(crate) fn relay(
    mut record: Record,
    answered: Answered<'_>,
    wait: Option<Duration>,
    plan: &Plan,
    now: Moment,
) -> Answer {
    let mut head = answered.head;
    headers::strip_answer(&mut head.headers);
    if let Some(state) = answer::given_out(&head.headers) {
        record.gave_out(state);
    }
    if head.status.is_success() {
        let mut given = references::in_head(&head.headers);
        if let Some(state) = head.headers.get(answer::TURN_STATE) {
            given.push(Reference::new(state.as_bytes(), Keeping::Sealed));
        }
        if !given.is_empty() {
            record.gave(&given);
        }
    }
    if head.status == StatusCode::TOO_MANY_REQUESTS {
        let until = answered.verdict.until;
        let wait = wait
            .or_else(|| until.map(|until| until.since(now)))
            .or_else(|| answer::retry_after(&head.headers, now))
            .unwrap_or_default();
        reply::set_retry_after(&mut head.headers, wait, now.after(wait));
    }
    label(
        &mut head.headers,
        &record,
        answered.label,
        answered.affinity,
        plan,
    );
    record.first_byte(head.status);
    let gives = if head.status.is_success() {
        record.may_give()
    } else {
        Gives::Nothing
    };
    let reader = AnswerReader::new(&head.headers, gives);
    let body = RelayBody::new(
        answered.body,
        reader,
        plan.timing.idle_timeout,
        record,
        answered.lease,
    );
    let mut relayed = Response::new(AnswerBody::Relay(Box::new(body)));
    *relayed.status_mut() = head.status;
    *relayed.headers_mut() = head.headers;
    relayed
}

/// Says in an answer's head which key served it, and why.
pub(crate) fn label(
    headers: &mut HeaderMap,
    record: &Record,
    label: &str,
    affinity: Affinity,
    plan: &Plan,
) {
    if !plan.answer_headers {
        return;
    }
    name(headers, record);
    // A validated label is a valid header value.
    if let Ok(label) = HeaderValue::from_str(label) {
        headers.insert(LB_KEY, label);
    }
    headers.insert(LB_AFFINITY, HeaderValue::from_static(affinity.as_str()));
    headers.insert(LB_ATTEMPTS, HeaderValue::from(record.attempts()));
    // Labels are visible ASCII, and so are all other words.
    if let Some(why) = record.reason()
        && let Ok(why) = HeaderValue::from_str(why)
    {
        headers.insert(LB_WHY, why);
    }
    let waited = record.waited().as_millis();
    if let Some(waited) = u64::try_from(waited).ok().filter(|waited| *waited > 0) {
        headers.insert(LB_WAITED, HeaderValue::from(waited));
    }
}
