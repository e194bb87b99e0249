//! Where OpenTelemetry is exported to, if anywhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::Secret;
use api_key_lb_core::plan::Via;
use api_key_lb_core::target::{Target, TargetError, mask_credentials};
use http::HeaderName;

use super::credential::{self, Told};
use super::document::{Node, Value};
use super::environment::Environment;
use super::field::{Field, OTLP_FIELDS};
use super::finding::{Findings, Place, Sourced};
use super::network::{Proxies, is_private};
use super::sheet::{Scalars, fields, scalar, texts, whole, wrong_kind};

/// What the service is called unless it is said.
const DEFAULT_SERVICE: &str = "api-key-lb";
/// How often is exported unless it is said.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// The most headers.
const MOST_HEADERS: usize = 16;
/// Headers that are ours.
const OWN_HEADERS: &[&str] = &[
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
];

/// What is exported, where to, and how.
#[derive(Clone)]
pub struct Otlp {
    /// Where to; `/v1/traces` and `/v1/metrics` follow its path.
    pub endpoint: Arc<Target>,
    /// The outgoing HTTP proxy on the way to it.
    pub via: Option<Arc<Via>>,
    /// What each request carries besides; all of it may be secret.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How often.
    pub interval: Duration,
    /// Whether each request becomes a span.
    pub traces: bool,
    /// Whether the metrics are sent.
    pub metrics: bool,
    /// `service.name`.
    pub service: String,
}

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Otlp")
            .field("endpoint", &self.endpoint.to_string())
            .field("headers", &headers)
            .field("interval", &self.interval)
            .field("traces", &self.traces)
            .field("metrics", &self.metrics)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Otlp {
    fn eq(&self, other: &Self) -> bool {
        let headers = |otlp: &Self| -> Vec<(HeaderName, String)> {
            let headers = otlp.headers.iter();
            headers
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect()
        };
        self.endpoint == other.endpoint
            && headers(self) == headers(other)
            && self.interval == other.interval
            && (self.traces, self.metrics) == (other.traces, other.metrics)
            && self.service == other.service
    }
}

/// What the file says in `otlp`, not yet checked.
#[derive(Default)]
pub(crate) struct OtlpEntry {
    scalars: Scalars,
    export: Option<Vec<Sourced<String>>>,
    headers: Vec<(String, Sourced<String>)>,
}

impl OtlpEntry {
    /// What people are shown of it, and where it stands: of headers only their names.
    pub(super) fn shown(&self) -> Option<(serde_json::Value, Place)> {
        let endpoint = self.scalars.get("endpoint")?;
        let mut shown = serde_json::Map::new();
        for (name, given) in &self.scalars {
            shown.insert((*name).to_owned(), mask_credentials(&given.value).into());
        }
        if let Some(export) = &self.export {
            let export: Vec<&str> = export.iter().map(|given| given.value.as_str()).collect();
            shown.insert("export".to_owned(), export.into());
        }
        if !self.headers.is_empty() {
            let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
            shown.insert("headers".to_owned(), names.into());
        }
        Some((shown.into(), endpoint.place.clone()))
    }
}

/// Reads it: an object, or the endpoint alone.
pub(super) fn entry(field: &Field, node: Node, findings: &mut Findings) -> Option<OtlpEntry> {
    let mut entry = OtlpEntry::default();
    let members = match node.value {
        Value::Text(value) => {
            let place = node.place;
            entry.scalars.insert("endpoint", Sourced { value, place });
            return Some(entry);
        }
        Value::Object(members) => members,
        _ => {
            wrong_kind(
                field,
                "an object, or a text with its endpoint",
                &node,
                findings,
            );
            return None;
        }
    };
    let place = node.place;
    for (field, node) in fields(OTLP_FIELDS, " for `otlp`", members, findings) {
        match field.name {
            "headers" => entry.headers = headers(field, node, findings),
            "export" => entry.export = Some(texts(field, node, findings)),
            name => {
                if let Some(value) = scalar(field, node, findings) {
                    entry.scalars.insert(name, value);
                }
            }
        }
    }
    if !entry.scalars.contains_key("endpoint") {
        findings.problem(
            &place,
            "`otlp` needs an `endpoint`; write it as {\"endpoint\": \"http://127.0.0.1:4318\"}",
        );
        return None;
    }
    Some(entry)
}

