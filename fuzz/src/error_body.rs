//! The reader of error bodies and the judge: they never panic, whatever an error says, and a time that
//! they name can be meant.

use api_key_lb_core::Moment;
use api_key_lb_core::provider::{PROVIDERS, UNKNOWN};
use api_key_lb_core::verdict::Matter;
use api_key_lb_core::wire::judge::judge;
use api_key_lb_core::wire::reset;
use api_key_lb_core::wire::signals::{MAX_MESSAGE, Signals};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};

const NOW: Moment = Moment::from_unix_millis(1_790_000_000_000);
const STATUSES: [u16; 10] = [200, 400, 401, 402, 403, 404, 413, 429, 503, 529];

/// Checks one input: its first byte chooses the status, the others are the body, and the first line
/// of it is the header `retry-after` as well.
pub fn error_body(input: &[u8]) {
    let [first, body @ ..] = input else {
        return;
    };
    let number = STATUSES[usize::from(*first) % STATUSES.len()];
    let status = StatusCode::from_u16(number).expect("a status");
    let signals = Signals::of_body(body);
    assert!(signals.message.len() <= MAX_MESSAGE);
    let mut headers = HeaderMap::new();
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        headers.insert(RETRY_AFTER, value);
    }
    for provider in PROVIDERS.iter().chain([&UNKNOWN]) {
        let verdict = judge(provider, status, &headers, &signals, NOW);
        let is_error = number >= 400 || signals.is_error_envelope();
        assert_eq!(verdict.matter != Matter::Served, is_error);
        if let Some(until) = verdict.until {
            assert!(
                until > NOW && until.since(NOW) <= reset::LONGEST,
                "{verdict:?}"
            );
        }
        // The body alone decides nothing if it is not known.
        let _ = judge(provider, status, &headers, &Signals::default(), NOW);
    }
}
