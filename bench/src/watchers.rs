//! Who looks on while a proxy serves: dashboards, scrapers and a receiver of OpenTelemetry, each on a thread
//! of its own. Two of them never read what they asked for.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the metrics are read: more often than Prometheus does by default.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// How long an answer to a scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_secs(5);
/// How often the scraper that never reads asks, all at once: more than the buffers of the kernel hold
/// answers, so that the proxy cannot get rid of them.
const STUCK_REQUESTS: usize = 2_000;
/// The last line of OpenMetrics.
const METRICS_END: &str = "# EOF\n";
/// What begins an event of a dashboard.
const EVENT: &str = "event:";

/// A receiver of OpenTelemetry, which takes everything.
#[derive(Debug)]
pub struct Receiver {
    pub address: String,
    parcels: Arc<AtomicU64>,
}

impl Receiver {
    pub fn start() -> Result<Self, String> {
        let start = || -> io::Result<Self> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?.to_string();
            let parcels = Arc::new(AtomicU64::new(0));
            let count = parcels.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let count = count.clone();
                    std::thread::spawn(move || receive(stream, &count));
                }
            });
            Ok(Self { address, parcels })
        };
        start().map_err(|error| format!("no receiver of OpenTelemetry: {error}"))
    }

    /// How many requests it has taken.
    pub fn parcels(&self) -> u64 {
        self.parcels.load(Ordering::Relaxed)
    }
}

fn receive(stream: TcpStream, parcels: &AtomicU64) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        parcels.fetch_add(1, Ordering::Relaxed);
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        writer.write_all(answer.as_bytes())?;
    }
}

/// What the threads tell.
#[derive(Debug, Default)]
struct Told {
    is_over: AtomicBool,
    scrapes: AtomicU64,
    events: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Told {
    fn failed(&self, what: String) {
        if !self.is_over.load(Ordering::Acquire) {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(what);
        }
    }
}

/// Two open dashboards and two scrapers; of each kind, one never reads. They leave when this is dropped.
#[derive(Debug)]
pub struct Watchers {
    told: Arc<Told>,
    reading: TcpStream,
    _stuck: [TcpStream; 2],
}

fn ask(address: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/openmetrics-text\r\n\r\n"
    )
}

fn send(address: &str, request: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    let sent = stream.write_all(request.as_bytes());
    sent.map_err(|error| error.to_string())?;
    Ok(stream)
}

impl Watchers {
    /// They come to the proxy at `address`, and stay.
    pub fn start(address: &str) -> Result<Self, String> {
        let told = Arc::new(Told::default());
        let events = ask(address, "/_lb/events");
        let reading = send(address, &events)?;
        let mine = told.clone();
        let stream = reading.try_clone().map_err(|error| error.to_string())?;
        std::thread::spawn(move || {
            if let Err(error) = look(stream, &mine) {
                mine.failed(format!("the dashboard: {error}"));
            }
        });
        let (mine, place) = (told.clone(), address.to_owned());
        std::thread::spawn(move || {
            while !mine.is_over.load(Ordering::Acquire) {
                match scrape(&place) {
                    Ok(_) => mine.scrapes.fetch_add(1, Ordering::Relaxed),
                    Err(error) => return mine.failed(error),
                };
                std::thread::sleep(SCRAPE_EVERY);
            }
        });
        let scrapes = ask(address, "/_lb/metrics").repeat(STUCK_REQUESTS);
        Ok(Self {
            told,
            reading,
            _stuck: [send(address, &events)?, send(address, &scrapes)?],
        })
    }

    /// How often the metrics were read and how many events the dashboard got; fails if one of both failed.
    pub fn told(&self) -> Result<(u64, u64), String> {
        let failure = self.told.failure.lock();
        match &*failure.unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure.clone()),
            None => Ok((
                self.told.scrapes.load(Ordering::Relaxed),
                self.told.events.load(Ordering::Relaxed),
            )),
        }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.told.is_over.store(true, Ordering::Release);
        // The thread that reads holds the same socket.
        let _ = self.reading.shutdown(std::net::Shutdown::Both);
    }
}

/// Reads the events of a dashboard for as long as they come.
fn look(stream: TcpStream, told: &Told) -> Result<(), String> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut first = true;
    loop {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(0) => return Err("the stream of events has ended".to_owned()),
            Ok(_) if first && !line.starts_with("HTTP/1.1 200 ") => return Err(line),
            Ok(_) if line.starts_with(EVENT) => {
                told.events.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        first = false;
    }
}

/// The metrics of the proxy at `address`.
pub fn scrape(address: &str) -> Result<String, String> {
    let request = ask(address, "/_lb/metrics").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut stream = send(address, &request)?;
    let mut text = String::new();
    let read = stream
        .set_read_timeout(Some(SCRAPE_LIMIT))
        .and_then(|()| stream.read_to_string(&mut text));
    match read {
        Ok(_) if text.starts_with("HTTP/1.1 200 ") && text.ends_with(METRICS_END) => Ok(text),
        Ok(_) => Err(format!("the metrics are not whole:\n{text}")),
        Err(error) => Err(format!("the metrics: {error}")),
    }
}

/// The sum of a metric over all its labels that contain `label`.
pub fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_it = labels.is_empty() || labels.starts_with('{');
        (is_it && labels.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    // The sum of nothing would be -0.
    values.fold(0.0, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_over_no_other_metric() {
        let text =
            "# TYPE a_total counter\na_total{k=\"1\"} 3\na_total{k=\"2\"} 4.5\na_total_b 9\nc 2\n";
        assert_eq!(sum(text, "a_total", ""), 7.5);
        assert_eq!(sum(text, "a_total", "k=\"2\""), 4.5);
        assert_eq!(sum(text, "c", ""), 2.0);
        assert_eq!(sum(text, "d", ""), 0.0);
    }

    #[test]
    fn the_receiver_takes_one_parcel_after_the_other() {
        let receiver = Receiver::start().unwrap();
        let parcel = "POST /v1/traces HTTP/1.1\r\ncontent-length: 3\r\n\r\n{ }";
        let mut stream = send(&receiver.address, &parcel.repeat(2)).unwrap();
        let mut text = String::new();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text.matches("200 OK").count(), 2);
        assert_eq!(receiver.parcels(), 2);
    }

    #[test]
    fn what_ends_while_it_is_watched_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let watchers = Watchers::start(&address).unwrap();
        drop(listener);
        let end = std::time::Instant::now() + SCRAPE_LIMIT;
        while watchers.told().is_ok() {
            assert!(std::time::Instant::now() < end, "nobody has noticed");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
