//! Hermes Agent: `config.yaml`, and base URLs of its built-in providers in `.env`.
//!
//! Source: hermes-agent 0.19.0, run and read (hermes_cli/{config,auth,runtime_provider}.py); for
//! `session_affinity_header` the source after it. 0.19.0 ignores that key with one warning. `.env` wins over the
//! shell's environment; `model.base_url` wins over both for the provider that `model.provider` names. Each
//! profile is a directory of its own below `profiles`.

use std::path::{Path as FilePath, PathBuf};

use serde_json::Value;

use super::draft::{BuiltIn, Draft, elements, instead, names, text};
use crate::agent::{Agent, Candidate, Document, Machine, Os, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

/// The setting that lets Hermes send its session id, and the header it shall send it in.
const SESSION: (&str, &str) = ("session_affinity_header", "x-session-id");
/// Keys that hold a URL in the entry of a named provider.
const ENTRY_URLS: &[&str] = &["base_url", "baseUrl", "url", "api", "api_base"];
/// Lists or maps of named providers.
const ENTRIES: &[&str] = &["providers", "custom_providers"];
/// Where Z.ai's endpoint is found out by trying, which is then noted in `auth.json`.
const ZAI: &str = "zai";

/// A built-in provider, and the variable with its base URL.
struct Variable(BuiltIn, &'static str);

const fn variable(
    id: &'static str,
    url: &'static str,
    keys: &'static [&'static str],
    name: &'static str,
) -> Variable {
    Variable(BuiltIn { id, url, keys }, name)
}

/// Those whose dialect does not depend on the host, so that another one can stand there.
const BUILT_IN: &[Variable] = &[
    variable(
        "alibaba",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        &["DASHSCOPE_API_KEY"],
        "DASHSCOPE_BASE_URL",
    ),
    variable(
        "alibaba-coding-plan",
        "https://coding-intl.dashscope.aliyuncs.com/v1",
        &["ALIBABA_CODING_PLAN_API_KEY"],
        "ALIBABA_CODING_PLAN_BASE_URL",
    ),
    variable(
        "deepseek",
        "https://api.deepseek.com/v1",
        &["DEEPSEEK_API_KEY"],
        "DEEPSEEK_BASE_URL",
    ),
    variable(
        "huggingface",
        "https://router.huggingface.co/v1",
        &["HF_TOKEN"],
        "HF_BASE_URL",
    ),
    variable(
        "kimi-coding",
        "https://api.moonshot.ai/v1",
        &["KIMI_API_KEY", "KIMI_CODING_API_KEY"],
        "KIMI_BASE_URL",
    ),
    variable(
        "minimax",
        "https://api.minimax.io/anthropic",
        &["MINIMAX_API_KEY"],
        "MINIMAX_BASE_URL",
    ),
    variable(
        "minimax-cn",
        "https://api.minimaxi.com/anthropic",
        &["MINIMAX_CN_API_KEY"],
        "MINIMAX_CN_BASE_URL",
    ),
    variable(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        &["NVIDIA_API_KEY"],
        "NVIDIA_BASE_URL",
    ),
    variable(
        "openrouter",
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY"],
        "OPENROUTER_BASE_URL",
    ),
    variable(
        "xai",
        "https://api.x.ai/v1",
        &["XAI_API_KEY"],
        "XAI_BASE_URL",
    ),
    variable(
        "xiaomi",
        "https://api.xiaomimimo.com/v1",
        &["XIAOMI_API_KEY"],
        "XIAOMI_BASE_URL",
    ),
    variable(
        ZAI,
        "https://api.z.ai/api/paas/v4",
        &["GLM_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY"],
        "GLM_BASE_URL",
    ),
];

/// Hermes.
#[derive(Debug)]
pub(super) struct Hermes;

fn home(machine: &Machine) -> PathBuf {
    match (
        machine.var("HERMES_HOME"),
        machine.os,
        machine.var("LOCALAPPDATA"),
    ) {
        (Some(home), _, _) => PathBuf::from(home),
        (None, Os::Windows, Some(data)) => PathBuf::from(data).join("hermes"),
        (None, _, _) => machine.home.join(".hermes"),
    }
}

fn files(directory: &FilePath) -> Vec<Candidate> {
    let file = |name: &str, format| Candidate {
        path: directory.join(name),
        format,
        evidence: true,
    };
    vec![
        file("auth.json", Format::Json),
        file(".env", Format::Dotenv),
        file("config.yaml", Format::Yaml),
    ]
}

/// The dialect that Hermes infers from a host, which the proxy's does not tell it.
fn implied(url: &str) -> Option<&'static str> {
    let url = url.trim().to_ascii_lowercase();
    let (_, rest) = url.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    if path.ends_with("anthropic") || path.ends_with("anthropic/v1") {
        return None;
    }
    match host {
        "api.openai.com" | "api.x.ai" => Some("codex_responses"),
        "api.anthropic.com" => Some("anthropic_messages"),
        "api.kimi.com" if path.starts_with("coding") => Some("anthropic_messages"),
        _ => None,
    }
}

