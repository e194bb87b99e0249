//! A mock LLM provider: accounts with limits and prompt caches, three dialects, scripted faults.
//!
//! It stands in for a real provider in tests, benchmarks and demos. It speaks HTTP/1.1 (optionally
//! over TLS) on raw sockets, because it must also be able to stall, truncate, reset and trickle.
//!
//! ```
//! use api_key_lb_mock::{Account, Fault, Mock};
//! use std::time::Duration;
//!
//! let mock = Mock::builder()
//!     .account(Account::new("org-one").key("sk-mock-one-1111").rpm(60).tpm(100_000))
//!     .account(Account::new("org-two").key("sk-mock-two-2222"))
//!     .record(1000)
//!     .start()?;
//! mock.fault(Fault::on("sk-mock-one-1111").times(1).status(429).header("retry-after", "2"));
//! // … point a client at mock.url() …
//! let idle = mock.wait_until(Duration::from_secs(5), |counters| counters.total.in_flight == 0);
//! assert!(idle);
//! assert_eq!(mock.counters().key("sk-mock-two-2222").unwrap().requests, 0);
//! # std::io::Result::Ok(())
//! ```
//!
//! # Endpoints
//!
//! Matched by the end of the path, whatever comes before; the query does not matter:
//!
//! | Request | Answer |
//! |---|---|
//! | `POST …/chat/completions`, `…/completions`, `…/responses`, `…/embeddings` | OpenAI |
//! | `POST …/messages`, `…/messages/count_tokens` | Anthropic |
//! | `POST …:generateContent`, `…:streamGenerateContent` | Gemini (`?alt=sse`: events) |
//! | `GET …/models`, `…/models/{id}` | OpenAI, or Anthropic with `anthropic-version`/`x-api-key` |
//! | any method `…/echo` (`?status=NNN`) | what arrived, as JSON; no key needed |
//! | `…/files`, `…/batches`, `…/responses/{id}` and other collections, if the mock keeps objects | per account |
//! | `GET …/responses`, `…/realtime`, `…BidiGenerateContent` with `Upgrade: websocket` | a WebSocket; each response asked for is a request of its own |
//! | anything else | 404 in the dialect |
//!
//! The text of an answer depends only on the request. If the request offers tools and does not end
//! with a tool's result, the answer calls the first tool. A [`Stub`] says otherwise.
//!
//! # Order of events
//!
//! Head read: counted, fault chosen. Body read: recorded. Then, unless a fault decides: key (401),
//! body (400), limits (429; a refused request costs nothing), prompt-cache lookup. Then the delays,
//! then status and tokens are counted, the prompt becomes cached, and the answer is written.
//!
//! # Control over HTTP
//!
//! On the same port, without a key:
//!
//! | Request | Effect |
//! |---|---|
//! | `GET /_mock/counters` | [`Counters`] |
//! | `GET`, `DELETE /_mock/requests` | the recorded requests; forgets them |
//! | `GET /_mock/requests/{number}` | the whole body of one |
//! | `POST /_mock/stubs` | lays down an array of [`Stub`]s in place of those before |
//! | `POST /_mock/faults` | installs a [`Fault`] or an array of them → `{"ids":[1,2]}` |
//! | `GET`, `DELETE /_mock/faults` | lists [`ActiveFault`]s; removes all |
//! | `DELETE /_mock/faults/{id}` | removes one |
//! | `POST /_mock/accounts/{name}` | changes limits: `{"rpm":60,"tpm":0}`, 0 or null = unlimited |
//! | `POST /_mock/reset` | forgets counters, caches, faults, stubs, recordings; refills buckets |

mod answer;
mod builder;
mod cache;
mod call;
mod canned;
mod clock;
mod connection;
mod control;
mod counters;
mod delivery;
mod dialect;
mod exchange;
mod fault;
mod head;
mod json;
mod limits;
mod mock;
mod objects;
mod prompt;
mod sha1;
mod state;
mod stub;
mod tls;
mod websocket;

pub use builder::Builder;
pub use canned::Canned;
pub use counters::{Counters, KeyCounters, Recorded};
pub use fault::{ANY_KEY, ActiveFault, Close, Fault, FaultId, FaultKind};
pub use head::Credential;
pub use limits::{Account, Limits};
pub use mock::Mock;
pub use stub::Stub;
