//! Lists of all accounts as one: stops 4 to 7 for each account in turn, until the page is full. What
//! is asked and how the answers are joined says `core/wire/lists.rs`.

use std::borrow::Cow;
use std::future::poll_fn;

use api_key_lb_core::AccountId;
use api_key_lb_core::fact::{Affinity, Ending};
use api_key_lb_core::object::{Keeping, Reference, References};
use api_key_lb_core::plan::{Lists, Pool};
use api_key_lb_core::policy::Bound;
use api_key_lb_core::verdict::Matter;
use api_key_lb_core::wire::decoding::{Decoder, Decoding};
use api_key_lb_core::wire::dialect::{Dialect, Endpoint};
use api_key_lb_core::wire::headers;
use api_key_lb_core::wire::lists::{Cursor, Next, Page, Wanted, join};
use api_key_lb_core::wire::usage::AnswerReader;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH,
};
use http::request;
use http::response::Parts;
use http::{Method, Response, StatusCode};

use crate::attempt::Call;
use crate::body::AnswerBody;
use crate::error::SendError;
use crate::exchange::attempts;
use crate::gather::Gathered;
use crate::outcome::{Answered, Came, Outcomes, label};
use crate::record::Record;
use crate::replies::Answer;
use crate::state::State;

/// By this a request wants the lists of all accounts (`1`), or of one (`0`).
const LB_MERGE: HeaderName = HeaderName::from_static("x-lb-merge");
/// The accounts that are missing in an answer: asking again would not bring them.
const LB_INCOMPLETE: HeaderName = HeaderName::from_static("x-lb-incomplete");
/// Longest answer of one account, in bytes: ten thousand files, the most that a page may have, are 3 MB.
const PAGE_MOST: usize = 16 << 20;

/// An account that is asked: who it is, what its first key is called.
type Asked<'p> = (AccountId, &'p str);

/// A request for the lists of all accounts.
pub(crate) struct Merging<'p> {
    accounts: Vec<Asked<'p>>,
    query: Option<String>,
    /// The account that the page begins with, if that is known.
    begins: Option<AccountId>,
    dialect: Dialect,
}

/// What the accounts have answered so far.
#[derive(Default)]
struct Joined<'p> {
    head: Option<Parts>,
    pages: Vec<Page>,
    labels: Vec<&'p str>,
    missing: Vec<&'p str>,
}

impl Joined<'_> {
    fn count(&self) -> usize {
        self.pages.iter().map(|page| page.count).sum()
    }
}

impl<'p> Merging<'p> {
    /// If that is what the request wants, and there is more than one account to ask.
    pub(crate) fn of(
        state: &State,
        pool: &'p Pool,
        head: &request::Parts,
        endpoint: Endpoint,
        references: &References,
    ) -> Option<Self> {
        if !references.lists || head.method != Method::GET || pool.keys.len() < 2 {
            return None;
        }
        let wanted = Wanted::of(head.uri.query())?;
        let said = head.headers.get(LB_MERGE).map(HeaderValue::as_bytes);
        let wants = match said.map(<[u8]>::trim_ascii) {
            Some(b"1" | b"true") => true,
            Some(b"0" | b"false") => false,
            _ => pool.lists == Lists::All,
        };
        // What we have named ourselves nobody else knows.
        if !wants && !wanted.is_own_page() {
            return None;
        }
        let policy = state.policy();
        let each = policy.each_account(pool).into_iter();
        let accounts: Vec<Asked<'p>> = each
            .map(|(account, key)| (account, key.label.as_str()))
            .collect();
        let begins = match wanted.cursor {
            Cursor::Begin => accounts.first().map(|(account, _)| *account),
            Cursor::After(_) => policy.of_cursor(pool, references, state.now()),
            Cursor::Page(account, _) => Some(account),
        };
        drop(policy);
        (accounts.len() > 1).then(|| Self {
            accounts,
            query: head.uri.query().map(str::to_owned),
            begins,
            dialect: endpoint.dialect,
        })
    }

