//! Limits as the latest drafts of the IETF state them, in one header each.
//!
//! `RateLimit: "api";r=50;t=30` with `RateLimit-Policy: "fixed window";"api";q=100;w=300`, and
//! before that `RateLimit: limit=100, remaining=50, reset=30`.

use super::count;
use crate::headroom::{Axis, Bucket};
use crate::moment::Moment;
use crate::wire::reset;

#[derive(Debug, Default)]
pub(super) struct Draft<'h> {
    left: Option<&'h str>,
    policy: Option<&'h str>,
}

impl<'h> Draft<'h> {
    pub(super) fn take(&mut self, name: &str, value: &'h str) {
        if name == "ratelimit" {
            self.left = Some(value);
        } else {
            self.policy = Some(value);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_none()
    }

    pub(super) fn put(&self, buckets: &mut Vec<Bucket>, whole_account: bool, now: Moment) {
        let bucket = |remaining: Option<&str>, limit: Option<&str>, reset: Option<&str>| {
            let limit = limit.and_then(count);
            Some(Bucket {
                axis: Axis::Requests,
                whole_account,
                limit,
                remaining: count(remaining?).filter(|_| limit != Some(0))?,
                reset: reset.and_then(|text| reset::moment(text, 0, now)),
            })
        };
        let left = self.left.unwrap_or_default();
        if let Some(remaining) = value_of(left, ',', "remaining") {
            let of = |key| value_of(left, ',', key);
            buckets.extend(bucket(Some(remaining), of("limit"), of("reset")));
            return;
        }
        for item in left.split(',') {
            let limit = name_of(item)
                .and_then(|name| self.policy_of(name))
                .and_then(|policy| value_of(policy, ';', "q"));
            let of = |key| value_of(item, ';', key);
            buckets.extend(bucket(of("r"), limit, of("t")));
        }
    }

    fn policy_of(&self, name: &str) -> Option<&'h str> {
        let policies = self.policy?.split(',');
        policies.into_iter().find(|policy| policy.contains(name))
    }
}

/// The quoted name of an item, with its quotes.
fn name_of(item: &str) -> Option<&str> {
    let name = item.split(';').next()?.trim();
    (name.len() > 2).then_some(name)
}

fn value_of<'t>(text: &'t str, separator: char, key: &str) -> Option<&'t str> {
    text.split(separator).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}
