//! The simulated provider asked by hand.

use std::sync::Arc;

use super::*;

fn request(blocks: &[u64]) -> Request {
    Request {
        input_tokens: blocks.len() as u64 * 512,
        output_tokens: 80,
        blocks: Arc::from(blocks),
        ..Request::default()
    }
}

fn provider(account: AccountSpec) -> Provider {
    let spec = ProviderSpec {
        accounts: vec![account.clone(), account],
        ..ProviderSpec::default()
    };
    Provider::new(spec, Rng::seeded(1))
}

#[test]
fn a_prefix_is_cached_on_its_own_account_only_and_from_1024_tokens() {
    let mut provider = provider(AccountSpec::default());
    let first = provider.send(0, &request(&[1, 2, 3]), 0);
    assert_eq!(first.used.cached, 0);
    assert_eq!((first.head_at, first.end_at), (653, 1653));
    let cached = |provider: &mut Provider, account, blocks: &[u64]| {
        provider.send(account, &request(blocks), 2000).used.cached
    };
    assert_eq!(cached(&mut provider, 0, &[1, 2, 4]), 1024);
    assert_eq!(cached(&mut provider, 0, &[1, 5]), 0, "too little");
    assert_eq!(cached(&mut provider, 1, &[1, 2, 3]), 0);
}

#[test]
fn a_token_limit_refuses_with_its_time_and_tells_what_is_left() {
    let mut provider = provider(AccountSpec {
        tokens_per_minute: Some(3000),
        ..AccountSpec::default()
    });
    let served = provider.send(0, &request(&[1, 2, 3]), 0);
    assert_eq!(served.buckets[0].remaining, 3000 - 1536 - 80);
    let refused = provider.send(0, &request(&[1, 2, 3]), 0);
    assert_eq!(refused.verdict.matter, Matter::AccountRate);
    // 232 tokens are lacking, at 50 a second.
    assert_eq!(refused.verdict.until, Some(time::moment(4640)));
    let again = provider.send(0, &request(&[1, 2, 3]), 4640);
    assert_eq!(again.verdict.matter, Matter::Served);
}

#[test]
fn so_many_run_at_once_and_no_more() {
    let mut provider = provider(AccountSpec {
        concurrency: Some(1),
        ..AccountSpec::default()
    });
    let matter = |provider: &mut Provider, now| {
        let answer = provider.send(0, &request(&[1]), now);
        answer.verdict.matter
    };
    assert_eq!(matter(&mut provider, 0), Matter::Served);
    assert_eq!(matter(&mut provider, 1), Matter::Concurrency);
    provider.over(0);
    assert_eq!(matter(&mut provider, 2), Matter::Served);
}

#[test]
fn troubles_come_and_go() {
    let mut provider = provider(AccountSpec::default());
    provider.spec.troubles.push(Trouble {
        kind: TroubleKind::Overload,
        from_ms: 10,
        until_ms: 20,
        account: Some(1),
        model: None,
        share: 1.0,
    });
    let mut matter = |account, now| {
        let answer = provider.send(account, &request(&[1]), now);
        answer.verdict.matter
    };
    assert_eq!(matter(1, 9), Matter::Served);
    assert_eq!(matter(1, 10), Matter::Overload);
    assert_eq!(matter(0, 10), Matter::Served);
    assert_eq!(matter(1, 20), Matter::Served);
}
