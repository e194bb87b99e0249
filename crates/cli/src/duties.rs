//! What the main thread does while the workers serve: signals, orders, changed files, the next process.

use std::time::Duration;

use api_key_lb_control::store::Store;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout_at};

use crate::desk::{Order, Outcome};
use crate::export::Export;
use crate::handover::{Heir, Letter, Predecessor, Recipe, Word};
use crate::log::Log;
use crate::memory;
use crate::notify::Notifier;
use crate::printer::Printer;
use crate::reload::Reloader;
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
        loop {
            tokio::select! {
                caught = signals.next() => match caught {
                    Caught::Hangup if self.reloader.is_some() => {
                        self.reload(server, printer);
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
                    Order::Reload => {
                        let outcome = self.reload(server, printer);
                        server.desk().done(number, outcome);
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
                _ = look.tick() => {
                    if self.reloader.as_mut().is_some_and(Reloader::has_changed) {
                        self.reload(server, printer);
                    }
                }
                () = tick(beat.as_mut()) => self.notifier.alive(),
            }
        }
    }

    fn reload(&mut self, server: &Server, printer: &Printer) -> Outcome {
        let Some(reloader) = &mut self.reloader else {
            return Outcome::failed("this one has no configuration that could be read again");
        };
        self.notifier.reloading();
        let outcome = reloader.reload(server, printer);
        if let (None, Some(store)) = (&outcome.error, &self.store) {
            let labels = memory::labels(&server.state().plan());
            store.follow(memory::retention(reloader.running()), labels);
        }
        self.notifier.ready(match &outcome.error {
            None => "Serving",
            Some(_) => "Serving; the configuration file has an error, see `api-key-lb status`",
        });
        outcome
    }

    /// What is to be done before `stop` and the next start see that this instance has ended: in this
    /// order, since the log counts what the store writes.
    pub(crate) fn end(&mut self) {
        if let Some(log) = self.log.take() {
            log.finish();
        }
        if let Some(export) = self.export.take() {
            export.finish();
        }
        if let Some(store) = self.store.take() {
            store.finish();
        }
    }

    /// Another process writes down from now on what it learns; what is learned here is old. What
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
        if let Some(store) = &self.store {
            store.flush();
        }
        let instance = server.instance();
        let letter = Letter {
            instance: instance.instance.clone(),
            supervisor: instance.supervisor.clone(),
            stays: recipe.stays,
            activated: recipe.activated,
        };
        let heir = recipe.hand_over(server.listeners(), &letter);
        heir.map_err(|error| error.to_string())
    }
}

fn refuse(server: &Server, order: u64, why: &str, printer: &Printer) {
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
        Ok(Some(Word::Stopping)) => Err("the new process was stopped".to_owned()),
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
