//! Streams whose events say when they were sent, beside chats that are not in a hurry: how long an event
//! takes through a proxy that is not at its limit.

use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::load::{Answer, Client};
use crate::traffic::WORKLOADS;

/// Streams that are open at once.
const STREAMS: usize = 8;
/// Events of a stream that say when they were sent.
const EVENTS: usize = 100;
/// Pause between two events of a stream: 200 tokens a second, a fast model.
const EVENT_EVERY: Duration = Duration::from_millis(5);
/// Connections that chat meanwhile, so that there is something to watch …
const CHATS: usize = 8;
/// … and how long each of them waits between two requests: together some 3,000 a second.
const CHAT_PAUSE: Duration = Duration::from_millis(2);
/// Places of the workloads in their table.
const CHAT: usize = 0;
const STREAM: usize = 2;
/// What stands before the time in an event, and how many digits that has.
const MARK: &[u8] = b"\"content\":\"";
const DIGITS: usize = 20;
/// What stands between two events.
const BLANK_LINE: &[u8] = b"\n\n";

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n";
const STREAM_END: &str = "data: [DONE]\n\n";
const CHAT_ANSWER: &str = r#"{"id":"c-1","object":"chat.completion","created":1,"model":"mock-large","choices":[{"index":0,"message":{"role":"assistant","content":"All right."},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"prompt_tokens_details":{"cached_tokens":400},"completion_tokens":100,"total_tokens":600}}"#;

/// The beginning of time for upstream and clients, which are one process.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn nanos() -> u64 {
    START.elapsed().as_nanos() as u64
}

fn event(sent: u64) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\
         \"model\":\"mock-large\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{sent:020}\"}},\
         \"finish_reason\":null}}]}}\n\n"
    )
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Answers chats at once and streams at their pace, on a thread of its own. Gives its address.
pub fn start_upstream() -> Result<String, String> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _ = tell.send(listener.local_addr()?.to_string());
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(serve(stream));
            }
        })
    });
    told.recv()
        .map_err(|_| "the upstream of the streams did not start".to_owned())
}

/// Length of the head in `input`, length of the body behind it, and whether a stream is asked for.
fn asked(input: &[u8]) -> Option<(usize, usize, bool)> {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut lines);
    let httparse::Status::Complete(head) = request.parse(input).ok()? else {
        return None;
    };
    let mut lines = request.headers.iter();
    let length = lines.find(|line| line.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|line| std::str::from_utf8(line.value).ok()?.parse().ok());
    let streams = request.path?.contains("stream=1");
    Some((head, length.unwrap_or(0), streams))
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    loop {
        let (length, streams) = loop {
            if let Some((head, body, streams)) = asked(&input)
                && input.len() >= head + body
            {
                break (head + body, streams);
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        };
        input.drain(..length);
        if !streams {
            let length = CHAT_ANSWER.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{CHAT_ANSWER}"
            );
            stream.write_all(answer.as_bytes()).await?;
            continue;
        }
        stream.write_all(STREAM_HEAD.as_bytes()).await?;
        let mut pace = interval(EVENT_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..EVENTS {
            pace.tick().await;
            stream.write_all(chunk(&event(nanos())).as_bytes()).await?;
        }
        let end = format!("{}0\r\n\r\n", chunk(STREAM_END));
        stream.write_all(end.as_bytes()).await?;
    }
}

/// What came of a stream, and how long each event took, in microseconds.
#[derive(Debug, Default)]
struct Delays {
    pending: Vec<u8>,
    micros: Vec<f64>,
}

impl Delays {
    /// Takes a piece of the body that has come `now`, wherever it was cut.
    fn take(&mut self, piece: &[u8], now: u64) {
        self.pending.extend_from_slice(piece);
        let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|at| at == what);
        while let Some(end) = find(&self.pending, BLANK_LINE) {
            let event: Vec<u8> = self.pending.drain(..end + BLANK_LINE.len()).collect();
            let sent = find(&event, MARK).and_then(|at| {
                let digits = event.get(at + MARK.len()..)?.get(..DIGITS)?;
                std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
            });
            if let Some(took) = sent.and_then(|sent| now.checked_sub(sent)) {
                self.micros.push(took as f64 / 1e3);
            }
        }
    }
}

