//! What the main thread does while the workers serve: signals, orders, changed files, the next process.

use std::time::Duration;

use api_key_lb_control::store::Store;
use api_key_lb_control::{Config, ConfigError};
use tokio::sync::oneshot::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout_at};

use crate::desk::{Order, Outcome};
use crate::export::Export;
use crate::handover::{Heir, Letter, Predecessor, Recipe, Word};
use crate::log::Log;
use crate::memory;
use crate::notify::Notifier;
use crate::printer::Printer;
use crate::reload::{Reading, Reloader};
use crate::server::Server;
use crate::signals::{Caught, HANGUP, Signals};

/// How often the files of the configuration are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a new process may take until it serves.
const HEIR_DEADLINE: Duration = Duration::from_secs(20);

/// What it can do; by default, nothing but wait for the end.
#[derive(Debug, Default)]
pub(crate) struct Duties {
    /// Reads the configuration again.
    pub(crate) reloader: Option<Reloader>,
    /// Starts the next process.
    pub(crate) recipe: Option<Recipe>,
    /// Tells systemd.
    pub(crate) notifier: Notifier,
    /// The process before, while it may still finish answers.
    pub(crate) predecessor: Option<Predecessor>,
    /// Prints, and counts for the store.
    pub(crate) log: Option<Log>,
    /// What outlives the process.
    pub(crate) store: Option<Store>,
    /// Sends OpenTelemetry.
    pub(crate) export: Option<Export>,
}

/// Why serving ends.
#[derive(Debug)]
pub(crate) enum Next {
    /// Somebody wants it to.
    Stop,
    /// Another process serves.
    Succeeded(Heir),
}

/// The configuration while it is read again, and who has ordered that.
struct Rereading {
    reading: Reading,
    orders: Vec<u64>,
    /// Who has ordered it since, if anybody: what they mean may have come too late to be read.
    again: Option<Vec<u64>>,
}

/// A process that is to take over, who ordered it, and when it is too late.
struct Candidate {
    heir: Heir,
    order: u64,
    deadline: Instant,
}

impl Duties {
    /// Does all that until serving ends.
    pub(crate) async fn carry_out(
        &mut self,
        signals: &mut Signals,
        server: &Server,
        printer: &Printer,
    ) -> Next {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut beat = self.notifier.beat().map(interval);
        let mut candidate: Option<Candidate> = None;
        let mut rereading: Option<Rereading> = None;
        loop {
            tokio::select! {
                caught = signals.next() => match caught {
                    Caught::Hangup if self.reloader.is_some() => {
                        self.reread(&mut rereading, Vec::new());
                    }
                    Caught::Hangup | Caught::End(_) => {
                        give_up(candidate.as_mut());
                        return Next::Stop;
                    }
                },
                (number, order) = server.desk().next() => match order {
                    Order::Stop => {
                        give_up(candidate.as_mut());
                        return Next::Stop;
                    }
                    Order::Reload if self.reloader.is_some() => {
                        self.reread(&mut rereading, vec![number]);
                    }
                    Order::Reload => {
                        let why = "this one has no configuration that could be read again";
                        server.desk().done(number, Outcome::failed(why));
                    }
                    Order::Restart if candidate.is_some() => {
                        let outcome = Outcome::failed("it is restarting already");
                        server.desk().done(number, outcome);
                    }
                    Order::Restart => match self.start_heir(server, printer) {
                        Ok(heir) => candidate = Some(Candidate {
                            heir,
                            order: number,
                            deadline: Instant::now() + HEIR_DEADLINE,
                        }),
                        Err(why) => refuse(server, number, &why, printer),
                    },
                },
                word = hear(candidate.as_mut()) => {
                    let Some(mut one) = candidate.take() else { continue };
                    match word {
                        Ok(()) => return Next::Succeeded(one.heir),
                        Err(why) => {
                            one.heir.end();
                            refuse(server, one.order, &why, printer);
                        }
                    }
                }
                loaded = read(rereading.as_mut()) => {
                    let Some(done) = rereading.take() else { continue };
                    let Some(reloader) = &mut self.reloader else { continue };
                    let outcome = reloader.finish(loaded, server, printer);
                    self.reloaded(&outcome, server);
                    for number in done.orders {
                        server.desk().done(number, outcome.clone());
                    }
                    if let Some(orders) = done.again {
                        self.reread(&mut rereading, orders);
                    }
                }
                _ = look.tick() => {
                    if self.reloader.as_mut().is_some_and(Reloader::has_changed) {
                        self.reread(&mut rereading, Vec::new());
                    }
                }
                () = tick(beat.as_mut()) => self.notifier.alive(),
            }
        }
    }

