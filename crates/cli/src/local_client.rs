//! A tiny blocking HTTP/1.1 client for talking to an instance on this machine; one request per connection.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Largest answer read, in bytes: `/health` of thousands of keys fits.
const MAX_ANSWER: usize = 8 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;
/// Header lines of an answer understood; ours and a provider's have a few dozen.
const MAX_HEADERS: usize = 128;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there.
    #[error("nothing listens on {0}")]
    Refused(SocketAddr),
    /// Somebody listens, but has not answered in time.
    #[error("{0} did not answer within {1:?}")]
    Timeout(SocketAddr, Duration),
    /// The connection failed.
    #[error("the connection with {0} failed: {1}")]
    Broken(SocketAddr, io::Error),
    /// What came back is no HTTP/1.1 answer.
    #[error("{0} does not answer in HTTP/1.1")]
    NotHttp(SocketAddr),
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    /// Whom to ask.
    pub(crate) to: SocketAddr,
    /// The method.
    pub(crate) method: &'c str,
    /// Path and query.
    pub(crate) path: &'c str,
    /// Further headers; Host, Connection and Content-Length come by themselves.
    pub(crate) headers: &'c [(&'c str, &'c str)],
    /// The body, empty for none.
    pub(crate) body: &'c [u8],
    /// How long everything together may take.
    pub(crate) timeout: Duration,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers, names in lower case.
    headers: Vec<(String, String)>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of that name (lower case), if its value is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Call<'_> {
    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError`] says what happened instead.
    pub(crate) fn send(&self) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + self.timeout;
        let mut stream = TcpStream::connect_timeout(&self.to, self.timeout)
            .map_err(|error| self.failed(error))?;
        // Head and body are two small writes; without this the second waits for an ACK.
        let _ = stream.set_nodelay(true);
        stream
            .set_write_timeout(Some(self.timeout))
            .map_err(|error| self.failed(error))?;
        let sent = stream
            .write_all(self.head().as_bytes())
            .and_then(|()| stream.write_all(self.body));
        // A server may answer (413, 403) and close before it has read everything: read anyway.
        let received = self.receive(&mut stream, deadline);
        match (sent, received) {
            (_, Ok(answer)) => Ok(answer),
            (Err(error), Err(_)) => Err(self.failed(error)),
            (Ok(()), Err(error)) => Err(error),
        }
    }

    fn head(&self) -> String {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.method, self.path, self.to
        );
        if !self.body.is_empty() || self.method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }

    fn receive(&self, stream: &mut TcpStream, deadline: Instant) -> Result<Answer, ClientError> {
        let mut bytes = Vec::new();
        let mut piece = [0; READ_BYTES];
        loop {
            if let Some(answer) = self.parse(&bytes, false)? {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout(self.to, self.timeout));
            }
            stream
                .set_read_timeout(Some(left))
                .map_err(|error| self.failed(error))?;
            match stream.read(&mut piece) {
                Ok(0) => {
                    return self
                        .parse(&bytes, true)?
                        .ok_or(ClientError::NotHttp(self.to));
                }
                Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
            if bytes.len() > MAX_ANSWER {
                return Err(ClientError::NotHttp(self.to));
            }
        }
    }

    /// The answer, if `bytes` hold all of it; `ended` says that no more will come.
    fn parse(&self, bytes: &[u8], ended: bool) -> Result<Option<Answer>, ClientError> {
        let wrong = || ClientError::NotHttp(self.to);
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            // Say so at once: a server of another protocol may keep the connection open.
            let start = bytes.get(..5.min(bytes.len())).unwrap_or_default();
            return if b"HTTP/".starts_with(start) {
                Ok(None)
            } else {
                Err(wrong())
            };
        };
        let (head, rest) = bytes.split_at(at + 4);
        let head = String::from_utf8_lossy(head);
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1."))
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or_else(wrong)?;
        let headers: Vec<(String, String)> = lines
            .take(MAX_HEADERS)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if (100..200).contains(&status) {
            return self.parse(rest, ended);
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let chunked = answer
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let body = if chunked {
            unchunk(rest)
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().map_err(|_| wrong())?;
            rest.get(..length).map(<[u8]>::to_vec)
        } else {
            ended.then(|| rest.to_vec())
        };
        match body {
            Some(body) => {
                answer.body = body;
                Ok(Some(answer))
            }
            None if ended => Err(wrong()),
            None => Ok(None),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ClientError::Refused(self.to),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::Timeout(self.to, self.timeout)
            }
            _ => ClientError::Broken(self.to, error),
        }
    }
}

/// The content of a chunked body; `None` if it is not complete.
pub(crate) fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let (line, after) = rest.split_at(end);
        let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        let after = after.get(2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(after.get(..size)?);
        rest = after.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn asked(answer: &'static [u8], timeout: Duration) -> (Result<Answer, ClientError>, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).unwrap();
            stream.write_all(answer).unwrap();
            // Stays open until the client leaves: the framing alone must end the answer.
            let mut more = Vec::new();
            let _ = stream.read_to_end(&mut more);
            let mut seen = bytes[..count].to_vec();
            seen.extend(more);
            String::from_utf8(seen).unwrap()
        });
        let call = Call {
            to,
            method: "POST",
            path: "/x?y=1",
            headers: &[("x-one", "1")],
            body: b"body",
            timeout,
        };
        let result = call.send();
        (result, server.join().unwrap())
    }

    #[test]
    fn the_request_is_complete_and_names_the_host() {
        let (answer, seen) = asked(
            b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            TIMEOUT,
        );
        assert_eq!(answer.unwrap().status, 204);
        assert!(
            seen.starts_with("POST /x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:"),
            "{seen}"
        );
        assert!(seen.contains("content-length: 4\r\nx-one: 1\r\n"), "{seen}");
        assert!(seen.ends_with("\r\n\r\nbody"), "{seen}");
    }

    #[test]
    fn a_body_with_a_length_ends_without_the_connection_ending() {
        let (answer, _) = asked(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}",
            TIMEOUT,
        );
        let answer = answer.unwrap();
        assert_eq!(
            (answer.body.as_slice(), answer.header("x-a")),
            (&b"{}"[..], Some("b"))
        );
        assert!(answer.json().is_some());
    }

    #[test]
    fn a_chunked_body_is_put_together_and_interim_answers_are_skipped() {
        let (answer, _) = asked(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n",
            TIMEOUT,
        );
        assert_eq!(answer.unwrap().body, b"abcde");
    }

    #[test]
    fn another_protocol_is_recognised_at_once() {
        let (answer, _) = asked(b"SSH-2.0-OpenSSH\r\n", TIMEOUT);
        assert!(matches!(answer, Err(ClientError::NotHttp(_))));
    }

    #[test]
    fn silence_ends_with_the_timeout() {
        let (answer, _) = asked(b"", Duration::from_millis(50));
        assert!(matches!(answer, Err(ClientError::Timeout(..))));
    }

    #[test]
    fn a_closed_port_is_told_apart() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        let call = Call {
            to,
            method: "GET",
            path: "/",
            headers: &[],
            body: b"",
            timeout: TIMEOUT,
        };
        assert!(matches!(call.send(), Err(ClientError::Refused(_))));
    }
}
