//! What an open WebSocket costs: CPU time per exchange, added time, and memory while it is idle, ours
//! beside nginx's.

#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../cpu.rs"]
mod cpu;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../options.rs"]
mod options;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../report.rs"]
mod report;
#[allow(dead_code, reason = "shared with the benchmark of requests")]
#[path = "../servers.rs"]
mod servers;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cpu::Family;
use options::Options;
use report::{Row, Sample, median};
use servers::{Scratch, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

const HELP: &str = "\
What an open WebSocket costs in api-key-lb, side by side with nginx carrying the same one.

Usage: bench/carrying [--quick] [--rounds N] [--seconds S] [--no-nginx]";

/// Connections of the closed loop.
const CONNECTIONS: usize = 32;
/// Connections that are open and idle when memory is looked at; both ends of each take a descriptor.
const IDLE: usize = 400;
/// Exchanges per server and round in the latency measurement, and the same in a quick run.
const LATENCY_EXCHANGES: usize = 2_000;
const QUICK_LATENCY_EXCHANGES: usize = 100;
/// Part of a measurement's length that is run before it, unmeasured.
const WARM_UP_PART: u32 = 5;
/// The example of RFC 6455: no proxy looks whether the answer fits.
const HANDSHAKE: &str = "GET /v1/responses HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nsession-id: bench\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const HEALTHY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// One kind of exchange: what a client sends, and what comes back.
struct Workload {
    name: &'static str,
    asks: Vec<u8>,
    answer: Vec<u8>,
}

fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn progress(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A text message in one frame, masked as a client's if `masked`.
fn frame(text: &str, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..=125 => frame.push(bit | short as u8),
        middle @ 126..=0xffff => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    if masked {
        let mask = [0x5a, 0x01, 0xc3, 0x77];
        frame.extend_from_slice(&mask);
        let bytes = text.bytes().zip(mask.iter().cycle());
        frame.extend(bytes.map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend_from_slice(text.as_bytes());
    }
    frame
}

fn workloads() -> Vec<Workload> {
    let filled = |before: &str, bytes: usize, after: &str| {
        let filling = "some \\\"text\\\" and code; ".repeat(bytes / 22);
        format!("{before}{filling}{after}")
    };
    let create = |bytes| {
        let before = r#"{"type":"response.create","model":"m","input":""#;
        frame(&filled(before, bytes, r#""}"#), true)
    };
    let event = |kind: &str, bytes| {
        let before = format!(r#"{{"type":"{kind}","delta":""#);
        frame(&filled(&before, bytes, r#""}"#), false)
    };
    let completed = frame(
        r#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":900,"input_tokens_details":{"cached_tokens":800},"output_tokens":100,"total_tokens":1000}}}"#,
        false,
    );
    let response = |events: usize| {
        let mut bytes = event("response.created", 40);
        for _ in 0..events {
            bytes.extend(event("response.output_text.delta", 110));
        }
        bytes.extend_from_slice(&completed);
        bytes
    };
    let before = r#"{"type":"input_audio_buffer.append","audio":""#;
    vec![
        Workload {
            name: "200 B each way",
            asks: frame(&filled(before, 150, r#""}"#), true),
            answer: event("response.output_audio.delta", 150),
        },
        Workload {
            name: "2 KB, 100 events",
            asks: create(2 << 10),
            answer: response(98),
        },
        Workload {
            name: "256 KB, 3 events",
            asks: create(256 << 10),
            answer: response(1),
        },
    ]
}

/// Answers handshakes, and then each message of a known length; on a thread of its own.
fn start_upstream() -> Result<String, String> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _ = tell.send(listener.local_addr()?.to_string());
            let workloads = Rc::new(workloads());
            loop {
                let (stream, _) = listener.accept().await?;
                let workloads = Rc::clone(&workloads);
                tokio::task::spawn_local(async move { answer(stream, &workloads).await });
            }
        })
    });
    told.recv()
        .map_err(|_| "the upstream did not start".to_owned())
}

async fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

async fn answer(mut stream: TcpStream, workloads: &[Workload]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if !head(&mut stream).await?.starts_with(b"GET /v1/") {
        return stream.write_all(HEALTHY.as_bytes()).await;
    }
    stream.write_all(ACCEPTED.as_bytes()).await?;
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        // A connection has one kind of message, which its length tells.
        let length = match buffer[1] & 0x7f {
            126 if filled >= 4 => usize::from(u16::from_be_bytes([buffer[2], buffer[3]])) + 8,
            127 if filled >= 10 => {
                let length = buffer[6..10].iter();
                length.fold(0, |sum, byte| sum << 8 | usize::from(*byte)) + 14
            }
            126 | 127 => continue,
            short => usize::from(short) + 6,
        };
        let workload = workloads.iter().find(|one| one.asks.len() == length);
        let Some(workload) = workload else {
            return Err(io::Error::other("an unknown message"));
        };
        let mut left = length.saturating_sub(filled);
        while left > 0 {
            let most = left.min(buffer.len());
            let count = stream.read(&mut buffer[..most]).await?;
            if count == 0 {
                return Ok(());
            }
            left -= count;
        }
        filled = 0;
        stream.write_all(&workload.answer).await?;
    }
}

/// One open connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn open(address: &str) -> Result<Self, String> {
        let opening = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let request = HANDSHAKE.replace("HOST", address);
            stream.write_all(request.as_bytes()).await?;
            let answer = head(&mut stream).await?;
            if !answer.starts_with(b"HTTP/1.1 101 ") {
                let answer = String::from_utf8_lossy(&answer).into_owned();
                return Err(io::Error::other(answer));
            }
            let buffer = vec![0; 64 << 10];
            Ok(Self { stream, buffer })
        };
        opening.await.map_err(|error| format!("{address}: {error}"))
    }

    async fn exchange(&mut self, workload: &Workload) -> Result<(), String> {
        let exchange = async {
            self.stream.write_all(&workload.asks).await?;
            let mut left: &[u8] = &workload.answer;
            while !left.is_empty() {
                let count = self.stream.read(&mut self.buffer).await?;
                let came = self.buffer.get(..count).filter(|came| !came.is_empty());
                let Some(rest) = came.and_then(|came| left.strip_prefix(came)) else {
                    return Err(io::Error::other("something else came back"));
                };
                left = rest;
            }
            Ok(())
        };
        exchange.await.map_err(|error| error.to_string())
    }
}

/// All connections exchange until `until`; how often they did.
async fn phase(clients: Vec<Client>, workload: &Rc<Workload>, length: Duration) -> Phase {
    let until = Instant::now() + length;
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let workload = Rc::clone(workload);
            tokio::task::spawn_local(async move {
                let mut count = 0;
                while Instant::now() < until {
                    client.exchange(&workload).await?;
                    count += 1;
                }
                Ok::<_, String>((client, count))
            })
        })
        .collect();
    let (mut clients, mut sum) = (Vec::new(), 0);
    for task in tasks {
        let (client, count) = task.await.map_err(|error| error.to_string())??;
        clients.push(client);
        sum += count;
    }
    Ok((clients, sum))
}

