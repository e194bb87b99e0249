//! Pools and keys as written become those of the plan: secrets fetched, duplicates dropped, labels given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api_key_lb_core::plan::{Lists, RESERVED_POOL_NAMES};
use api_key_lb_core::provider::{self, PROVIDERS, Provider};
use api_key_lb_core::target::Target;
use api_key_lb_core::{AccountId, Key, KeyId, Pool};

use super::credential::{self, Told};
use super::environment::Environment;
use super::field::KEY_FIELDS;
use super::finding::{Findings, NoteLevel, Place, Sourced};
use super::network::{Proxies, is_private};
use super::sheet::{KeyEntry, PoolEntry, switch, whole};

/// What `list_account` says for those of all, unless somebody has called a key or an account so.
const ALL: &str = "all";
/// The most characters of a label or a pool name.
const MOST_NAME: usize = 64;

/// The provider of that name; a problem if there is none.
fn known_provider(name: &Sourced<String>, findings: &mut Findings) -> Option<&'static Provider> {
    let found = provider::called(name.value.trim());
    if found.is_none() {
        let known: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        findings.problem(
            &name.place,
            format!(
                "this `provider` is not known; write one of {}, or remove it: then the host of \
                 the target says who it is",
                known.join(", ")
            ),
        );
    }
    found
}

/// A key that is configured and must not serve.
#[derive(Clone, Debug)]
pub struct DisabledKey {
    /// The name of its pool; empty for the default one.
    pub pool: String,
    /// What people call it.
    pub label: String,
    /// Its mask, or where it is.
    pub shown: String,
    /// Who it is, if that can be told without running a program.
    pub id: Option<KeyId>,
    /// The name of its account, if it has one.
    pub account: Option<String>,
    /// Where it would be sent.
    pub target: Arc<Target>,
}

/// What a key as written is called.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    pub(crate) pool: String,
    /// Where in its list it stands, from 0.
    pub(crate) index: usize,
    pub(crate) label: String,
}

/// Builds pools one after the other, remembering what must be unique among all of them.
pub(crate) struct PoolBuilder<'a> {
    env: &'a Environment,
    told: &'a Told,
    proxies: Proxies<'a>,
    /// Labels that are taken.
    labels: BTreeSet<String>,
    /// The names of the accounts that were given one.
    pub(crate) accounts: BTreeMap<AccountId, String>,
    /// Every target and where it was given.
    pub(crate) targets: Vec<Sourced<Arc<Target>>>,
    /// The keys that can be used, as they were written.
    pub(crate) called: Vec<Called>,
    /// The keys that must not serve.
    pub(crate) disabled: Vec<DisabledKey>,
}

impl<'a> PoolBuilder<'a> {
    pub(crate) fn new(env: &'a Environment, told: &'a Told) -> Self {
        Self {
            env,
            told,
            proxies: Proxies::of(env),
            labels: BTreeSet::new(),
            accounts: BTreeMap::new(),
            targets: Vec::new(),
            called: Vec::new(),
            disabled: Vec::new(),
        }
    }

