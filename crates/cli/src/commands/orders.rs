//! What the commands that make a running proxy do something have in common: finding the right one, and
//! waiting for what came of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api_key_lb_control::config::Contact;
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::Secret;

use crate::admin::ORDERS_PATH;
use crate::args::PlaceArgs;
use crate::desk::Standing;
use crate::instance::{self, Resident};
use crate::local_client::ClientError;
use crate::printer::Printer;

use super::status::{STOP_PREDECESSOR, absence};
use super::stop;

/// How long the answer to an order may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often one looks whether it is carried out.
const POLL: Duration = Duration::from_millis(20);

/// A running proxy that takes orders from us.
pub(super) struct Found {
    /// What it has noted.
    pub(super) noted: Instance,
    /// Where.
    pub(super) dir: PathBuf,
    /// Where it listens.
    pub(super) address: SocketAddr,
    client_token: Option<Secret>,
}

impl Found {
    /// The one that is meant; an error in words if it cannot be ordered about.
    pub(super) fn by(place: &PlaceArgs, printer: &Printer) -> Result<Self, String> {
        let env = Environment::of_process();
        let contact = Config::contact_lenient(&place.flags(), &env);
        let (address, contact) = Self::place(place, contact, &env, printer);
        let token = contact.client_tokens.first();
        let (resident, noted, dir) = instance::meet(address, token, &env, printer);
        let port = contact.port;
        let told = match resident {
            Resident::Ours(told) => told,
            Resident::Predecessor(_) => {
                return Err(format!("port {port} is not ours: {STOP_PREDECESSOR}"));
            }
            other => return Err(absence(&other, port)),
        };
        match (noted, dir) {
            (Some(noted), Some(dir)) if told.health.instance.as_ref() == Some(&noted.instance) => {
                Ok(Self {
                    noted,
                    dir,
                    address,
                    client_token: contact.client_tokens.into_iter().next(),
                })
            }
            _ => Err(stop::unknown(&told.health, port)),
        }
    }

    /// Where the configuration says; if that cannot be told, because it is broken, where the only one is that
    /// there is.
    fn place(
        place: &PlaceArgs,
        mut contact: Contact,
        env: &Environment,
        printer: &Printer,
    ) -> (SocketAddr, Contact) {
        let ask = |contact: &Contact| {
            let address = instance::address(&contact.hosts, contact.port);
            let resident = instance::ask_own(address, contact.client_tokens.first(), env);
            (address, resident)
        };
        let (mut address, mut resident) = ask(&contact);
        let is_broken = || place.port.is_none() && !Config::says_where(&place.flags(), env);
        if matches!(resident, Resident::Nobody | Resident::Stranger)
            && is_broken()
            && let Some(dir) = api_key_lb_control::runtime_file::state_dir(env)
            && let [only] = Instance::all(&dir).as_slice()
        {
            contact.port = only.port;
            (address, resident) = ask(&contact);
            if matches!(resident, Resident::Ours(_)) {
                printer.note(format!(
                    "the configuration does not say the port; using {}, where the only proxy is",
                    only.port
                ));
            }
        }
        (address, contact)
    }

    /// Gives an order; its number.
    pub(super) fn order(&self, path: &str) -> anyhow::Result<u64> {
        let token = self.client_token.as_ref();
        let answer = instance::command(self.address, token, &self.noted, path, b"", PATIENCE)
            .context("cannot reach the proxy")?;
        let json = answer.json().unwrap_or_default();
        json["order"].as_u64().with_context(|| {
            format!(
                "the proxy refused (status {}): {}",
                answer.status,
                json["error"]["message"]
                    .as_str()
                    .unwrap_or("no reason given")
            )
        })
    }

    /// How it stands with an order.
    pub(super) fn standing(&self, order: u64) -> Result<Standing, ClientError> {
        let path = format!("{ORDERS_PATH}{order}");
        let token = self.client_token.as_ref();
        let answer = instance::question(self.address, token, &self.noted, &path, PATIENCE)?;
        let mut json = answer.json().unwrap_or_default();
        Ok(match (answer.status, json["done"].as_bool()) {
            (200, Some(true)) => serde_json::from_value(json["outcome"].take())
                .map_or(Standing::Unknown, Standing::Done),
            (200, _) => Standing::Open,
            _ => Standing::Unknown,
        })
    }

    /// Looks again and again until `look` finds something, for so long.
    pub(super) fn wait<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }
}
