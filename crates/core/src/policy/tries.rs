//! What one request has tried so far, and whether it may try once more.

use std::time::Duration;

use super::holds::{Line, Ticket};
use crate::moment::Moment;
use crate::plan::{AccountId, KeyId};
use crate::verdict::{Elsewhere, Matter, Verdict};

/// Tries in all after network errors and 5xx: the failure may be everywhere, and each try costs
/// the provider work.
const FEW: u32 = 3;
/// Tries in all while the provider has no capacity: another account may be served from another
/// part of it, a third one would only burn through the pool.
const TWO: u32 = 2;
/// Before an account is asked again that has throttled this very request, whatever shorter time it
/// named: the next one is not the same instant …
const ASK_AGAIN_FIRST: Duration = Duration::from_millis(20);
/// … and before it is asked a third time, doubled each further time: one that says "in 1 ms" again
/// and again must not be hammered.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Doublings of that; eight make 64 s, which is longer than anything is held.
const ASK_AGAIN_DOUBLINGS: u32 = 8;
/// Resets on a full hour are those of every account; others that are the same to the second are one
/// account's.
const COMMON_RESET: u64 = 3_600_000;

/// A key that was tried.
#[derive(Clone, Copy, Debug)]
struct Tried {
    key: KeyId,
    /// When it may be asked again: it was throttled, and that ends. `None`: not in this request.
    again: Option<Moment>,
    times: u32,
    /// What it came to.
    matter: Matter,
}

/// The tries of one request.
#[derive(Debug)]
pub struct Tries {
    began: Moment,
    tried: Vec<Tried>,
    /// Accounts of which no key need be asked any more.
    spent: Vec<AccountId>,
    /// Keys that were refused, by which it is not clear whether the key or the request is at fault.
    refused: Vec<KeyId>,
    /// Tries that may have cost the provider work.
    few: u32,
    /// The end of a quota that an account of which nobody knows whose it is has named.
    quota_ends: Option<(KeyId, Moment)>,
    /// Whether another such account has named the same one: most likely they are one account.
    looks_shared: bool,
    /// Its place in the order of those who wait, kept when it has been sent and must wait again …
    pub(super) ticket: Option<Ticket>,
    /// … and what it waits for, while it does.
    pub(super) waits_at: Option<Line>,
}

impl Tries {
    /// Of a request that began then.
    pub const fn new(began: Moment) -> Self {
        Self {
            began,
            tried: Vec::new(),
            spent: Vec::new(),
            refused: Vec::new(),
            few: 0,
            quota_ends: None,
            looks_shared: false,
            ticket: None,
            waits_at: None,
        }
    }

    /// When the request began.
    pub const fn began(&self) -> Moment {
        self.began
    }

    /// Whether nothing has been tried yet.
    pub(super) const fn is_first(&self) -> bool {
        self.tried.is_empty()
    }

    /// When `key` of `account` may be asked, as far as this request's own tries are concerned: at
    /// once (the zero moment), later, or `None` for never again.
    pub(super) fn may_ask(
        &self,
        key: KeyId,
        account: AccountId,
        is_unknown: bool,
    ) -> Option<Moment> {
        if self.spent.contains(&account) {
            return None;
        }
        match self.tried.iter().find(|tried| tried.key == key) {
            Some(tried) => tried.again,
            None if self.looks_shared && is_unknown => None,
            None => Some(Moment::default()),
        }
    }

    /// Whether `key` was tried.
    pub(super) fn has_tried(&self, key: KeyId) -> bool {
        self.tried.iter().any(|tried| tried.key == key)
    }

    /// What `key` came to, if it was tried.
    pub(super) fn met(&self, key: KeyId) -> Option<Matter> {
        let mut tried = self.tried.iter();
        tried
            .find(|tried| tried.key == key)
            .map(|tried| tried.matter)
    }

    /// The keys that refused this request without it being clear that they are at fault.
    pub(super) fn refused(&self) -> &[KeyId] {
        &self.refused
    }

    /// `key` of `account` was tried and came to `verdict`; it is usable again from `usable` on, if it
    /// cools. Whether the request may be sent once more, given whether that `may_resend` at all.
    pub(super) fn judged(
        &mut self,
        (key, account, is_unknown): (KeyId, AccountId, bool),
        verdict: Verdict,
        elsewhere: Elsewhere,
        usable: Option<Moment>,
        may_resend: bool,
        now: Moment,
    ) -> bool {
        let times = self
            .tried
            .iter()
            .find(|tried| tried.key == key)
            .map_or(0, |tried| tried.times);
        let again = verdict.is_throttle().then(|| {
            let pause = match times.checked_sub(1) {
                Some(before) => ASK_AGAIN.saturating_mul(1 << before.min(ASK_AGAIN_DOUBLINGS)),
                None => ASK_AGAIN_FIRST,
            };
            usable.unwrap_or(now).max(now.after(pause))
        });
        self.tried.retain(|tried| tried.key != key);
        self.tried.push(Tried {
            key,
            again,
            times: times + 1,
            matter: verdict.matter,
        });
        match verdict.matter {
            Matter::Credit | Matter::State => self.spent.push(account),
            Matter::Key | Matter::Suspicion => self.refused.push(key),
            Matter::AccountQuota | Matter::ModelQuota if is_unknown => {
                self.compare_quota(key, verdict.until);
            }
            _ => {}
        }
        match elsewhere {
            Elsewhere::No => false,
            Elsewhere::EachOnce => may_resend,
            Elsewhere::One | Elsewhere::Few if verdict.final_answer => false,
            Elsewhere::One => {
                self.few += 1;
                may_resend && self.few < TWO
            }
            Elsewhere::Few => {
                self.few += 1;
                may_resend && self.few < FEW
            }
        }
    }

    /// Two accounts whose quotas end in the same second are most likely one: such windows begin
    /// with their first request.
    fn compare_quota(&mut self, key: KeyId, until: Option<Moment>) {
        // Times that were stated as a span have fractions of a second.
        let Some(until) = until.filter(|until| {
            until.unix_millis().is_multiple_of(1000)
                && !until.unix_millis().is_multiple_of(COMMON_RESET)
        }) else {
            return;
        };
        match self.quota_ends {
            Some((other, ends)) if other != key && ends == until => self.looks_shared = true,
            _ => self.quota_ends = Some((key, until)),
        }
    }
}
