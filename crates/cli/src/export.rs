//! The thread that sends traces and metrics to an OpenTelemetry receiver. Nobody waits for it: what it
//! cannot send in time is dropped and counted.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api_key_lb_control::config::Otlp;
use api_key_lb_control::otlp::{self, About, METRICS, Outbox, Parcel, TRACES};
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_engine::post::{Address, Poster};
use api_key_lb_engine::probe::{Answer, Prober};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::management::Sources;
use crate::printer::Printer;
use crate::priority;

/// How long a receiver may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take for all that is left once everything ends.
const TIMEOUT_AT_END: Duration = Duration::from_secs(2);
/// How often one looks meanwhile whether everything ends.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often something is sent at most.
const TRIES: u32 = 5;
/// The first pause between two tries, doubled from then on …
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// … and the longest, whatever the receiver says.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The running thread.
#[derive(Debug)]
pub(crate) struct Export {
    outbox: Arc<Outbox>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Who sends.
struct Sender {
    settings: Otlp,
    outbox: Arc<Outbox>,
    sources: Sources,
    end: Arc<AtomicBool>,
    printer: Printer,
    /// Whether it was said that nothing arrives, since something last did.
    has_complained: bool,
    /// When it is too late, once everything ends.
    last: Option<Instant>,
}

impl Export {
    /// Starts sending what ends up in the outbox of `sources`, which is made here. Failing is no
    /// reason not to serve.
    pub(crate) fn start(
        settings: Otlp,
        sources: &mut Sources,
        instance: &Instance,
        extra_ca: Option<&Path>,
        printer: &Printer,
    ) -> Option<Self> {
        let outbox = Arc::new(Outbox::new(About {
            service: settings.service.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: instance.instance.clone(),
            started: instance.started,
            traces: settings.traces,
        }));
        sources.outbox = Some(outbox.clone());
        let started = Self::spawn(settings, outbox, sources, extra_ca, *printer);
        let started = started.inspect_err(|error| {
            printer.warn(format!("cannot export OpenTelemetry: {error:#}"));
        });
        if started.is_err() {
            sources.outbox = None;
        }
        started.ok()
    }

    fn spawn(
        settings: Otlp,
        outbox: Arc<Outbox>,
        sources: &Sources,
        extra_ca: Option<&Path>,
        printer: Printer,
    ) -> anyhow::Result<Self> {
        let prober = Prober::new(&sources.state.plan(), extra_ca)?;
        let end = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut sender = Sender {
            settings,
            outbox: outbox.clone(),
            sources: sources.clone(),
            end: end.clone(),
            printer,
            has_complained: false,
            last: None,
        };
        let thread = std::thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || {
                priority::give_way();
                run_on(runtime, |runtime| sender.run(runtime, &Poster::new(prober)));
            })?;
        Ok(Self {
            outbox,
            end,
            thread,
        })
    }

    /// Sends what is left, if that is quick, and ends.
    pub(crate) fn finish(self) {
        self.end.store(true, Ordering::Release);
        self.outbox.wake();
        // Fails only if the thread panicked, which has printed its own message.
        let _ = self.thread.join();
    }
}

/// Does `work` on `runtime`. What blocks there then is left behind: looking up a name takes as long as
/// the system's resolver likes.
fn run_on(runtime: Runtime, work: impl FnOnce(&Runtime)) {
    work(&runtime);
    runtime.shutdown_background();
}