impl Agent for Hermes {
    fn id(&self) -> &'static str {
        "hermes"
    }

    fn name(&self) -> &'static str {
        "Hermes"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["hermes"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        files(&home(machine))
    }

    fn patterns(&self, machine: &Machine) -> Vec<Candidate> {
        files(&home(machine).join("profiles").join("*"))
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let mut homes: Vec<&FilePath> = documents
            .iter()
            .filter_map(|found| found.path.parent())
            .collect();
        homes.dedup();
        for home in homes {
            let config = draft.document(&home.join("config.yaml"));
            if let Some(config) = config {
                entries(&mut draft, config);
                others(&mut draft, config);
            }
            built_in(&mut draft, home, config.map(|found| &found.value));
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Hermes, with its gateway and cron services"
    }
}

/// The named providers.
fn entries(draft: &mut Draft<'_>, config: &Document) {
    for section in ENTRIES.iter().map(|name| Path::of(&[name])) {
        let mut entries = elements(&config.value, &section);
        entries.extend(
            names(&config.value, &section)
                .into_iter()
                .map(|name| section.key(name)),
        );
        for entry in entries {
            let mut leads = false;
            for name in ENTRY_URLS {
                leads |= adapt(draft, config, &entry, name, &["api_mode", "transport"]);
            }
            if leads {
                draft.add(config, entry.key(SESSION.0), SESSION.1);
            }
        }
    }
}

/// A URL, and the dialect that went without saying as long as it stood there.
fn adapt(
    draft: &mut Draft<'_>,
    config: &Document,
    entry: &Path,
    name: &str,
    modes: &[&str],
) -> bool {
    let at = entry.key(name);
    let old = at.find(&config.value).and_then(Value::as_str);
    if !draft.url(config, &at) {
        return false;
    }
    let said = modes
        .iter()
        .any(|mode| entry.key(mode).find(&config.value).is_some());
    if let Some(mode) = old.and_then(implied).filter(|_| !said) {
        draft.add(config, entry.key("api_mode"), mode);
    }
    true
}

