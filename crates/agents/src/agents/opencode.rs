//! OpenCode: `opencode.json` or `.jsonc`, for everything, for a project, and where a variable says.
//!
//! Source: opencode-ai 1.18.33, run; anomalyco/opencode packages/opencode/src/config/{config,paths}.ts; the
//! built-in providers from models.dev (providers/*/provider.toml) and the AI SDK. Files are merged, the later
//! ones win: those of `~/.config/opencode` (on Windows too), `OPENCODE_CONFIG`, the project's, those of
//! `.opencode` directories, `OPENCODE_CONFIG_DIR`, `OPENCODE_CONFIG_CONTENT`. It sends its session id by itself.

use std::path::PathBuf;

use serde_json::Value;

use super::draft::{BuiltIn, Draft, any_text, instead, names};
use crate::agent::{Agent, Candidate, Document, Machine, Proposal};
use crate::aim::Aim;
use crate::text::{Format, Path};

const INLINE: &str = "OPENCODE_CONFIG_CONTENT";

/// Those it has a base URL for, the ones of the AI SDK's packages included.
const BUILT_IN: &[BuiltIn] = &[
    built_in(
        "alibaba",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        &["DASHSCOPE_API_KEY"],
    ),
    built_in(
        "alibaba-coding-plan",
        "https://coding-intl.dashscope.aliyuncs.com/v1",
        &["ALIBABA_CODING_PLAN_API_KEY"],
    ),
    built_in(
        "anthropic",
        "https://api.anthropic.com/v1",
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
        "https://api.deepseek.com",
        &["DEEPSEEK_API_KEY"],
    ),
    built_in(
        "fireworks-ai",
        "https://api.fireworks.ai/inference/v1/",
        &["FIREWORKS_API_KEY"],
    ),
    built_in(
        "google",
        "https://generativelanguage.googleapis.com/v1beta",
        &[
            "GOOGLE_API_KEY",
            "GOOGLE_GENERATIVE_AI_API_KEY",
            "GEMINI_API_KEY",
        ],
    ),
    built_in("groq", "https://api.groq.com/openai/v1", &["GROQ_API_KEY"]),
    built_in(
        "huggingface",
        "https://router.huggingface.co/v1",
        &["HF_TOKEN"],
    ),
    built_in(
        "kimi-for-coding",
        "https://api.kimi.com/coding/v1",
        &["KIMI_API_KEY"],
    ),
    built_in(
        "minimax",
        "https://api.minimax.io/anthropic/v1",
        &["MINIMAX_API_KEY"],
    ),
    built_in(
        "minimax-cn",
        "https://api.minimaxi.com/anthropic/v1",
        &["MINIMAX_API_KEY"],
    ),
    built_in(
        "minimax-cn-coding-plan",
        "https://api.minimaxi.com/anthropic/v1",
        &["MINIMAX_API_KEY"],
    ),
    built_in(
        "minimax-coding-plan",
        "https://api.minimax.io/anthropic/v1",
        &["MINIMAX_API_KEY"],
    ),
    built_in("mistral", "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"]),
    built_in(
        "moonshotai",
        "https://api.moonshot.ai/v1",
        &["MOONSHOT_API_KEY"],
    ),
    built_in(
        "moonshotai-cn",
        "https://api.moonshot.cn/v1",
        &["MOONSHOT_API_KEY"],
    ),
    built_in(
        "nano-gpt",
        "https://nano-gpt.com/api/v1",
        &["NANO_GPT_API_KEY"],
    ),
    built_in(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        &["NVIDIA_API_KEY"],
    ),
    built_in("openai", "https://api.openai.com/v1", &["OPENAI_API_KEY"]),
    built_in(
        "opencode",
        "https://opencode.ai/zen/v1",
        &["OPENCODE_API_KEY"],
    ),
    built_in(
        "opencode-go",
        "https://opencode.ai/zen/go/v1",
        &["OPENCODE_API_KEY"],
    ),
    built_in(
        "openrouter",
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY"],
    ),
    built_in(
        "requesty",
        "https://router.requesty.ai/v1",
        &["REQUESTY_API_KEY"],
    ),
    built_in(
        "siliconflow",
        "https://api.siliconflow.com/v1",
        &["SILICONFLOW_API_KEY"],
    ),
    built_in(
        "stepfun",
        "https://api.stepfun.com/v1",
        &["STEPFUN_API_KEY"],
    ),
    built_in(
        "synthetic",
        "https://api.synthetic.new/openai/v1",
        &["SYNTHETIC_API_KEY"],
    ),
    built_in(
        "togetherai",
        "https://api.together.xyz/v1",
        &["TOGETHER_API_KEY"],
    ),
    built_in("xai", "https://api.x.ai/v1", &["XAI_API_KEY"]),
    built_in(
        "xiaomi",
        "https://api.xiaomimimo.com/v1",
        &["XIAOMI_API_KEY"],
    ),
    built_in("zai", "https://api.z.ai/api/paas/v4", &["ZHIPU_API_KEY"]),
    built_in(
        "zai-coding-plan",
        "https://api.z.ai/api/coding/paas/v4",
        &["ZHIPU_API_KEY"],
    ),
    built_in(
        "zhipuai",
        "https://open.bigmodel.cn/api/paas/v4",
        &["ZHIPU_API_KEY"],
    ),
    built_in(
        "zhipuai-coding-plan",
        "https://open.bigmodel.cn/api/coding/paas/v4",
        &["ZHIPU_API_KEY"],
    ),
];