    /// Has the configuration read again; once more, if it is being read.
    fn reread(&mut self, rereading: &mut Option<Rereading>, orders: Vec<u64>) {
        if let Some(running) = rereading {
            running.again.get_or_insert_default().extend(orders);
        } else if let Some(reloader) = &mut self.reloader {
            self.notifier.reloading();
            *rereading = Some(Rereading {
                reading: reloader.begin(),
                orders,
                again: None,
            });
        }
    }

    /// What is to be done once it was read again.
    fn reloaded(&self, outcome: &Outcome, server: &Server) {
        if let (None, Some(store), Some(reloader)) = (&outcome.error, &self.store, &self.reloader) {
            let labels = memory::labels(&server.state().plan());
            store.follow(memory::retention(reloader.running()), labels);
        }
        self.notifier.ready(match &outcome.error {
            None => "Serving",
            Some(_) => "Serving; the configuration file has an error, see `api-key-lb status`",
        });
    }

    /// What is to be done before `stop` and the next start see that this instance has ended: in this
    /// order, since the log counts what the store writes, and a receiver may take its time.
    pub(crate) fn end(&mut self) {
        if let Some(log) = self.log.take() {
            log.finish();
        }
        if let Some(store) = self.store.take() {
            store.finish();
        }
        if let Some(export) = self.export.take() {
            export.finish();
        }
    }

    /// Another process writes down from now on what it learns, and what it is told from here. What
    /// answers that finish here have used is still counted.
    pub(crate) fn leave_store(&self) {
        if let Some(store) = &self.store {
            store.leave_to_another();
        }
    }

    fn start_heir(&self, server: &Server, printer: &Printer) -> Result<Heir, String> {
        let Some(recipe) = &self.recipe else {
            return Err("this one cannot be restarted; stop it and start it again".to_owned());
        };
        let _said = printer.say("Restarting.");
        // What the store takes from here on may come too late for the new process to read.
        server.estate().open();
        let store = self.store.as_ref().and_then(memory::complete);
        let instance = server.instance();
        let letter = Letter {
            instance: instance.instance.clone(),
            supervisor: instance.supervisor.clone(),
            stays: recipe.stays,
            activated: recipe.activated,
            store,
        };
        let heir = recipe.hand_over(server.listeners(), &letter);
        heir.map_err(|error| error.to_string())
    }
}

/// What was read, once it is.
async fn read(rereading: Option<&mut Rereading>) -> Result<Result<Config, ConfigError>, RecvError> {
    match rereading {
        Some(running) => (&mut running.reading).await,
        None => std::future::pending().await,
    }
}

fn refuse(server: &Server, order: u64, why: &str, printer: &Printer) {
    server.estate().close();
    printer.error(format!("not restarted, this process goes on: {why}"));
    server.desk().done(order, Outcome::failed(why));
}

fn give_up(candidate: Option<&mut Candidate>) {
    if let Some(candidate) = candidate {
        candidate.heir.end();
    }
}

/// Whether the candidate serves, once it is known.
async fn hear(candidate: Option<&mut Candidate>) -> Result<(), String> {
    let Some(candidate) = candidate else {
        return std::future::pending().await;
    };
    match timeout_at(candidate.deadline, candidate.heir.hear()).await {
        Ok(Some(Word::Ready)) => Ok(()),
        Ok(Some(Word::Failed(why))) => Err(why),
        Ok(Some(Word::Stopping | Word::Uninformed)) => {
            Err("the new process was stopped".to_owned())
        }
        Ok(None) => Err(match candidate.heir.ended() {
            Ok(status) => format!("the new process ended ({status}) before it served"),
            Err(error) => format!("the new process ended before it served: {error}"),
        }),
        Err(_) => Err(format!(
            "the new process did not serve within {} s and was ended",
            HEIR_DEADLINE.as_secs()
        )),
    }
}

/// The next time of `interval`, if there is one.
pub(crate) async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// As the heir is told what this process was.
pub(crate) const fn number(caught: Caught) -> u8 {
    match caught {
        Caught::End(number) => number,
        Caught::Hangup => HANGUP,
    }
}
