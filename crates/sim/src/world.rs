//! A world: the provider, the keys that the proxy has for it, and the requests that come.

use std::sync::Arc;
use std::time::Duration;

use api_key_lb_core::plan::{
    AccountId, Guard, Key, KeyId, Limits, Pacing, Plan, Pool, Recognition, SplitSubAgents, Timing,
};
use api_key_lb_core::secret::Secret;
use api_key_lb_core::target::{Target, TargetError};

use crate::provider::{AccountSpec, ProviderSpec};
use crate::request::Request;

/// Where the simulated provider seems to be; nothing is ever sent there.
const TARGET: &str = "https://simulated.invalid";

/// Everything that a run depends on.
#[derive(Clone, Debug)]
pub struct World {
    /// What the rest was made from, and what decides whom partial troubles hit.
    pub seed: u64,
    /// The provider.
    pub provider: ProviderSpec,
    /// The keys.
    pub keys: Vec<KeySpec>,
    /// What the person has configured besides.
    pub settings: Settings,
    /// What comes.
    pub requests: Vec<Request>,
    /// How often a client sends a request that was refused, the first time included.
    pub client_tries: u32,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The account of the provider that it belongs to.
    pub account: usize,
    /// Its weight.
    pub weight: u32,
    /// Whether the configuration says which account it belongs to.
    pub account_is_configured: bool,
}

/// What the person has configured besides keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Cooldown after a refusal without a time.
    pub cooldown: Option<Duration>,
    /// When a session is forgotten.
    pub session_ttl: Duration,
    /// Sessions remembered.
    pub sessions: usize,
    /// Longest that a request is held.
    pub max_wait: Duration,
    /// How long the provider's cache lasts.
    pub cache_ttl: Option<Duration>,
    /// What becomes of sub-agents.
    pub split_subagents: SplitSubAgents,
    /// How quotas of subscriptions are used.
    pub pacing: Pacing,
}

impl Default for Settings {
    fn default() -> Self {
        let (timing, limits) = (Timing::default(), Limits::default());
        Self {
            cooldown: timing.cooldown,
            session_ttl: timing.session_ttl,
            sessions: limits.sessions,
            max_wait: timing.max_wait,
            cache_ttl: timing.cache_ttl,
            split_subagents: SplitSubAgents::default(),
            pacing: Pacing::default(),
        }
    }
}

impl World {
    /// One key for each account, the defaults for everything else.
    pub fn new(seed: u64, provider: ProviderSpec, requests: Vec<Request>) -> Self {
        let key = |account| KeySpec {
            account,
            weight: 1,
            account_is_configured: false,
        };
        Self {
            seed,
            keys: (0..provider.accounts.len()).map(key).collect(),
            provider,
            settings: Settings::default(),
            requests,
            client_tries: 1,
        }
    }

    /// The same requests with one account that has no limits and no troubles: as many tokens come
    /// from its cache as any choice of accounts could achieve.
    #[must_use]
    pub fn reference(&self) -> Self {
        let provider = ProviderSpec {
            accounts: vec![AccountSpec::default()],
            troubles: Vec::new(),
            ..self.provider.clone()
        };
        Self {
            settings: self.settings,
            ..Self::new(self.seed, provider, self.requests.clone())
        }
    }

    /// The plan that the proxy would have.
    ///
    /// # Errors
    /// Never: the target is a constant.
    pub fn plan(&self) -> Result<Plan, TargetError> {
        let target = Arc::new(Target::parse(TARGET)?);
        let keys = self.keys.iter().enumerate().map(|(number, spec)| {
            let secret = Secret::new(format!("sk-simulated-{number}"));
            let id = KeyId::of(&secret, &target);
            let account = if spec.account_is_configured {
                AccountId::named("", &format!("account-{}", spec.account))
            } else {
                AccountId::of_key(id)
            };
            Key {
                id,
                label: format!("key-{}", number + 1),
                secret,
                target: Arc::clone(&target),
                via: None,
                account,
                weight: spec.weight,
            }
        });
        let settings = &self.settings;
        Ok(Plan {
            default_pool: Some(Pool {
                lists: api_key_lb_core::plan::Lists::First,
                name: String::new(),
                keys: keys.collect(),
                target,
            }),
            named_pools: Vec::new(),
            guard: Guard::default(),
            timing: Timing {
                cooldown: settings.cooldown,
                session_ttl: settings.session_ttl,
                max_wait: settings.max_wait,
                cache_ttl: settings.cache_ttl,
                ..Timing::default()
            },
            limits: Limits {
                sessions: settings.sessions,
                ..Limits::default()
            },
            recognition: Recognition {
                split_subagents: settings.split_subagents,
                ..Recognition::default()
            },
            pacing: settings.pacing,
            answer_headers: true,
            include_usage: false,
            error_rules: Vec::new(),
        })
    }
}

/// What an account is called where its answers name it.
pub(crate) fn owner(account: usize) -> AccountId {
    AccountId::discovered("simulated", &account.to_le_bytes())
}