impl Sender {
    fn run(&mut self, runtime: &Runtime, poster: &Poster) {
        let mut next = Instant::now() + self.settings.interval;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let ending = self.ends();
            if !ending {
                self.outbox.wait(left);
            }
            let due = ending || self.ends() || Instant::now() >= next;
            while let Some(parcel) = self.outbox.traces() {
                if !self.send(runtime, poster, TRACES, parcel) && self.ends() {
                    break;
                }
            }
            if due && self.settings.metrics {
                let (gauges, now) = self.sources.gauges();
                let families = self.sources.metrics().families(&gauges);
                if let Some(parcel) = self.outbox.metrics(&families, now) {
                    self.send(runtime, poster, METRICS, parcel);
                }
            }
            if due {
                next = Instant::now() + self.settings.interval;
            }
            if ending {
                return;
            }
        }
    }

    /// Sends a parcel, again if the receiver wants that; whether it arrived.
    fn send(
        &mut self,
        runtime: &Runtime,
        poster: &Poster,
        signal: &'static str,
        parcel: Parcel,
    ) -> bool {
        let address = Address {
            target: self.settings.endpoint.clone(),
            via: self.settings.via.clone(),
            path: format!("{}/v1/{signal}", self.settings.endpoint.base()),
            headers: self.settings.headers.clone(),
        };
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES).rev() {
            let posting = poster.post(&address, parcel.body.clone(), TIMEOUT);
            let Some(sent) = runtime.block_on(self.unless_ended(posting)) else {
                break;
            };
            let (why, again) = match sent {
                Ok(answer) if answer.status.is_success() => {
                    let refused = otlp::refused(&answer.body).min(parcel.items);
                    self.count(signal, "sent", parcel.items - refused);
                    self.count(signal, "refused", refused);
                    self.has_complained = false;
                    return true;
                }
                Ok(answer) => {
                    if let Some(told) = retry_after(&answer) {
                        pause = told;
                    }
                    let again = is_passing(answer.status);
                    (format!("it answers with status {}", answer.status), again)
                }
                Err(error) => (error.to_string(), true),
            };
            self.complain(&why);
            if !again {
                self.count(signal, "refused", parcel.items);
                return false;
            }
            if left == 0 || !self.pause(pause) {
                break;
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        self.count(signal, "dropped", parcel.items);
        false
    }

    /// What comes of `posting`; nothing once everything has ended for too long.
    async fn unless_ended<T>(&mut self, posting: impl Future<Output = T>) -> Option<T> {
        let mut posting = pin!(posting);
        loop {
            if let Ok(sent) = timeout(LOOK_EVERY, posting.as_mut()).await {
                return Some(sent);
            }
            if self.ends() {
                let now = Instant::now();
                let last = *self.last.get_or_insert(now + TIMEOUT_AT_END);
                if now >= last {
                    return None;
                }
            }
        }
    }

    fn count(&self, signal: &str, result: &str, items: u64) {
        if items > 0 {
            self.sources.metrics().exported(signal, result, items);
        }
    }

    /// Waits, unless everything ends meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause.min(LONGEST_PAUSE);
        while !self.ends() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
        false
    }

    fn ends(&self) -> bool {
        self.end.load(Ordering::Acquire)
    }

    /// Once, until something has arrived again.
    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.has_complained, true) {
            self.printer.warn(format!(
                "OpenTelemetry does not arrive at {}: {why}; requests are served all the same",
                self.settings.endpoint
            ));
        }
    }
}

/// As the standard has it: what may be sent again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let value = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    let told = value.trim().parse().ok().map(Duration::from_secs)?;
    Some(told.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_name_that_is_still_being_looked_up_does_not_hold_up_the_end() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (finish, looking_up) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            run_on(runtime, |runtime| {
                let (began, begins) = mpsc::channel();
                runtime.spawn_blocking(move || {
                    began.send(()).unwrap();
                    let _ = looking_up.recv();
                });
                begins.recv().unwrap();
            });
            ended.send(()).unwrap();
        });
        end.recv_timeout(Duration::from_secs(5)).unwrap();
        drop(finish);
        thread.join().unwrap();
    }

    #[test]
    fn no_pause_is_longer_than_the_longest_whatever_the_receiver_says() {
        let pause = |told: &'static str| {
            let mut answer = Answer {
                status: StatusCode::TOO_MANY_REQUESTS,
                headers: http::HeaderMap::new(),
                body: Vec::new(),
            };
            let told = http::HeaderValue::from_static(told);
            answer.headers.insert(RETRY_AFTER, told);
            retry_after(&answer)
        };
        assert_eq!(pause("18446744073709551615"), Some(LONGEST_PAUSE));
        assert_eq!(pause(" 2"), Some(Duration::from_secs(2)));
        assert_eq!(pause("18446744073709551616"), None);
    }
}
