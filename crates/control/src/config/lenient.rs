//! Parts of a configuration for those who look at a proxy or its store: whatever else is wrong is no matter.

use std::path::Path;
use std::sync::Arc;

use super::credential::{Source, Told};
use super::finding::{Findings, Place};
use super::settings::{client_tokens, limits, listen, timing, usage_days};
use super::sheet::{self, Sheet, number};
use super::{
    Config, ConfigError, Contact, DEFAULT_PORT, Environment, Flags, document, find_file, network,
    prices, read_file,
};
use crate::prices::Prices;
use crate::store::Retention;

impl Config {
    /// The port that would be listened on, as far as it can be told. Works without keys and with
    /// a broken file: whoever wants to stop or look at a process must not be refused for that.
    pub fn listen_port_lenient(flags: &Flags, env: &Environment) -> u16 {
        Self::contact_lenient(flags, env).port
    }

    /// How to reach the running instance, as far as it can be told; see [`Self::listen_port_lenient`].
    pub fn contact_lenient(flags: &Flags, env: &Environment) -> Contact {
        let mut ignored = Findings::default();
        let file = find_file(flags, env).ok().flatten();
        let mut sheet = file
            .and_then(|file| read_file(&file.path, &mut ignored))
            .unwrap_or_default();
        let usable = |text: &str| {
            number(text)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port != 0)
        };
        let in_file = sheet
            .scalars
            .get("port")
            .and_then(|port| usable(&port.value));
        // Whose file it is decides what it may have read, and where that is sent.
        let is_trusted = sheet.refusal.is_none();
        if !is_trusted {
            sheet.lists.remove("host");
        }
        sheet.overlay(flags, env);
        let port = sheet
            .scalars
            .get("port")
            .and_then(|port| usable(&port.value));
        let (hosts, _) = network::hosts(&sheet.list("host"), &mut ignored);
        let mut tokens = sheet.list("client_tokens");
        tokens.retain(|token| {
            is_trusted
                || !matches!(token.place, Place::File { .. })
                || matches!(Source::of(token.value.trim()), Source::Literal(_))
        });
        // Nothing is run to look at a proxy: it lets its user in without.
        let told = Told::default();
        Contact {
            drain_timeout: timing(&sheet, &mut ignored).drain_timeout,
            port: port.or(in_file).unwrap_or(DEFAULT_PORT),
            hosts,
            client_tokens: client_tokens(&tokens, (env, &told), &mut ignored),
        }
    }

    /// Whether file, flags and variables say where the instance is. Nothing is run for it.
    pub fn says_where(flags: &Flags, env: &Environment) -> bool {
        let mut findings = Findings::default();
        if let Some((_, mut sheet)) = Self::read(flags, env, &mut findings) {
            let _ = listen(&mut sheet, &mut findings);
        }
        findings.problems.is_empty()
    }

    /// For how long a store keeps things. Works without keys, as whoever looks at a store needs
    /// none, but not if what it is about is wrong: something may be removed by it.
    ///
    /// # Errors
    /// [`ConfigError`] with what is wrong with the file or with these settings.
    pub fn retention(flags: &Flags, env: &Environment) -> Result<Retention, ConfigError> {
        let mut findings = Findings::default();
        let mut sheet = match find_file(flags, env) {
            Ok(None) => Some(Sheet::default()),
            Ok(Some(file)) => read_file(&file.path, &mut findings),
            Err(problem) => {
                findings.problems.push(problem);
                None
            }
        }
        .unwrap_or_default();
        sheet.overlay(flags, env);
        // What else is wrong is no matter here.
        sheet
            .scalars
            .retain(|name, _| ["session_ttl_ms", "max_sessions", "usage_days"].contains(name));
        let retention = Retention {
            session_ttl: timing(&sheet, &mut findings).session_ttl,
            sessions: limits(&sheet, &mut findings).sessions,
            usage_days: usage_days(&sheet, &mut findings),
        };
        if findings.problems.is_empty() {
            Ok(retention)
        } else {
            Err(findings.into_error())
        }
    }

    /// What tokens cost. Works without keys, too.
    ///
    /// # Errors
    /// [`ConfigError`] with what is wrong with the file, or with its prices.
    pub fn prices_lenient(flags: &Flags, env: &Environment) -> Result<Prices, ConfigError> {
        let mut findings = Findings::default();
        let found = find_file(flags, env).map(|file| file.map(|file| file.path));
        // Whoever looks at usage need not be told that there is none, or who else may read it.
        let Some((path, Ok(text))) = found.ok().flatten().map(|path| {
            let text = std::fs::read(&path);
            (path, text)
        }) else {
            return Ok(Prices::default());
        };
        let text = String::from_utf8_lossy(&text);
        let path: Arc<Path> = Arc::from(path);
        match document::parse(&path, &text) {
            Ok(Some(root)) => {
                let own = sheet::only(root, "prices", &mut findings).prices;
                if findings.problems.is_empty() {
                    return Ok(prices::prices(&own));
                }
            }
            Ok(None) => return Ok(Prices::default()),
            Err(problem) => findings.problems.push(problem),
        }
        Err(findings.into_error())
    }
}