    /// Checks the labels given in any pool and keeps default ones from taking them. Before [`Self::pool`].
    pub(crate) fn reserve_labels<'k>(
        &mut self,
        entries: impl Iterator<Item = &'k KeyEntry>,
        findings: &mut Findings,
    ) {
        for label in entries.filter_map(|entry| entry.rest.get("label")) {
            let text = label.value.trim();
            if let Some(objection) = label_objection(text) {
                findings.problem(&label.place, objection);
            } else if !self.labels.insert(text.to_owned()) {
                findings.problem(
                    &label.place,
                    format!("two keys have the label `{text}`; give each key a label of its own"),
                );
            }
        }
    }

    /// A target and, if it was said, who is behind it; a problem if it is none, a warning if keys
    /// would travel to it in the open.
    pub(crate) fn target(
        &mut self,
        given: &Sourced<String>,
        behind: Option<&Sourced<String>>,
        findings: &mut Findings,
    ) -> Option<Arc<Target>> {
        let behind = behind.and_then(|name| known_provider(name, findings));
        let target = match Target::parse(&given.value) {
            Ok(target) => Arc::new(match behind {
                Some(provider) => target.with_provider(provider),
                None => target,
            }),
            Err(error) => {
                findings.problem(&given.place, format!("`target`: {error}"));
                return None;
            }
        };
        if !target.tls() && !is_private(target.host()) {
            findings.warn(
                &given.place,
                format!(
                    "keys travel unencrypted to {target}, anyone on the way can read them; \
                     write https:// instead if the server has it"
                ),
            );
        }
        self.targets.push(Sourced {
            value: target.clone(),
            place: given.place.clone(),
        });
        Some(target)
    }

    /// A pool from the file's `pools`.
    pub(crate) fn named_pool(
        &mut self,
        entry: &PoolEntry,
        findings: &mut Findings,
    ) -> Option<Pool> {
        let name = &entry.name.value;
        let place = &entry.name.place;
        let lettered = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let dots_only = name.bytes().all(|byte| byte == b'.');
        if !lettered || dots_only || name.len() > MOST_NAME {
            findings.problem(
                place,
                format!(
                    "a pool's name is 1 to {MOST_NAME} of A-Z a-z 0-9 . _ -, because it is the first \
                     part of the path (/zai/v1/…); rename it"
                ),
            );
            return None;
        }
        if let Some(reserved) = RESERVED_POOL_NAMES
            .iter()
            .find(|reserved| name.eq_ignore_ascii_case(reserved))
        {
            findings.problem(
                place,
                format!("a pool cannot be called `{name}`: paths that begin with /{reserved} mean something else; rename it"),
            );
        }
        let Some(target) = &entry.target else {
            findings.problem(
                place,
                format!("pool `{name}` has no `target`; add one such as \"target\": \"https://api.z.ai\""),
            );
            return None;
        };
        if entry.keys.is_empty() {
            findings.problem(
                place,
                format!(
                    "pool `{name}` has no key; add \"keys\": [\"KEY\"] to it, or remove the pool"
                ),
            );
        }
        let target = self.target(target, entry.provider.as_ref(), findings)?;
        self.pool(name, &target, &entry.keys, findings)
    }

    /// A pool of `entries`; `None` if none of them can be used.
    pub(crate) fn pool(
        &mut self,
        name: &str,
        target: &Arc<Target>,
        entries: &[KeyEntry],
        findings: &mut Findings,
    ) -> Option<Pool> {
        let mut keys: Vec<Key> = Vec::new();
        let mut twins = Vec::new();
        let before = findings.problems.len();
        // First, so that none of them serves because it is there a second time.
        let known = self.disabled.len();
        for (index, entry) in entries.iter().enumerate() {
            if switch(&entry.rest, "disabled", findings) == Some(true) {
                self.disable(name, index, target, entry, findings);
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            if entry.is_disabled() {
                continue;
            }
            let what = what(name, index + 1);
            let Some(key) = self.key(name, &what, target, entry, findings) else {
                continue;
            };
            let mut off = self.disabled.iter().skip(known);
            if let Some(off) = off.find(|off| off.id == Some(key.id)) {
                findings.warn(
                    &entry.key.place,
                    format!(
                        "{what} ({}) is the same as `{}`, which is disabled, and so it does not serve; \
                         remove one of them",
                        key.secret.masked(),
                        off.label
                    ),
                );
                continue;
            }
            let label = match keys.iter().find(|kept| kept.id == key.id) {
                Some(kept) => {
                    twins.push(format!(
                        "{what} ({}) is `{}`",
                        key.secret.masked(),
                        kept.label
                    ));
                    kept.label.clone()
                }
                None => {
                    let label = self.label(name, index + 1, entry);
                    keys.push(Key {
                        label: label.clone(),
                        ..key
                    });
                    label
                }
            };
            self.called.push(Called {
                pool: name.to_owned(),
                index,
                label,
            });
        }
        if let (false, Some(first)) = (twins.is_empty(), entries.first()) {
            let place = match &first.key.place {
                Place::File { path, .. } => path.display().to_string(),
                other => other.to_string(),
            };
            findings.note(
                NoteLevel::Info,
                format!(
                    "{place}: a key given more than once counts once: {}",
                    twins.join(", ")
                ),
            );
        }
        let off = self.disabled.get(known);
        if let (true, Some(off), Some(first)) = (keys.is_empty(), off, entries.first())
            && findings.problems.len() == before
        {
            findings.problem(&first.key.place, all_disabled(name, &off.label));
        }
        (!keys.is_empty()).then(|| Pool {
            lists: Lists::First,
            name: name.to_owned(),
            target: target.clone(),
            keys,
        })
    }

    /// One key, still without its label.
    fn key(
        &mut self,
        pool: &str,
        what: &str,
        target: &Arc<Target>,
        entry: &KeyEntry,
        findings: &mut Findings,
    ) -> Option<Key> {
        let secret = credential::resolve(&entry.key, what, (self.env, self.told), findings);
        let target = self.target_of(entry, target, findings)?;
        let weight = whole(KEY_FIELDS, &entry.rest, "weight", findings)
            .and_then(|weight| u32::try_from(weight).ok())
            .unwrap_or(1);
        let secret = secret?;
        let id = KeyId::of(&secret, &target);
        let account = entry
            .rest
            .get("account")
            .map(|account| account.value.trim())
            .filter(|account| !account.is_empty())
            .map_or(AccountId::of_key(id), |account| {
                let id = AccountId::named(pool, account);
                self.accounts.insert(id, account.to_owned());
                id
            });
        Some(Key {
            id,
            label: String::new(),
            secret,
            via: self.proxies.via(&target, findings),
            target,
            account,
            weight,
        })
    }

    /// Where a key goes, in a pool that goes to `target`.
    fn target_of(
        &mut self,
        entry: &KeyEntry,
        target: &Arc<Target>,
        findings: &mut Findings,
    ) -> Option<Arc<Target>> {
        match (entry.rest.get("target"), entry.rest.get("provider")) {
            (Some(own), provider) => self.target(own, provider, findings),
            (None, Some(name)) => {
                let provider = known_provider(name, findings)?;
                Some(Arc::new(Target::clone(target).with_provider(provider)))
            }
            (None, None) => Some(target.clone()),
        }
    }

    /// Notes a key that must not serve. What names its secret may lead nowhere.
    fn disable(
        &mut self,
        pool: &str,
        index: usize,
        target: &Arc<Target>,
        entry: &KeyEntry,
        findings: &mut Findings,
    ) {
        let Some(target) = self.target_of(entry, target, findings) else {
            return;
        };
        let secret = credential::peek(&entry.key, self.env);
        let account = entry.rest.get("account").map(|name| name.value.trim());
        let label = self.label(pool, index + 1, entry);
        self.called.push(Called {
            pool: pool.to_owned(),
            index,
            label: label.clone(),
        });
        let key = DisabledKey {
            pool: pool.to_owned(),
            label,
            shown: credential::shown(&entry.key.value),
            id: secret.map(|secret| KeyId::of(&secret, &target)),
            account: account.filter(|name| !name.is_empty()).map(str::to_owned),
            target,
        };
        self.disabled.push(key);
    }

    /// The given label, else one that says where in the list the key stands.
    fn label(&mut self, pool: &str, position: usize, entry: &KeyEntry) -> String {
        if let Some(label) = entry.rest.get("label") {
            return label.value.trim().to_owned();
        }
        let label = default_label(pool, position, &self.labels);
        self.labels.insert(label.clone());
        label
    }
}