/// The model, auxiliary and fallback models, sub-agents, mixtures.
fn others(draft: &mut Draft<'_>, config: &Document) {
    let model = |key| text(&config.value, &["model", key]).or_else(|| text(&config.value, &[key]));
    let url = model("base_url").or_else(|| model("api_base"));
    let anthropic = model("provider") == Some("anthropic");
    if let Some(to) = url.and_then(|url| instead(draft.aim, url, "")) {
        let mode = url.and_then(implied);
        if anthropic && mode.is_some() {
            draft.note(named_provider(&to));
            return;
        }
        if mode == Some("codex_responses") && model("provider").is_none_or(|name| name == "custom")
        {
            draft.note(
                "Hermes speaks Chat Completions to a model.base_url that is not OpenAI's. If the model needs Responses, \
                 give it an entry in providers with api_mode: codex_responses, and name that in model.provider.",
            );
        }
    }
    adapt(
        draft,
        config,
        &Path::of(&["delegation"]),
        "base_url",
        &["api_mode"],
    );
    draft.urls(
        config,
        &Path::default(),
        |name| {
            matches!(
                name,
                "base_url" | "baseUrl" | "api_base" | "summary_base_url"
            )
        },
        |name| ENTRIES.contains(&name) || name == "delegation" || name.starts_with("mcp"),
    );
}

/// Providers that are chosen by name or have a key, and no URL yet.
fn built_in(draft: &mut Draft<'_>, home: &FilePath, config: Option<&Value>) {
    let place = home.join(".env");
    let env = draft.document(&place);
    if let Some(env) = env {
        for name in names(&env.value, &Path::default()) {
            if name.ends_with("_BASE_URL") {
                draft.url(env, &Path::of(&[name]));
            }
        }
    }
    let value = |name: &str| {
        env.and_then(|found| text(&found.value, &[name]))
            .or_else(|| draft.machine.var(name))
    };
    if config.is_some_and(|config| chooses(config, "anthropic"))
        && let Some(to) = instead(draft.aim, "https://api.anthropic.com", "/v1")
    {
        draft.note(named_provider(&to));
    }
    for Variable(provider, name) in BUILT_IN {
        let chosen = config.is_some_and(|config| chooses(config, provider.id));
        let key = provider.keys.iter().find_map(|key| value(key));
        if (!chosen && key.is_none()) || env.is_some_and(|env| text(&env.value, &[name]).is_some())
        {
            continue;
        }
        let auth = draft.document(&home.join("auth.json"));
        let url = match provider.id {
            ZAI => auth.and_then(|found| {
                text(
                    &found.value,
                    &["providers", ZAI, "detected_endpoint", "base_url"],
                )
            }),
            // Such a key leads to another host, whose dialect Hermes knows by its name only.
            "kimi-coding" if key.is_some_and(|key| key.starts_with("sk-kimi-")) => None,
            _ => Some(provider.url),
        };
        match url.and_then(|url| instead(draft.aim, url, "")) {
            Some(to) => draft.set(&place, Format::Dotenv, Path::of(&[name]), to),
            None if url.is_none() && provider.id == ZAI => {
                if let Some(to) = instead(draft.aim, provider.url, "") {
                    let plan = to.replace("/api/paas", "/api/coding/paas");
                    draft.note(format!(
                        "Hermes finds out by itself where a key of Z.ai is good for, and has not yet. Put \
                         {name}={plan} (coding plan) or {name}={to} (paid by use) into {}.",
                        place.display()
                    ));
                }
            }
            None => {}
        }
    }
}

fn named_provider(to: &str) -> String {
    format!(
        "Hermes uses model.base_url with its provider anthropic only for hosts it knows. Add an entry to providers with \
         base_url: {to}, api_mode: anthropic_messages and {}: {}, and name it in model.provider. If Hermes is logged in \
         with a subscription, that is then left for the pool's keys.",
        SESSION.0, SESSION.1
    )
}

/// Whether a section chooses this provider and names no URL.
fn chooses(config: &Value, id: &str) -> bool {
    match config {
        Value::Object(members) => {
            let own = text(config, &["provider"]) == Some(id)
                && text(config, &["base_url"]).is_none()
                && text(config, &["api_base"]).is_none();
            own || members
                .iter()
                .filter(|(name, _)| !ENTRIES.contains(&name.as_str()))
                .any(|(_, member)| chooses(member, id))
        }
        Value::Array(list) => list.iter().any(|element| chooses(element, id)),
        _ => false,
    }
}