fn headers(field: &Field, node: Node, findings: &mut Findings) -> Vec<(String, Sourced<String>)> {
    let Value::Object(members) = node.value else {
        wrong_kind(field, "an object that names headers", &node, findings);
        return Vec::new();
    };
    let mut headers = Vec::new();
    for member in members.into_iter().take(MOST_HEADERS) {
        let Value::Text(value) = member.node.value else {
            wrong_kind(field, "an object of texts", &member.node, findings);
            continue;
        };
        let place = member.node.place;
        headers.push((member.name, Sourced { value, place }));
    }
    headers
}

/// Checked; `None` if nothing is to be exported, or after a problem. `given` is the variable; `refusal` says why
/// the file's commands are not run.
pub(super) fn otlp(
    entry: Option<&OtlpEntry>,
    given: Option<&Sourced<String>>,
    (env, refusal): (&Environment, Option<&str>),
    findings: &mut Findings,
) -> Option<Otlp> {
    let none = OtlpEntry::default();
    let entry = entry.unwrap_or(&none);
    let endpoint = given.or_else(|| entry.scalars.get("endpoint"))?;
    let target = match Target::parse(&endpoint.value) {
        Ok(target) => Arc::new(target),
        Err(TargetError::Credentials(shown)) => {
            findings.problem(
                &endpoint.place,
                format!(
                    "`{shown}` holds a user name or password; put credentials into `headers` of `otlp`"
                ),
            );
            return None;
        }
        Err(TargetError::Query(_)) => {
            findings.problem(
                &endpoint.place,
                "the endpoint of `otlp` must end with its path: remove what follows `?` or `#`",
            );
            return None;
        }
        Err(error) => {
            findings.problem(&endpoint.place, format!("the endpoint of `otlp`: {error}"));
            return None;
        }
    };
    let given: Vec<_> = entry
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), Given::of(value)))
        .collect();
    let told = Told::fetch(given.iter().map(|(_, given)| &given.value), env, refusal);
    let headers: Vec<_> = given
        .iter()
        .filter_map(|(name, value)| header(name, value, (env, &told), findings))
        .collect();
    if !headers.is_empty() && !target.tls() && !is_private(target.host()) {
        findings.warn(
            &endpoint.place,
            format!(
                "the headers of `otlp` go to {} unencrypted; use https",
                target.host()
            ),
        );
    }
    let interval = whole(OTLP_FIELDS, &entry.scalars, "interval_ms", findings);
    let (traces, metrics) = export(entry.export.as_deref(), findings);
    let service = entry.scalars.get("service").map(|given| given.value.trim());
    Some(Otlp {
        via: Proxies::of(env).via(&target, findings),
        endpoint: target,
        headers,
        interval: interval.map_or(DEFAULT_INTERVAL, Duration::from_millis),
        traces,
        metrics,
        service: service
            .filter(|service| !service.is_empty())
            .unwrap_or(DEFAULT_SERVICE)
            .to_owned(),
    })
}

fn export(given: Option<&[Sourced<String>]>, findings: &mut Findings) -> (bool, bool) {
    let Some(given) = given else {
        return (true, true);
    };
    let (mut traces, mut metrics) = (false, false);
    for what in given {
        match what.value.as_str() {
            "traces" => traces = true,
            "metrics" => metrics = true,
            _ => findings.problem(
                &what.place,
                "`export` of `otlp` takes \"traces\", \"metrics\" or both: [\"traces\", \"metrics\"]",
            ),
        }
    }
    (traces, metrics)
}

/// The value of a header: a secret or what names one, perhaps behind a scheme: `Bearer env:TOKEN`.
struct Given<'f> {
    scheme: Option<&'f str>,
    value: Sourced<String>,
}

impl<'f> Given<'f> {
    fn of(given: &'f Sourced<String>) -> Self {
        let (scheme, value) = match given.value.trim().split_once(' ') {
            Some((scheme, value)) if !scheme.contains(':') => (Some(scheme), value.trim()),
            _ => (None, given.value.trim()),
        };
        let value = Sourced {
            value: value.to_owned(),
            place: given.place.clone(),
        };
        Self { scheme, value }
    }
}

