//! What the pi library guesses from a model's URL, written down before the URL no longer says it.
//!
//! pi and OpenClaw decide by the host how to ask for thinking, which field limits the tokens, and whether the
//! provider knows the `developer` role. Behind the proxy the host is `127.0.0.1`, so that what was guessed
//! must stand in the file. Source: `detectCompat` in `dist/api/openai-completions.js` of
//! `@earendil-works/pi-ai` 1.5.2; the same names are read by 0.73.1 and by OpenClaw 2026.9.6.

use serde_json::Value;

use super::draft::Draft;
use crate::agent::Document;
use crate::text::Path;

/// Part of a URL, the providers' names by which pi knows the same, and what follows from it.
struct Known {
    host: &'static str,
    named: &'static [&'static str],
    flags: &'static [(&'static str, Flag)],
}

#[derive(Clone, Copy)]
enum Flag {
    No,
    Yes,
    Text(&'static str),
}

const STORE: (&str, Flag) = ("supportsStore", Flag::No);
const DEVELOPER: (&str, Flag) = ("supportsDeveloperRole", Flag::No);
const EFFORT: (&str, Flag) = ("supportsReasoningEffort", Flag::No);
const MAX_TOKENS: (&str, Flag) = ("maxTokensField", Flag::Text("max_tokens"));

const fn thinking(format: &'static str) -> (&'static str, Flag) {
    ("thinkingFormat", Flag::Text(format))
}

const KNOWN: &[Known] = &[
    Known {
        host: "api.z.ai",
        named: &["zai", "zai-coding-cn"],
        flags: &[STORE, DEVELOPER, EFFORT, MAX_TOKENS, thinking("zai")],
    },
    Known {
        host: "open.bigmodel.cn",
        named: &["zai", "zai-coding-cn"],
        flags: &[STORE, DEVELOPER, EFFORT, MAX_TOKENS, thinking("zai")],
    },
    Known {
        host: "deepseek.com",
        named: &["deepseek"],
        flags: &[
            STORE,
            DEVELOPER,
            MAX_TOKENS,
            ("requiresReasoningContentOnAssistantMessages", Flag::Yes),
            thinking("deepseek"),
        ],
    },
    Known {
        host: "openrouter.ai",
        named: &["openrouter"],
        flags: &[DEVELOPER, thinking("openrouter")],
    },
    Known {
        host: "api.moonshot.",
        named: &["moonshotai", "moonshotai-cn"],
        flags: &[STORE, DEVELOPER, EFFORT, MAX_TOKENS],
    },
    Known {
        host: "api.together.",
        named: &["together"],
        flags: &[STORE, DEVELOPER, EFFORT, MAX_TOKENS, thinking("together")],
    },
    Known {
        host: "api.x.ai",
        named: &["xai"],
        flags: &[STORE, DEVELOPER, EFFORT],
    },
    Known {
        host: "cerebras.ai",
        named: &["cerebras"],
        flags: &[STORE, DEVELOPER],
    },
    Known {
        host: "chutes.ai",
        named: &[],
        flags: &[STORE, DEVELOPER, MAX_TOKENS],
    },
    Known {
        host: "opencode.ai",
        named: &["opencode"],
        flags: &[STORE, DEVELOPER],
    },
    Known {
        host: "integrate.api.nvidia.com",
        named: &["nvidia"],
        flags: &[STORE, DEVELOPER, EFFORT, MAX_TOKENS],
    },
];

/// Who reads the flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// It knows a provider by its name too, whatever the URL.
    Pi,
    /// It takes what is behind a loopback URL for a plain server, without `store`, `developer` and reasoning
    /// effort, whatever its name.
    OpenClaw,
}

/// Adds to `compat` what followed from `url`, where the person has not decided it.
pub(super) fn keep(
    draft: &mut Draft<'_>,
    document: &Document,
    compat: &Path,
    url: &str,
    provider: &str,
    reader: Reader,
) {
    let url = url.to_ascii_lowercase();
    let Some(known) = KNOWN.iter().find(|known| url.contains(known.host)) else {
        return;
    };
    if reader == Reader::Pi && known.named.contains(&provider) {
        return;
    }
    for (name, flag) in known.flags {
        let value = match flag {
            Flag::No if reader == Reader::OpenClaw => continue,
            Flag::No => Value::Bool(false),
            Flag::Yes => Value::Bool(true),
            Flag::Text(text) => Value::from(*text),
        };
        draft.add(document, compat.key(name), value);
    }
}
