//! What the thread that answers our own paths goes by, gathered from the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_key_lb_control::health::{About, Health, HealthStore};
use api_key_lb_control::metrics::{Gauges, Metrics};
use api_key_lb_control::observed::{self, Observed};
use api_key_lb_control::otlp::Outbox;
use api_key_lb_control::runtime_file::Instance;
use api_key_lb_control::store::Store;
use api_key_lb_core::{Moment, Secret};
use api_key_lb_engine::State;

use super::gauges::gauges;
use crate::admin::Explain;
use crate::live::Live;
use crate::memory;
use crate::supervisor;
use crate::why::{Said, Why};

/// What can be seen and done here.
#[derive(Clone)]
pub(crate) struct Sources {
    /// What the workers share.
    pub(crate) state: Arc<State>,
    /// What was seen of requests.
    pub(super) observed: Arc<Observed>,
    /// What was counted of them.
    pub(super) metrics: Arc<Metrics>,
    /// What of the configuration is shown.
    pub(super) live: Arc<Live>,
    /// What `/health` answers now.
    pub(crate) health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// What would become of a request; `None` if it is no HTTP.
    pub(super) why: Explain,
    /// What a request that needs the token of the instance must carry.
    pub(super) token: Secret,
    /// The file of the store, if there is one.
    pub(super) store: Option<PathBuf>,
    /// What is exported, if anything is.
    pub(crate) outbox: Option<Arc<Outbox>>,
}

impl Sources {
    /// Of a server that is being started.
    pub(crate) fn of(
        state: &Arc<State>,
        instance: &Instance,
        addresses: &[SocketAddr],
        live: &Arc<Live>,
        store: Option<&Store>,
    ) -> Self {
        let port = addresses.first().map_or(0, SocketAddr::port);
        let stored = memory::health_of(store);
        Self {
            state: state.clone(),
            observed: Arc::default(),
            metrics: Arc::default(),
            live: live.clone(),
            health: health_of(state, instance, addresses.to_vec(), live.clone(), stored),
            why: why_of(state, port, live.clone()),
            token: instance.token.clone(),
            store: store.map(Store::path).map(Path::to_path_buf),
            outbox: None,
        }
    }
}

impl Sources {
    /// How everything is now.
    pub(super) fn look(&self) -> observed::State {
        let about = observed::About {
            plan: &self.state.plan(),
            snapshot: &self.state.snapshot(),
            notes: &self.live.now().notes,
            now: self.state.now(),
        };
        observed::State::of((self.health)(), &self.observed, &about)
    }

    /// The same as metrics, and when that is.
    pub(crate) fn gauges(&self) -> (Gauges, Moment) {
        let gauges = gauges(&self.look(), self.state.started());
        (gauges, self.state.now())
    }

    /// What was counted.
    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// What `/_lb/why` answers.
fn why_of(state: &Arc<State>, port: u16, live: Arc<Live>) -> Explain {
    let state = state.clone();
    Arc::new(move |asked| {
        let proxy = Said::new(
            "running",
            format!("the one on port {port}; nothing was sent or noted"),
        );
        Why::of(&state, &live.now().accounts, asked, proxy)
    })
}

/// What `/health` answers.
fn health_of(
    state: &Arc<State>,
    instance: &Instance,
    listen: Vec<SocketAddr>,
    live: Arc<Live>,
    stored: impl Fn() -> HealthStore + Send + Sync + 'static,
) -> Arc<dyn Fn() -> Health + Send + Sync> {
    let state = state.clone();
    let supervisor = instance.supervisor.as_ref().map(supervisor::name);
    let name = instance.instance.clone();
    let (pid, started): (u32, Moment) = (instance.pid, instance.started);
    Arc::new(move || {
        let live = live.now();
        let about = About {
            version: env!("CARGO_PKG_VERSION"),
            pid,
            instance: &name,
            started,
            now: state.now(),
            listen: &listen,
            dropped_facts: state.facts().dropped(),
            accounts: &live.accounts,
            disabled: &live.disabled,
            config_file: live.file.as_deref(),
            reloading: &live.reloading,
            supervisor: supervisor.as_deref(),
            store: Some(stored()),
        };
        Health::observe(&state.plan(), &state.snapshot(), &about)
    })
}
