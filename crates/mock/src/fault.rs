//! Scripted faults: what goes wrong, for whom, how often.

use serde::{Deserialize, Serialize};

/// How a connection is torn down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// TCP RST (`SO_LINGER` 0): the peer sees "connection reset".
    #[default]
    Reset,
    /// TCP FIN: the peer sees an end of stream. Over TLS no `close_notify` is sent.
    Fin,
}

/// What goes wrong.
///
/// "Events" are server-sent events of a streamed answer, counted from 1; a count past the end
/// means after the last event but before the final chunk. A JSON answer counts as: 0 = after the
/// head, 1 or more = after half of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with this status. JSON: `{"kind":"status","status":429,"headers":[["retry-after","2"]]}`.
    Status {
        /// The HTTP status.
        status: u16,
        /// Extra headers, in order. A `content-type` here replaces the default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
        /// The body; unset: the error the dialect sends with this status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// Closes the connection instead of answering, once the request has been read.
    /// JSON: `{"kind":"reset","close":"fin"}`.
    Reset {
        /// RST or FIN.
        #[serde(default)]
        close: Close,
    },
    /// Closes the connection while the request body is being read, after at least `after_bytes`
    /// of it (or all of it if it is shorter). JSON: `{"kind":"reset_body","after_bytes":1000}`.
    ResetBody {
        /// Body bytes to read first.
        #[serde(default)]
        after_bytes: u64,
        /// RST or FIN. Bytes not yet read turn a FIN into a RST: that is TCP, not choice.
        #[serde(default)]
        close: Close,
    },
    /// Sends nothing for `ms` milliseconds (unset: until the client leaves), then answers.
    /// JSON: `{"kind":"stall"}`.
    Stall {
        /// How long, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// Stops for `ms` milliseconds (unset: until the client leaves) after `events` events.
    /// JSON: `{"kind":"stall_after","events":3}`.
    StallAfter {
        /// Events to send first.
        events: u64,
        /// How long, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// Closes the connection after `events` events. JSON: `{"kind":"cut_events","events":2}`.
    CutEvents {
        /// Events to send first.
        events: u64,
        /// RST or FIN. A RST may destroy what the client has not read yet; default FIN.
        #[serde(default = "fin")]
        close: Close,
    },
    /// Closes the connection after `bytes` bytes of the body (streamed or not).
    /// JSON: `{"kind":"cut_bytes","bytes":100}`.
    CutBytes {
        /// Body bytes to send first, not counting the chunked framing.
        bytes: u64,
        /// RST or FIN; default FIN.
        #[serde(default = "fin")]
        close: Close,
    },
    /// Sends the dialect's own error event after `events` events, then ends the stream properly.
    /// No effect on an answer that is not streamed. JSON: `{"kind":"error_event","events":0}`.
    ErrorEvent {
        /// Events to send first; 0 makes the error the first event.
        #[serde(default)]
        events: u64,
        /// The JSON after `data:`; unset: the dialect's overload error.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
    },
    /// Writes the whole answer, head included, in pieces of `bytes` bytes every `ms` milliseconds.
    /// JSON: `{"kind":"trickle","bytes":7,"ms":1}`.
    Trickle {
        /// Size of a piece; 0 counts as 1.
        bytes: usize,
        /// Pause between two pieces, in milliseconds.
        ms: u64,
    },
    /// Waits before the head, then answers normally. JSON: `{"kind":"delay","ms":250}`.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Answers normally, then closes the connection without having announced it: the stale
    /// keep-alive connection every client meets. JSON: `{"kind":"close_after","close":"fin"}`.
    CloseAfter {
        /// RST or FIN; default FIN.
        #[serde(default = "fin")]
        close: Close,
    },
}

fn fin() -> Close {
    Close::Fin
}

fn any() -> String {
    ANY_KEY.to_owned()
}

/// The key of a fault that strikes every request, with or without a key.
pub const ANY_KEY: &str = "*";

/// A fault: whom it strikes, how often, and what happens.
///
/// At most one fault strikes a request: the oldest that matches and is not used up. It is chosen
/// when the request head has been read, before the key is checked, so faults also strike unknown
/// keys. `status`, `reset` and `reset_body` cost the account nothing; the others leave limits and
/// cache as usual. Requests to `/_mock/` are never struck.
///
/// ```
/// use api_key_lb_mock::{Fault, FaultKind};
/// let fault = Fault::on("sk-mock-one-1111").times(1).status(429).header("retry-after", "2");
/// let json = r#"{"key":"sk-mock-one-1111","times":1,
///     "kind":"status","status":429,"headers":[["retry-after","2"]]}"#;
/// assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), fault);
/// let stall: Fault = serde_json::from_str(r#"{"kind":"stall_after","events":3}"#).unwrap();
/// assert_eq!(stall, Fault::on("*").stall_after(3, None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The key it strikes; `*` (the default in JSON) strikes every request.
    #[serde(default = "any")]
    pub key: String,
    /// Only requests whose target (path and query) contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many requests it strikes; unset: until removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    pub skip: u64,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

impl Fault {
    /// A fault for a key (`*` = any). Until a kind is chosen it does nothing.
    pub fn on(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            path: None,
            times: None,
            skip: 0,
            kind: FaultKind::Delay { ms: 0 },
        }
    }

    /// Only requests whose target contains `part`.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Strikes this many requests, then no more.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub fn skip(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Sets the kind directly.
    #[must_use]
    pub fn kind(mut self, kind: FaultKind) -> Self {
        self.kind = kind;
        self
    }

    /// [`FaultKind::Status`]
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.kind(FaultKind::Status {
            status,
            headers: Vec::new(),
            body: None,
        })
    }

    /// Adds a header to a status fault; no effect on another kind.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let FaultKind::Status { headers, .. } = &mut self.kind {
            headers.push((name.into(), value.into()));
        }
        self
    }

    /// Sets the body of a status fault; no effect on another kind.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let FaultKind::Status { body, .. } = &mut self.kind {
            *body = Some(text.into());
        }
        self
    }

    /// [`FaultKind::Reset`]
    #[must_use]
    pub fn reset(self, close: Close) -> Self {
        self.kind(FaultKind::Reset { close })
    }

    /// [`FaultKind::ResetBody`], by RST.
    #[must_use]
    pub fn reset_body(self, after_bytes: u64) -> Self {
        self.kind(FaultKind::ResetBody {
            after_bytes,
            close: Close::Reset,
        })
    }

    /// [`FaultKind::Stall`]; `None` = until the client leaves.
    #[must_use]
    pub fn stall(self, ms: Option<u64>) -> Self {
        self.kind(FaultKind::Stall { ms })
    }

    /// [`FaultKind::StallAfter`]; `None` = until the client leaves.
    #[must_use]
    pub fn stall_after(self, events: u64, ms: Option<u64>) -> Self {
        self.kind(FaultKind::StallAfter { events, ms })
    }

    /// [`FaultKind::CutEvents`], by FIN.
    #[must_use]
    pub fn cut_events(self, events: u64) -> Self {
        self.kind(FaultKind::CutEvents {
            events,
            close: Close::Fin,
        })
    }

    /// [`FaultKind::CutBytes`], by FIN.
    #[must_use]
    pub fn cut_bytes(self, bytes: u64) -> Self {
        self.kind(FaultKind::CutBytes {
            bytes,
            close: Close::Fin,
        })
    }

    /// [`FaultKind::ErrorEvent`] with the dialect's own error.
    #[must_use]
    pub fn error_event(self, events: u64) -> Self {
        self.kind(FaultKind::ErrorEvent { events, data: None })
    }

    /// [`FaultKind::Trickle`]
    #[must_use]
    pub fn trickle(self, bytes: usize, ms: u64) -> Self {
        self.kind(FaultKind::Trickle { bytes, ms })
    }

    /// [`FaultKind::Delay`]
    #[must_use]
    pub fn delay(self, ms: u64) -> Self {
        self.kind(FaultKind::Delay { ms })
    }

    /// [`FaultKind::CloseAfter`], by FIN.
    #[must_use]
    pub fn close_after(self) -> Self {
        self.kind(FaultKind::CloseAfter { close: Close::Fin })
    }
}