    /// Asks one account after the other. One that cannot be asked now is an error, or ends the page,
    /// so that the next one begins with it; one that never answers is left out and named.
    pub(crate) async fn serve(
        self,
        mut call: Call<'p>,
        mut record: Record,
        body: &mut Gathered,
    ) -> Answer {
        let Some(wanted) = Wanted::of(self.query.as_deref()) else {
            return self.fail(record, Outcomes::default(), Came::NothingLeft(None), &call);
        };
        let plain = HeaderValue::from_static("identity");
        call.headers.insert(ACCEPT_ENCODING, plain);
        for conditional in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            call.headers.remove(conditional);
        }
        let known = |(account, _): &Asked<'_>| Some(*account) == self.begins;
        let begin = self.accounts.iter().position(known);
        // Nobody knows whose it is: whoever knows it.
        let mut sought = begin.is_none();
        let mut with_cursor = true;
        let mut joined = Joined::default();
        let mut refused = None;
        let mut next = Next::End;
        for (account, name) in &self.accounts[begin.unwrap_or(0)..] {
            let has_pages = joined.pages.iter().all(|page| page.has_pages);
            let count = joined.count() as u64;
            let left = match wanted.limit.filter(|_| has_pages) {
                Some(limit) if limit <= count => {
                    next = Next::From(*account, String::new());
                    break;
                }
                left => left.map(|limit| limit - count),
            };
            call.query = wanted.query(with_cursor, left).map(Cow::Owned);
            call.bound = Bound::To(*account);
            record.asks_on();
            let mut outcomes = Outcomes::default();
            let came = attempts(&call, &mut record, &mut outcomes, body).await;
            let came = match came {
                Came::Answered(answered) if is_list(&answered) => {
                    joined.labels.push(answered.label);
                    match read(&mut record, &call, answered).await {
                        Ok((head, body)) => {
                            let google = self.dialect == Dialect::Gemini;
                            let Some(page) = Page::read(&body, google) else {
                                if joined.pages.is_empty() {
                                    // Whatever it is, it cannot be joined.
                                    return answer(record, head, body, &joined, &call);
                                }
                                joined.labels.pop();
                                joined.missing.push(name);
                                continue;
                            };
                            if let Some(id) = &page.last_id {
                                let last = Reference::new(id.as_bytes(), Keeping::Stored);
                                record.gave(&[last]);
                            }
                            let more = page.more.clone();
                            joined.head.get_or_insert(head);
                            joined.pages.push(page);
                            (with_cursor, sought) = (false, false);
                            if let Some(more) = more {
                                next = Next::From(*account, more);
                                break;
                            }
                            continue;
                        }
                        Err(error) => Came::Failed(error),
                    }
                }
                came => came,
            };
            if outcomes.is_lasting(&came) {
                // Who does not know the cursor is not missing.
                if !sought {
                    joined.missing.push(name);
                    with_cursor = false;
                }
                refused.get_or_insert((outcomes, came));
            } else if joined.count() > 0 && has_pages {
                next = Next::From(*account, String::new());
                break;
            } else {
                return self.fail(record, outcomes, came, &call);
            }
        }
        match (joined.head.take(), refused) {
            (Some(head), _) => {
                let body = join(&joined.pages, &next).into_bytes();
                answer(record, head, body, &joined, &call)
            }
            (None, Some((outcomes, came))) => self.fail(record, outcomes, came, &call),
            (None, None) => self.fail(record, Outcomes::default(), Came::NothingLeft(None), &call),
        }
    }

    fn fail(
        &self,
        record: Record,
        outcomes: Outcomes<'p>,
        came: Came<'p>,
        call: &Call<'p>,
    ) -> Answer {
        let now = call.state.now();
        outcomes.finish(record, came, call.plan, self.dialect, now)
    }
}

fn is_list(answered: &Answered<'_>) -> bool {
    answered.verdict.matter == Matter::Served && answered.head.status == StatusCode::OK
}

/// Reads an account's answer whole; what it gives out is that account's.
async fn read(
    record: &mut Record,
    call: &Call<'_>,
    answered: Answered<'_>,
) -> Result<(Parts, Vec<u8>), SendError> {
    let Answered {
        head,
        mut body,
        mut lease,
        ..
    } = answered;
    let broken = |why: &str| SendError::Broken(why.to_owned());
    let mut decoder = Decoder::new(&head.headers, PAGE_MOST as u64)
        .ok_or_else(|| broken("its list is compressed in an unknown way"))?;
    let mut reader = AnswerReader::new(&head.headers, record.may_give());
    let mut plain = Vec::new();
    loop {
        let frame = poll_fn(|cx| body.poll(lease.as_mut(), cx));
        let frame = tokio::time::timeout(call.plan.timing.idle_timeout, frame).await;
        let frame = frame.map_err(|_| broken("it fell silent in a list"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| SendError::Broken(error.to_string()))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        reader.feed(data);
        if let Some(given) = reader.given() {
            record.gave(given);
            given.clear();
        }
        match decoder.feed(data, &mut |piece| plain.extend_from_slice(piece)) {
            Decoding::Going | Decoding::Complete if plain.len() <= PAGE_MOST => {}
            Decoding::Broken => return Err(broken("its list is not compressed as it says")),
            _ => {
                return Err(broken(
                    "its list is longer than 16 MiB; set a smaller `limit`",
                ));
            }
        }
    }
    if let Some(lease) = lease {
        lease.give_back();
    }
    Ok((head, plain))
}

/// The head of the first account's answer, with another body.
fn answer(
    mut record: Record,
    mut head: Parts,
    body: Vec<u8>,
    joined: &Joined<'_>,
    call: &Call<'_>,
) -> Answer {
    headers::strip_answer(&mut head.headers);
    for name in [CONTENT_LENGTH, CONTENT_ENCODING, ETAG] {
        head.headers.remove(name);
    }
    let labels = joined.labels.join(", ");
    label(
        &mut head.headers,
        &record,
        &labels,
        Affinity::None,
        call.plan,
    );
    let missing = joined.missing.join(", ");
    if !missing.is_empty()
        && let Ok(missing) = HeaderValue::from_str(&missing)
    {
        head.headers.insert(LB_INCOMPLETE, missing);
    }
    record.first_byte(head.status);
    record.relayed(body.len());
    record.ends(Ending::Complete);
    let mut answer = Response::new(AnswerBody::Own(Some(Bytes::from(body))));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}
