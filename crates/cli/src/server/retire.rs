//! The end of a process that another one has taken over from: it lets everything that runs here finish,
//! and tells the other one what it learns.

use std::io;
use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_engine::End;
use tokio::time::{interval, timeout};

use super::{Ending, Host, Server, drain, withdraw};
use crate::desk::{Order, Outcome};
use crate::duties::{Duties, number, tick};
use crate::estate::Estate;
use crate::handover::{Courier, Heir, Predecessor, Word};
use crate::printer::Printer;
use crate::signals::{Caught, TERMINATE};

/// How long connections that clients keep may bring one more request after another process has taken
/// over: longer than any known client keeps an idle one (90 s).
const IDLE_AFTER_HANDOVER: Duration = Duration::from_secs(95);
/// How long answers may run on after another process has taken over: nobody waits for them, and a
/// WebSocket may last an hour.
const GRACE_AFTER_HANDOVER: Duration = Duration::from_secs(3600);
/// How long telling the other process what there is may take: it listens while it waits.
const TELL_DEADLINE: Duration = Duration::from_secs(3);

impl Host {
    /// Another process serves: lets everything that runs here finish, however long it takes, unless
    /// that process is to end as well.
    pub(super) fn retire(
        mut self,
        server: Server,
        mut duties: Duties,
        mut heir: Heir,
        printer: &Printer,
    ) -> anyhow::Result<Ending> {
        let grace = server.state.plan().timing.drain_timeout;
        let stays = duties.recipe.as_ref().is_some_and(|recipe| recipe.stays);
        if !stays {
            duties.notifier.succeeded_by(heir.pid());
        }
        duties.leave_store();
        let _said = printer.say(format!(
            "Process {} has taken over; {} running answers finish here.",
            heir.pid(),
            server.in_flight()
        ));
        let (estate, mut courier) = (server.estate.clone(), heir.courier.take());
        estate.bequeath(heir.is_uninformed);
        // Most of it while this process still accepts, so that nobody does only for a moment.
        self.runtime.block_on(tell(&mut courier, &estate));
        withdraw(&server.instance, server.announced_in.as_deref(), printer);
        let desk = server.desk.clone();
        let end = End::handed_over(IDLE_AFTER_HANDOVER, GRACE_AFTER_HANDOVER.max(grace));
        let (mut stopper, mut finished) = drain(server, end)?;
        let ending = self.runtime.block_on(async {
            stopper.closed().await;
            tell(&mut courier, &estate).await;
            if let Some(courier) = &mut courier {
                let _ = timeout(TELL_DEADLINE, courier.go()).await;
            }
            let (mut hurried, mut follows, mut done) = (false, true, false);
            // What the process before this one learns goes to the next one by way of this one.
            let mut relays = duties.predecessor.is_some();
            // Whoever watches this process still wants to hear from it.
            let mut beat = duties.notifier.beat().filter(|_| stays).map(interval);
            while !done || (follows && (stays || relays)) {
                let mut hurry = false;
                tokio::select! {
                    caught = self.signals.next() => {
                        if stays {
                            heir.signal(number(caught));
                        }
                        if let Caught::End(number) = caught {
                            if hurried {
                                return Ok(Ending::Interrupted(number));
                            }
                            hurry = true;
                        }
                    }
                    word = heir.hear(), if follows => {
                        follows = word.is_some();
                        hurry = matches!(word, None | Some(Word::Stopping));
                    }
                    () = tick(beat.as_mut()) => duties.notifier.alive(),
                    // Given just before it was over, or over a connection that was kept.
                    (number, order) = desk.next() => {
                        hurry = order == Order::Stop;
                        if hurry {
                            // This process was only the first of the two that were meant.
                            heir.signal(TERMINATE);
                        }
                        desk.done(number, Outcome::failed("another process has taken over"));
                    }
                    _ = &mut finished, if !done => {
                        done = true;
                        tell(&mut courier, &estate).await;
                        duties.end();
                    }
                    _ = tell_on(courier.as_mut(), &estate) => courier = None,
                    () = silent(duties.predecessor.as_mut()), if relays => {
                        relays = false;
                        tell(&mut courier, &estate).await;
                    }
                }
                if done && !relays {
                    // There is nothing more to come, which the next process waits for if it retires.
                    courier = None;
                }
                if hurry && !hurried {
                    hurried = true;
                    stopper.stop(End::within(grace));
                    if let Some(predecessor) = &mut duties.predecessor {
                        predecessor.tell(&Word::Stopping);
                    }
                }
            }
            if stays {
                let status = heir
                    .ended()
                    .context("cannot wait for the process that took over")?;
                return Ok(Ending::Followed(status));
            }
            Ok(Ending::Stopped)
        });
        duties.end();
        ending
    }
}

/// Tells the next process all there is now; one that does not listen is left alone.
async fn tell(courier: &mut Option<Courier>, estate: &Estate) {
    if let Some(one) = courier
        && let Ok(Err(_)) = timeout(TELL_DEADLINE, one.bring(|| estate.next())).await
    {
        *courier = None;
    }
}

/// Tells the next process whatever is learned, until it does not listen any more.
async fn tell_on(courier: Option<&mut Courier>, estate: &Estate) -> io::Error {
    let Some(courier) = courier else {
        return std::future::pending().await;
    };
    loop {
        estate.news().await;
        if let Err(error) = courier.bring(|| estate.next()).await {
            return error;
        }
    }
}

/// Waits until there is nothing more to be learned from the process before this one.
async fn silent(predecessor: Option<&mut Predecessor>) {
    if let Some(predecessor) = predecessor {
        predecessor.silent().await;
    }
}
