//! Crush: `crush.json`; its `crushrc`, a script, is left to the person.
//!
//! Source: charmbracelet/crush 2026-08-21, internal/config/{load,config}.go, internal/shellconfig/provider.go;
//! the built-in providers from charmbracelet/catwalk, internal/providers/configs. Files are merged, the later
//! ones win: the global `crush.json`, `crushrc` beside it, Crush's own data file, the project's files, where
//! `crushrc` wins over `.crush.json` over `crush.json`. On Windows the global one is below `~/.config` too. It
//! sends its session id by itself.

use std::path::PathBuf;

use serde_json::Value;

use super::draft::{BuiltIn, Draft, any_text, instead, names};
use crate::agent::{Agent, Candidate, Document, Machine, Os, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

const NAME: &str = "crush.json";

/// Those it has a base URL for.
const BUILT_IN: &[BuiltIn] = &[
    built_in(
        "alibaba-singapore",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        &["ALIBABA_SINGAPORE_API_KEY"],
    ),
    built_in(
        "anthropic",
        "https://api.anthropic.com",
        &["ANTHROPIC_API_KEY"],
    ),
    built_in(
        "cerebras",
        "https://api.cerebras.ai/v1",
        &["CEREBRAS_API_KEY"],
    ),
    built_in("chutes", "https://llm.chutes.ai/v1", &["CHUTES_API_KEY"]),
    built_in(
        "deepseek",
        "https://api.deepseek.com/v1",
        &["DEEPSEEK_API_KEY"],
    ),
    built_in(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        &["FIREWORKS_API_KEY"],
    ),
    built_in(
        "gemini",
        "https://generativelanguage.googleapis.com",
        &["GEMINI_API_KEY"],
    ),
    built_in("groq", "https://api.groq.com/openai/v1", &["GROQ_API_KEY"]),
    built_in(
        "huggingface",
        "https://router.huggingface.co/v1",
        &["HF_TOKEN"],
    ),
    built_in(
        "kimi-coding",
        "https://api.kimi.com/coding",
        &["KIMI_CODING_API_KEY"],
    ),
    built_in(
        "minimax",
        "https://api.minimax.io/anthropic",
        &["MINIMAX_API_KEY"],
    ),
    built_in(
        "minimax-china",
        "https://api.minimaxi.com/anthropic",
        &["MINIMAX_API_KEY"],
    ),
    built_in(
        "moonshot",
        "https://api.moonshot.ai/v1",
        &["MOONSHOT_API_KEY"],
    ),
    built_in("openai", "https://api.openai.com/v1", &["OPENAI_API_KEY"]),
    built_in(
        "opencode-go",
        "https://opencode.ai/zen/go/v1",
        &["OPENCODE_API_KEY"],
    ),
    built_in(
        "opencode-zen",
        "https://opencode.ai/zen/v1",
        &["OPENCODE_API_KEY"],
    ),
    built_in(
        "openrouter",
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY"],
    ),
    built_in(
        "synthetic",
        "https://api.synthetic.new/openai/v1",
        &["SYNTHETIC_API_KEY"],
    ),
    built_in("xai", "https://api.x.ai/v1", &["XAI_API_KEY"]),
    built_in(
        "zai",
        "https://api.z.ai/api/coding/paas/v4",
        &["ZAI_API_KEY"],
    ),
    built_in(
        "zhipu",
        "https://open.bigmodel.cn/api/paas/v4",
        &["ZHIPU_API_KEY"],
    ),
    built_in(
        "zhipu-coding",
        "https://open.bigmodel.cn/api/coding/paas/v4",
        &["ZHIPU_API_KEY"],
    ),
];

const fn built_in(id: &'static str, url: &'static str, keys: &'static [&'static str]) -> BuiltIn {
    BuiltIn { id, url, keys }
}

/// Crush.
#[derive(Debug)]
pub(super) struct Crush;

fn directory(machine: &Machine) -> PathBuf {
    machine
        .var("CRUSH_GLOBAL_CONFIG")
        .map_or_else(|| machine.xdg_config().join("crush"), PathBuf::from)
}