/// What a phase came to.
#[derive(Debug, Default)]
pub struct Phase {
    /// Answers of both kinds.
    pub answers: u64,
    /// How long each event took from the upstream to its client, in microseconds.
    pub micros: Vec<f64>,
}

async fn stream(address: String, conversation: usize, until: Instant) -> Result<Phase, String> {
    let workload = WORKLOADS[STREAM];
    let mut client = Client::open(&address, workload, conversation).await?;
    let expected = Answer {
        status: 200,
        body_bytes: (event(0).len() * EVENTS + STREAM_END.len()) as u64,
    };
    let (mut delays, mut answers) = (Delays::default(), 0);
    while answers == 0 || Instant::now() < until {
        let answer = client.exchange_seeing(|piece| delays.take(piece, nanos()));
        check(&address, expected, answer.await?)?;
        answers += 1;
        let events = answers as usize * EVENTS;
        if delays.micros.len() != events || !delays.pending.is_empty() {
            return Err(format!(
                "{address}: an event of a stream is not what was sent"
            ));
        }
    }
    Ok(Phase {
        answers,
        micros: delays.micros,
    })
}

async fn chat(address: String, conversation: usize, until: Instant) -> Result<Phase, String> {
    let mut client = Client::open(&address, WORKLOADS[CHAT], conversation).await?;
    let expected = Answer {
        status: 200,
        body_bytes: CHAT_ANSWER.len() as u64,
    };
    let mut answers = 0;
    while answers == 0 || Instant::now() < until {
        check(&address, expected, client.exchange().await?)?;
        answers += 1;
        sleep(CHAT_PAUSE).await;
    }
    Ok(Phase {
        answers,
        micros: Vec::new(),
    })
}

fn check(address: &str, expected: Answer, answer: Answer) -> Result<(), String> {
    if answer == expected {
        return Ok(());
    }
    Err(format!("{address}: expected {expected:?}, got {answer:?}"))
}

/// Streams and chats for `length`, through the server at `address`; nothing is under way afterwards.
pub async fn phase(address: &str, length: Duration) -> Result<Phase, String> {
    let until = Instant::now() + length;
    let mut running = JoinSet::new();
    for conversation in 0..STREAMS {
        running.spawn(stream(address.to_owned(), conversation, until));
    }
    for conversation in STREAMS..STREAMS + CHATS {
        running.spawn(chat(address.to_owned(), conversation, until));
    }
    let mut sum = Phase::default();
    while let Some(joined) = running.join_next().await {
        let one = joined.map_err(|error| error.to_string())??;
        sum.answers += one.answers;
        sum.micros.extend(one.micros);
    }
    Ok(sum)
}

/// The value that the part `part` of `values` does not exceed; 0 of nothing.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_timed_wherever_the_stream_is_cut() {
        let whole = format!("{}{}{STREAM_END}", event(1_000), event(4_000));
        for size in 1..=whole.len() {
            let mut delays = Delays::default();
            for piece in whole.as_bytes().chunks(size) {
                delays.take(piece, 9_000);
            }
            assert_eq!(delays.micros, [8.0, 5.0], "pieces of {size}");
            assert!(delays.pending.is_empty());
        }
    }

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.99), 198.0);
        assert_eq!(quantile(&mut values, 0.5), 100.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
        assert_eq!(quantile(&mut [], 0.99), 0.0);
    }

    #[test]
    fn the_upstream_answers_both_kinds_as_they_are_expected() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let upstream = start_upstream().unwrap();
        let came = runtime.block_on(phase(&upstream, Duration::ZERO)).unwrap();
        assert_eq!(came.answers, (STREAMS + CHATS) as u64);
        assert_eq!(came.micros.len(), STREAMS * EVENTS);
    }
}