/// Names an installed fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u64);

/// An installed fault with what is left of it, as `GET /_mock/faults` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveFault {
    /// Its id.
    pub id: FaultId,
    /// How often it has struck.
    pub struck: u64,
    /// The fault; `times` and `skip` count down.
    #[serde(flatten)]
    pub fault: Fault,
}

/// The installed faults, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FaultTable {
    faults: Vec<ActiveFault>,
    last_id: u64,
}

impl FaultTable {
    pub(crate) fn add(&mut self, fault: Fault) -> FaultId {
        self.last_id += 1;
        let id = FaultId(self.last_id);
        self.faults.push(ActiveFault {
            id,
            struck: 0,
            fault,
        });
        id
    }

    /// The fault that strikes this request, if any; uses it up by one. A fault whose `times` are
    /// used up stays listed (so that a script can see it struck) but strikes no more.
    pub(crate) fn strike(&mut self, key: &str, target: &str) -> Option<FaultKind> {
        for active in &mut self.faults {
            let fault = &mut active.fault;
            let struck = (fault.key == ANY_KEY || fault.key == key)
                && fault
                    .path
                    .as_deref()
                    .is_none_or(|part| target.contains(part))
                && fault.times != Some(0);
            if !struck {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            active.struck += 1;
            return Some(fault.kind.clone());
        }
        None
    }

    pub(crate) fn list(&self) -> Vec<ActiveFault> {
        self.faults.clone()
    }

    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        let before = self.faults.len();
        self.faults.retain(|active| active.id != id);
        self.faults.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_and_times_count_matching_requests_only() {
        let mut table = FaultTable::default();
        table.add(Fault::on("a").path("/chat").skip(1).times(1).status(500));
        assert_eq!(table.strike("b", "/chat"), None);
        assert_eq!(table.strike("a", "/embeddings"), None);
        assert_eq!(table.strike("a", "/chat"), None, "skipped");
        assert!(table.strike("a", "/chat").is_some());
        assert_eq!(table.strike("a", "/chat"), None, "used up");
    }

    #[test]
    fn the_oldest_fault_that_is_not_used_up_strikes() {
        let mut table = FaultTable::default();
        table.add(Fault::on("*").times(1).status(500));
        table.add(Fault::on("*").status(503));
        let status = |kind| match kind {
            Some(FaultKind::Status { status, .. }) => status,
            _ => 0,
        };
        assert_eq!(status(table.strike("", "/")), 500);
        assert_eq!(status(table.strike("", "/")), 503);
    }
}