fn header(
    name: &str,
    Given { scheme, value }: &Given<'_>,
    env: (&Environment, &Told),
    findings: &mut Findings,
) -> Option<(HeaderName, Secret)> {
    let known = HeaderName::try_from(name).ok();
    let Some(known) = known.filter(|known| !OWN_HEADERS.contains(&known.as_str())) else {
        // Without the name: what is in the wrong place here may be a secret.
        findings.problem(
            &value.place,
            "this header of `otlp` cannot be set; write its name without a colon, such as \"authorization\"",
        );
        return None;
    };
    let secret = credential::resolve(value, &format!("header {known} of `otlp`"), env, findings)?;
    let secret = match scheme {
        Some(scheme) => Secret::new(format!("{scheme} {}", secret.expose())),
        None => secret,
    };
    Some((known, secret))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::{Config, Environment, Flags};

    fn load(otlp: &Value, variables: &[(&str, &str)]) -> Result<Config, String> {
        let mut env = Environment::default();
        for (name, value) in variables {
            env.vars.insert((*name).to_owned(), (*value).to_owned());
        }
        let text = json!({"keys": ["a"], "otlp": otlp}).to_string();
        Config::of_text(std::path::Path::new("c.json"), &text, &env)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_exported_unless_it_is_said_where_to() {
        assert!(load(&Value::Null, &[]).unwrap().otlp.is_none());
        let otlp = load(&json!("http://127.0.0.1:4318"), &[]).unwrap().otlp;
        let otlp = otlp.unwrap();
        assert!(otlp.traces && otlp.metrics && otlp.headers.is_empty());
        assert_eq!(otlp.service, "api-key-lb");
    }

    #[test]
    fn a_header_is_a_secret_that_may_be_elsewhere() {
        let settings = json!({
            "endpoint": "https://otel.example/api",
            "headers": {"authorization": "Bearer env:OTEL", "x-team": "planted-team"},
            "export": "traces", "interval_ms": 500, "service": "mine",
        });
        let otlp = load(&settings, &[("OTEL", "planted-token")]).unwrap().otlp;
        let otlp = otlp.unwrap();
        assert_eq!(otlp.headers[0].1.expose(), "Bearer planted-token");
        assert_eq!(otlp.headers[1].1.expose(), "planted-team");
        assert!(otlp.traces && !otlp.metrics);
        assert_eq!(
            (otlp.interval.as_millis(), otlp.service.as_str()),
            (500, "mine")
        );
        let shown = format!("{otlp:?}");
        assert!(!shown.contains("planted"), "{shown}");
    }

    #[test]
    fn a_change_waits_for_a_restart_and_names_no_secret() {
        let settings = |token: &str| json!({"endpoint": "https://h", "headers": {"a": format!("planted-{token}")}});
        let running = load(&settings("one"), &[]).unwrap();
        let mut config = load(&settings("one"), &[]).unwrap();
        assert!(config.continue_from(&running).needs_restart.is_empty());
        let mut config = load(&settings("two"), &[]).unwrap();
        let waits = config.continue_from(&running).needs_restart;
        assert_eq!(waits, ["`otlp` stays https://h"]);
        assert_eq!(config.otlp, running.otlp);
        let mut config = load(&Value::Null, &[]).unwrap();
        config.continue_from(&running);
        assert_eq!(config.otlp, running.otlp);
    }

    #[test]
    fn the_variable_names_the_endpoint_and_wins() {
        let mut env = Environment::default();
        for (name, value) in [("API_KEYS", "a"), ("AKLB_OTLP", "http://127.0.0.1:1")] {
            env.vars.insert(name.to_owned(), value.to_owned());
        }
        let config = Config::load(&Flags::default(), &env).unwrap();
        let endpoint = config.otlp.unwrap().endpoint.to_string();
        assert_eq!(endpoint, "http://127.0.0.1:1");
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        for (settings, part) in [
            (json!({}), "needs an `endpoint`"),
            (json!(7), "must be an object"),
            (
                json!("https://me:planted@h"),
                "put credentials into `headers`",
            ),
            (json!("https://h?planted"), "the endpoint of `otlp`"),
            (
                json!({"endpoint": "https://h", "export": "logs"}),
                "`export` of `otlp` takes",
            ),
            (
                json!({"endpoint": "https://h", "interval_ms": 1}),
                "`interval_ms` must be",
            ),
            (
                json!({"endpoint": "https://h", "headers": {"planted:": "x"}}),
                "cannot be set",
            ),
            (
                json!({"endpoint": "https://h", "headers": {"host": "x"}}),
                "cannot be set",
            ),
            (
                json!({"endpoint": "https://h", "headers": {"a": "env:NONE"}}),
                "NONE is not set",
            ),
            (
                json!({"endpoint": "https://h", "headers": {"a": 7}}),
                "object of texts",
            ),
        ] {
            let error = load(&settings, &[]).expect_err(&settings.to_string());
            assert!(error.contains(part), "`{part}` in {error}");
            assert!(!error.contains("planted"), "{error}");
        }
    }
}