/// What the key at a position of a pool is called if nobody has given it a label; none of `taken`.
pub(crate) fn default_label(pool: &str, position: usize, taken: &BTreeSet<String>) -> String {
    let stem: String = match pool {
        "" => "key".into(),
        // Room for the number.
        name => name.chars().take(MOST_NAME - 8).collect(),
    };
    let mut number = position;
    loop {
        let label = format!("{stem}-{number}");
        if !taken.contains(&label) {
            return label;
        }
        number += 1;
    }
}

/// Why a text cannot be a label; `None` if it can.
pub(crate) fn label_objection(text: &str) -> Option<String> {
    let fits = !text.is_empty()
        && text.len() <= MOST_NAME
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    (!fits).then(|| {
        format!(
            "a `label` is 1 to {MOST_NAME} ASCII letters, digits and signs without spaces; write one \
             such as \"work\""
        )
    })
}

/// That no key of a pool may serve, one of which is called `label`.
fn all_disabled(pool: &str, label: &str) -> String {
    let pool = match pool {
        "" => "the default pool".to_owned(),
        name => format!("pool `{name}`"),
    };
    format!(
        "every key of {pool} is disabled; enable one with `api-key-lb keys enable {label}`, or remove its \
         \"disabled\": true"
    )
}

/// Has every pool show the lists of the key, or of the account, that is called so; those of all
/// accounts if none is.
pub(crate) fn set_lists<'p>(
    pools: impl Iterator<Item = &'p mut Pool>,
    disabled: &[DisabledKey],
    given: &Sourced<String>,
    findings: &mut Findings,
) {
    let name = given.value.trim();
    let mut found = false;
    let mut labels = Vec::new();
    let mut pools: Vec<&mut Pool> = pools.collect();
    for pool in &mut pools {
        let account = AccountId::named(&pool.name, name);
        let called = |key: &&Key| key.label == name || key.account == account;
        pool.lists = match pool.keys.iter().find(called) {
            Some(key) => Lists::Of(key.id),
            None => Lists::First,
        };
        found |= pool.lists != Lists::First;
        labels.extend(pool.keys.iter().map(|key| format!("`{}`", key.label)));
    }
    if !found && name == ALL {
        for pool in pools {
            pool.lists = Lists::All;
        }
        return;
    }
    let is_off = |key: &DisabledKey| key.label == name || key.account.as_deref() == Some(name);
    if !found && disabled.iter().any(is_off) {
        findings.warn(
            &given.place,
            format!(
                "`list_account` is `{name}`, which is disabled: lists are those of the first key"
            ),
        );
        return;
    }
    // Without any key there are other problems.
    if !found && !labels.is_empty() {
        findings.problem(
            &given.place,
            format!(
                "`list_account` is `{name}`, but no key has this label or belongs to an account of \
                 this name; write one of {}, the name of an account, `all`, or remove it",
                labels.join(", ")
            ),
        );
    }
}

/// How messages name a key: by its position, from 1.
fn what(pool: &str, position: usize) -> String {
    match pool {
        "" => format!("key {position}"),
        pool => format!("key {position} of pool `{pool}`"),
    }
}
