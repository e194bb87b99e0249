//! The store of a running proxy: opened before its first request, fed from the state of the engine.

use std::path::PathBuf;
use std::sync::Arc;

use api_key_lb_control::Config;
use api_key_lb_control::health::HealthStore;
use api_key_lb_control::store::{self, Retention, Setup, Source, Store};
use api_key_lb_core::policy::memory::Memory;
use api_key_lb_core::{KeyId, Moment, Plan};

use crate::estate::Estate;
use crate::printer::Printer;

/// Where a store is, and for how long it keeps what.
#[derive(Debug)]
pub(crate) struct StoreSetup {
    dir: PathBuf,
    retention: Retention,
}

impl StoreSetup {
    /// What the configuration wants to be kept; `None` if nothing, or nowhere. Nor is anything
    /// kept of a proxy on any free port, since nobody would find it again.
    pub(crate) fn of(config: &Config, dir: Option<PathBuf>) -> Option<Self> {
        if !config.store || config.listen.port == 0 {
            return None;
        }
        Some(Self {
            dir: dir?,
            retention: retention(config),
        })
    }
}

/// For how long the configuration wants things to be kept.
pub(crate) const fn retention(config: &Config) -> Retention {
    Retention {
        session_ttl: config.plan.timing.session_ttl,
        sessions: config.plan.limits.sessions,
        usage_days: config.usage_days,
    }
}

/// What the engine's state has changed. A process that is about to take over has to know it, too.
struct Changes(Arc<Estate>);

impl Source for Changes {
    fn changes(&self, most: usize) -> Memory {
        let rows = self.0.state().changes(most);
        self.0.note(&rows);
        rows
    }

    fn forgotten(&self) {
        self.0.state().forgotten();
    }

    fn now(&self) -> Moment {
        self.0.state().now()
    }
}

/// Opens the store of `port`, gives the state what is in it, and begins to write what changes. Whether
/// there was anything in it is said as well.
pub(crate) fn open(
    setup: Option<StoreSetup>,
    estate: &Arc<Estate>,
    port: u16,
    printer: &Printer,
) -> (Option<Store>, bool) {
    let Some(StoreSetup { dir, retention }) = setup else {
        return (None, false);
    };
    let state = estate.state();
    let setup = Setup {
        path: store::path(&dir, port),
        retention,
        labels: labels(&state.plan()),
    };
    let warning = *printer;
    let (mut store, memory) = Store::open(setup, state.now(), move |words| warning.warn(words));
    let has_read = !memory.is_empty();
    state.restore(memory);
    if let Err(error) = store.start(Changes(estate.clone())) {
        printer.warn(format!(
            "cannot start the thread of the store: {error}; nothing is written down"
        ));
        return (None, has_read);
    }
    (Some(store), has_read)
}

/// The store, if everything is in it that is known here.
pub(crate) fn complete(store: &Store) -> Option<String> {
    let is_complete = store.flush() && store.standing()().problem.is_none();
    let path = store.path().to_str().filter(|_| is_complete)?;
    Some(path.to_owned())
}

/// What the keys are called.
pub(crate) fn labels(plan: &Plan) -> Vec<(KeyId, String)> {
    let keys = plan.pools().flat_map(|pool| &pool.keys);
    keys.map(|key| (key.id, key.label.clone())).collect()
}

/// How the store is, for `/health`.
pub(crate) fn health_of(store: Option<&Store>) -> impl Fn() -> HealthStore + Send + Sync + 'static {
    let known = store.map(|store| (store.path().display().to_string(), store.standing()));
    move || {
        let Some((path, standing)) = &known else {
            return HealthStore {
                status: "off".to_owned(),
                ..HealthStore::default()
            };
        };
        let standing = standing();
        let status = if standing.problem.is_some() {
            "failing"
        } else {
            "ok"
        };
        HealthStore {
            status: status.to_owned(),
            path: Some(path.clone()),
            bytes: Some(standing.bytes),
            problem: standing.problem,
        }
    }
}