const fn built_in(id: &'static str, url: &'static str, keys: &'static [&'static str]) -> BuiltIn {
    BuiltIn { id, url, keys }
}

/// OpenCode.
#[derive(Debug)]
pub(super) struct OpenCode;

fn auth(machine: &Machine) -> PathBuf {
    let data = machine.dir("XDG_DATA_HOME", ".local/share");
    data.join("opencode").join("auth.json")
}

/// `provider.NAME.options.baseURL`
fn base_url(id: &str) -> Path {
    Path::of(&["provider", id, "options", "baseURL"])
}

fn is_url(name: &str) -> bool {
    matches!(name, "baseURL" | "api")
}

impl Agent for OpenCode {
    fn id(&self) -> &'static str {
        "opencode"
    }

    fn name(&self) -> &'static str {
        "OpenCode"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["opencode"]
    }

    fn candidates(&self, machine: &Machine) -> Vec<Candidate> {
        let json = |path: PathBuf, evidence| Candidate {
            path,
            format: Format::Json,
            evidence,
        };
        let both = |dir: PathBuf, evidence| {
            ["opencode.json", "opencode.jsonc"].map(|name| json(dir.join(name), evidence))
        };
        let own = machine.xdg_config().join("opencode");
        let mut found = vec![
            json(auth(machine), true),
            json(own.join("config.json"), true),
        ];
        found.extend(both(own, true));
        if let Some(path) = machine.var("OPENCODE_CONFIG") {
            found.push(json(PathBuf::from(path), true));
        }
        if let Some(project) = &machine.project {
            found.extend(both(project.clone(), false));
            found.extend(both(project.join(".opencode"), false));
        }
        found.extend(both(machine.home.join(".opencode"), true));
        if let Some(dir) = machine.var("OPENCODE_CONFIG_DIR") {
            found.extend(both(PathBuf::from(dir), true));
        }
        found
    }

    fn propose(&self, aim: &Aim, machine: &Machine, documents: &[Document]) -> Proposal {
        let mut draft = Draft::new(aim, machine, documents);
        let auth = auth(machine);
        let own = machine.xdg_config().join("opencode");
        let configs = || documents.iter().filter(|found| found.path != auth);
        for document in configs() {
            draft.urls(document, &Path::of(&["provider"]), is_url, |name| {
                name == "headers"
            });
        }
        if let Some(inline) = machine
            .var(INLINE)
            .and_then(|text| Format::Json.parse(text).ok())
            && names(&inline, &Path::of(&["provider"])).iter().any(|id| {
                base_url(id)
                    .find(&inline)
                    .and_then(Value::as_str)
                    .is_some_and(|url| instead(aim, url, "").is_some())
            })
        {
            draft.note(format!(
                "{INLINE} is set in the environment and wins over the files: change the \"baseURL\" where it is set."
            ));
        }

        let place = configs()
            .filter(|found| found.path.starts_with(&own))
            .map(|found| found.path.clone())
            .next_back()
            .unwrap_or_else(|| own.join("opencode.json"));
        for built_in in BUILT_IN {
            let Some(to) = instead(aim, built_in.url, "") else {
                continue;
            };
            let has_url = configs().any(|found| {
                base_url(built_in.id).find(&found.value).is_some()
                    || Path::of(&["provider", built_in.id, "api"])
                        .find(&found.value)
                        .is_some()
            });
            if has_url {
                continue;
            }
            let login = draft
                .document(&auth)
                .and_then(|found| found.value.get(built_in.id)?.get("type")?.as_str());
            let begin = format!("{}/", built_in.id);
            let chosen = configs().any(|found| {
                ["model", "small_model"].iter().any(|name| {
                    any_text(&found.value, name, &|model: &str| model.starts_with(&begin))
                }) || Path::of(&["provider", built_in.id])
                    .find(&found.value)
                    .is_some()
            });
            if login.is_some_and(|kind| kind == "oauth") {
                draft.note(format!(
                    "OpenCode is logged in to {0} with a subscription, which is left as it is. To use the pool's keys \
                     instead, log in to {0} with any text as the key, and put \"provider\": {{ \"{0}\": {{ \
                     \"options\": {{ \"baseURL\": \"{to}\" }} }} }} into {1}.",
                    built_in.id,
                    place.display()
                ));
            } else if login == Some("api") || chosen || draft.has_var(built_in.keys) {
                draft.set(&place, Format::Json, base_url(built_in.id), to);
            }
        }
        draft.finish()
    }

    fn restart(&self) -> &'static str {
        "OpenCode, and what runs it (kimaki, `opencode serve`)"
    }
}