type Phase = Result<(Vec<Client>, u64), String>;

async fn sample(
    server: &Server,
    workload: &Rc<Workload>,
    length: Duration,
) -> Result<Sample, String> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::open(&server.address).await?);
    }
    let (clients, _) = phase(clients, workload, length / WARM_UP_PART).await?;
    let family = Family::of(server.pid());
    let (before, start) = (family.clock(), Instant::now());
    let (_, answers) = phase(clients, workload, length).await?;
    Ok(Sample {
        answers,
        cpu: family.clock().since(&before),
        wall: start.elapsed(),
        reconnects: 0,
    })
}

/// The median time of one exchange on the only connection, in microseconds.
async fn exchange_time(
    address: &str,
    workload: &Workload,
    exchanges: usize,
) -> Result<f64, String> {
    let mut client = Client::open(address).await?;
    let mut times = Vec::with_capacity(exchanges);
    for number in 0..exchanges + exchanges / 10 {
        let start = Instant::now();
        client.exchange(workload).await?;
        // The first tenth warms up.
        if number >= exchanges / 10 {
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(median(&times))
}

/// Bytes that a server's memory grows by with each connection that is open and idle.
async fn idle(server: &Server, workload: &Workload) -> Result<f64, String> {
    let family = Family::of(server.pid());
    let before = family.memory();
    let mut clients = Vec::new();
    for _ in 0..IDLE {
        let mut client = Client::open(&server.address).await?;
        client.exchange(workload).await?;
        clients.push(client);
    }
    let grown = family.memory().saturating_sub(before);
    Ok(grown as f64 / IDLE as f64)
}

async fn measure(
    options: &Options,
    upstream: &str,
    servers: &[(&str, Server)],
) -> Result<(), String> {
    let workloads: Vec<_> = workloads().into_iter().map(Rc::new).collect();
    let names = servers.iter().map(|(name, _)| *name);
    progress("memory…");
    let mut memory = Vec::new();
    for ((_, server), name) in servers.iter().zip(names) {
        let bytes = idle(server, &workloads[0]).await?;
        memory.push(format!("{name} {:.1} KB", bytes / 1e3));
    }
    let mut rows: Vec<Row> = workloads
        .iter()
        .map(|workload| Row {
            name: workload.name,
            ..Row::default()
        })
        .collect();
    let exchanges = if options.quick {
        QUICK_LATENCY_EXCHANGES
    } else {
        LATENCY_EXCHANGES
    };
    let mut times = vec![Vec::new(); servers.len() + 1];
    for round in 1..=options.rounds {
        progress(&format!("round {round} of {}…", options.rounds));
        for (row, workload) in rows.iter_mut().zip(&workloads) {
            for (name, server) in servers {
                let sample = sample(server, workload, options.measure).await?;
                match *name {
                    "nginx" => row.nginx.push(sample),
                    _ => row.ours.push(sample),
                }
            }
        }
        let addresses = servers.iter().map(|(_, server)| &*server.address);
        for (times, address) in times
            .iter_mut()
            .zip([upstream].into_iter().chain(addresses))
        {
            times.push(exchange_time(address, &workloads[0], exchanges).await?);
        }
    }
    say(&report::cpu_table(&rows).replace("request", "exchange"));
    let direct = median(&times[0]);
    let mut text = format!("One connection, 200 B each way: {direct:.0} µs directly");
    for ((name, _), times) in servers.iter().zip(&times[1..]) {
        text += &format!(", {name} adds {:.0} µs", median(times) - direct);
    }
    say(&format!("{text}."));
    say(&format!(
        "Memory of an idle connection: {}.",
        memory.join(", ")
    ));
    Ok(())
}

fn run() -> Result<(), String> {
    let Some(options) = options::parse(std::env::args().skip(1))? else {
        say(HELP);
        return Ok(());
    };
    let ours = options.ours.clone();
    let ours = ours.ok_or("say which program to measure: --ours PATH (bench/carrying does)")?;
    let scratch = Scratch::new()?;
    let pinned = servers::can_pin();
    if pinned {
        servers::pin_self();
    }
    let upstream = start_upstream()?;
    let mut measured = Vec::new();
    if options.nginx
        && let Some(nginx) = servers::start_nginx(&upstream, &scratch, pinned)?
    {
        measured.push(("nginx", nginx));
    }
    measured.push((
        "ours",
        servers::start_ours(&ours, &upstream, &scratch, pinned)?,
    ));
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    LocalSet::new().block_on(&runtime, measure(&options, &upstream, &measured))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("carrying: {error}"));
            ExitCode::FAILURE
        }
    }
}
