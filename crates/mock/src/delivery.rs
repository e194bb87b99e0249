//! Writing an answer: framing, pacing, and the faults that strike in the middle.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::answer::{Answer, Body, reason};
use crate::connection::{ClientGone, Connection, Transport};
use crate::exchange::After;
use crate::fault::{Close, FaultKind};
use crate::state::Ticket;

/// Events that follow each other without a pause are written together up to this many bytes.
const WRITE_BYTES: usize = 16 * 1024;

/// What happens while an answer is written. Event counts are those of [`FaultKind`].
#[derive(Debug, Default)]
pub(crate) struct Script {
    event_delay: Duration,
    stall_after: Option<(u64, Option<Duration>)>,
    cut_events: Option<(u64, Close)>,
    cut_bytes: Option<(u64, Close)>,
    trickle: Option<(usize, Duration)>,
    close_after: Option<Close>,
}

impl Script {
    pub(crate) fn of(fault: Option<&FaultKind>, event_delay: Duration) -> Self {
        let mut script = Self {
            event_delay,
            ..Self::default()
        };
        match fault {
            Some(FaultKind::StallAfter { events, ms }) => {
                script.stall_after = Some((*events, ms.map(Duration::from_millis)));
            }
            Some(FaultKind::CutEvents { events, close }) => {
                script.cut_events = Some((*events, *close));
            }
            Some(FaultKind::CutBytes { bytes, close }) => {
                script.cut_bytes = Some((*bytes, *close));
            }
            Some(FaultKind::Trickle { bytes, ms }) => {
                script.trickle = Some(((*bytes).max(1), Duration::from_millis(*ms)));
            }
            Some(FaultKind::CloseAfter { close }) => script.close_after = Some(*close),
            _ => {}
        }
        script
    }
}

/// An answer on its way to a client.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) answer: Answer,
    /// Answer to HEAD: everything but the body.
    pub(crate) head_only: bool,
    /// Minor HTTP version of the request; 0 gets no chunks.
    pub(crate) minor: u8,
    pub(crate) keep_alive: bool,
}

/// Writes what has been collected, in pieces if the answer trickles.
async fn flush<T: Transport>(
    connection: &mut Connection<T>,
    out: &mut BytesMut,
    script: &Script,
) -> Result<(), ClientGone> {
    match script.trickle {
        None => connection.write(out).await?,
        Some((size, pause)) => {
            for piece in out.chunks(size) {
                connection.write(piece).await?;
                connection.pause(Some(pause)).await?;
            }
        }
    }
    out.clear();
    Ok(())
}

impl Delivery {
    /// Writes the answer and says what becomes of the connection.
    pub(crate) async fn run<T: Transport>(
        self,
        connection: &mut Connection<T>,
        mut ticket: Option<&mut Ticket>,
        script: &Script,
    ) -> Result<After, ClientGone> {
        let streamed = matches!(self.answer.body, Body::Events(_));
        let chunked = streamed && self.minor > 0;
        let keep_alive = self.keep_alive && (chunked || !streamed);
        let mut out = BytesMut::with_capacity(WRITE_BYTES);
        out.put_slice(self.head(chunked, keep_alive).as_bytes());
        if let Some(ticket) = &ticket {
            ticket.status(self.answer.status);
        }
        // A whole body is two events: its halves. That gives the counts of faults their meaning.
        let events = match self.answer.body {
            Body::Events(events) => events,
            Body::Whole(body) => {
                let middle = body.len() / 2;
                vec![body.slice(..middle), body.slice(middle..)]
            }
        };
        let end = if streamed { events.len() as u64 } else { 1 };
        let stall_at = script.stall_after.map(|(at, pause)| (at.min(end), pause));
        let cut_at = script.cut_events.map(|(at, close)| (at.min(end), close));
        let mut room = script.cut_bytes;
        let last = events.len();
        let events: &[Bytes] = if self.head_only { &[] } else { &events };
        for index in 0..=events.len() {
            if let Some((at, pause)) = stall_at
                && at == index as u64
            {
                flush(connection, &mut out, script).await?;
                connection.pause(pause).await?;
            }
            if let Some((at, close)) = cut_at
                && at == index as u64
            {
                flush(connection, &mut out, script).await?;
                return Ok(After::Tear(close));
            }
            let Some(event) = events.get(index) else {
                break;
            };
            if index > 0 && streamed && !script.event_delay.is_zero() {
                flush(connection, &mut out, script).await?;
                connection.pause(Some(script.event_delay)).await?;
            }
            if chunked && !event.is_empty() {
                let mut size = String::new();
                let _ = write!(size, "{:x}\r\n", event.len());
                out.put_slice(size.as_bytes());
            }
            if let Some((left, close)) = &mut room {
                if *left < event.len() as u64 {
                    out.put_slice(&event[..*left as usize]);
                    flush(connection, &mut out, script).await?;
                    return Ok(After::Tear(*close));
                }
                *left -= event.len() as u64;
            }
            out.put_slice(event);
            if chunked && !event.is_empty() {
                out.put_slice(b"\r\n");
            }
            if out.len() >= WRITE_BYTES && index + 1 < last {
                flush(connection, &mut out, script).await?;
            }
        }
        if let Some((0, close)) = room.filter(|_| chunked) {
            flush(connection, &mut out, script).await?;
            return Ok(After::Tear(close));
        }
        if chunked && !self.head_only {
            out.put_slice(b"0\r\n\r\n");
        }
        if script.trickle.is_none()
            && let Some(ticket) = &mut ticket
        {
            ticket.finish();
        }
        flush(connection, &mut out, script).await?;
        Ok(match script.close_after {
            Some(close) => After::Tear(close),
            None if keep_alive => After::KeepAlive,
            None => After::Close,
        })
    }

    fn head(&self, chunked: bool, keep_alive: bool) -> String {
        let status = self.answer.status;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in &self.answer.headers.0 {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match &self.answer.body {
            Body::Events(_) if chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Body::Events(_) => {}
            Body::Whole(_) if self.answer.headers.has("content-length") => {}
            Body::Whole(body) => {
                let _ = write!(head, "content-length: {}\r\n", body.len());
            }
        }
        if !keep_alive {
            head.push_str("connection: close\r\n");
        } else if self.minor == 0 {
            head.push_str("connection: keep-alive\r\n");
        }
        head.push_str("\r\n");
        head
    }
}