/// Its data, which it rewrites at any time: looked at only.
fn state(machine: &Machine) -> PathBuf {
    let below = |dir: &str| PathBuf::from(dir).join("crush").join(NAME);
    if let Some(dir) = machine.var("CRUSH_GLOBAL_DATA") {
        return PathBuf::from(dir).join(NAME);
    }
    if let Some(dir) = machine.var("XDG_DATA_HOME") {
        return below(dir);
    }
    let data = match (machine.os, machine.var("LOCALAPPDATA")) {
        (Os::Windows, Some(dir)) => return below(dir),
        (Os::Windows, None) => machine.home.join("AppData").join("Local"),
        _ => machine.home.join(".local").join("share"),
    };
    data.join("crush").join(NAME)
}

/// What Crush adds to the base URL, for the dialects whose client adds it.
fn adds(id: &str) -> &'static str {
    match id {
        "anthropic" => "/v1",
        "gemini" => "/v1beta",
        _ => "",
    }
}

impl Agent for Crush {
    fn id(&self) -> &'static str {
        "crush"
    }

    fn name(&self) -> &'static str {
        "Crush"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["crush"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let json = |path: PathBuf, evidence| Candidate {
            path,
            format: Format::Json,
            evidence,
        };
        let mut found = vec![
            json(directory(machine).join(NAME), true),
            json(state(machine), true),
        ];
        if let Some(project) = &machine.project {
            found.push(json(project.join(NAME), false));
            found.push(json(project.join(".crush.json"), false));
        }
        found
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let state = state(machine);
        let (global, script) = (
            directory(machine).join(NAME),
            directory(machine).join("crushrc"),
        );
        for document in documents {
            for id in names(&document.value, &Path::of(&["providers"])) {
                let at = Path::of(&["providers", id, "base_url"]);
                if document.path != state {
                    draft.root(document, &at, adds(id));
                } else if let Some(to) = at
                    .find(&document.value)
                    .and_then(Value::as_str)
                    .and_then(|url| instead(aim, url, adds(id)))
                {
                    draft.note(format!(
                        "Crush keeps the URL of its provider {id} in {}, which it writes itself. Take it out there, or \
                         put provider add {id} --base-url {to} into a crushrc of the project.",
                        document.path.display()
                    ));
                }
            }
        }
        draft.environment(&["ANTHROPIC_API_ENDPOINT"], "/v1");
        draft.environment(&["GEMINI_API_ENDPOINT"], "/v1beta");
        draft.environment(&["OPENAI_API_ENDPOINT"], "");

        for built_in in BUILT_IN {
            let entry = |name: &str| Path::of(&["providers", built_in.id, name]);
            let has = |name: &str| {
                documents
                    .iter()
                    .any(|found| entry(name).find(&found.value).is_some())
            };
            let chosen = documents.iter().any(|found| {
                found.value.get("models").is_some_and(|models| {
                    any_text(models, "provider", &|id: &str| id == built_in.id)
                })
            });
            let variable = format!("{}_API_ENDPOINT", built_in.id.to_uppercase());
            let Some(to) = instead(aim, built_in.url, adds(built_in.id))
                .filter(|_| !has("base_url") && machine.var(&variable).is_none())
            else {
                continue;
            };
            if has("oauth") {
                draft.note(format!(
                    "Crush is logged in to {0} with a subscription, which is left as it is. To use the pool's keys \
                     instead, put \"providers\": {{ \"{0}\": {{ \"base_url\": \"{to}\", \"api_key\": \"pool\" }} }} \
                     into {1}.",
                    built_in.id,
                    global.display()
                ));
            } else if has("api_key") || chosen || draft.has_var(built_in.keys) {
                draft.set(&global, Format::Json, entry("base_url"), to);
            }
        }
        if draft.document(&global).is_none()
            && !draft.leads()
            && let Some(pool) = aim.pools.first()
        {
            draft.note(format!(
                "If Crush reads {0}, put this line with the name and path of your provider at its end: provider add NAME \
                 --base-url {1}/PATH. That script is not changed here.",
                script.display(),
                pool.base
            ));
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "Crush"
    }
}
