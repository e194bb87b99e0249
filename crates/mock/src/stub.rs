//! Answers laid down beforehand: what is said to requests in which certain words stand.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Lets a request whose body has certain bytes in it be answered with a tool call or a text of one's own, so
/// that a real agent can be led through a conversation. Of several that fit, the first counts: put those for
/// later turns first, because an agent repeats the earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// What must stand in the body, byte for byte; so nothing that JSON escapes.
    pub when: String,
    /// The tool that is called if the request offers it, and does not end with a tool's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The arguments of the call.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// What is said if no tool is called; made-up words if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Stub {
    /// The first of `stubs` that fits `body`.
    pub(crate) fn of<'s>(stubs: &'s [Self], body: &[u8]) -> Option<&'s Self> {
        let fits = |stub: &&Self| memchr::memmem::find(body, stub.when.as_bytes()).is_some();
        stubs.iter().find(fits)
    }
}
