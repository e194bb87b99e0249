//! Where ids of objects stand, by provider, and how they look. Each row names where it is from.

use crate::object::Keeping;

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// In the path, behind this segment. The flag says whether the segment at the end is a list.
    Segment(&'static str, bool),
    /// In the query, by this name …
    Query(&'static str),
    /// … or only behind a path that ends so.
    QueryOf(&'static str, &'static str),
    /// In the body: the string by this name, those in a list of this name, or the `id` in an
    /// object of this name.
    Body(&'static str),
    /// In the body: `id` of an element of `input` that only stands for an item.
    Item,
    /// In an answer: the string by this name.
    Answer(&'static str),
    /// In the head of an answer.
    Header(&'static str),
    /// It is the credential of a request.
    Credential,
}

/// How an id looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// With one of these beginnings.
    Begin(&'static [&'static str]),
    /// With a digit in it: no word that could stand there has one.
    Digit,
    /// A UUID, as agents' own ids are: only where nothing else is written so.
    Uuid,
    /// Google's names, chosen by people as well: what follows the last `/`, in a path of one of
    /// its versions or behind this word.
    Name(&'static str),
    /// Anything.
    Any,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Whose it is.
    pub provider: &'static str,
    /// What it is.
    pub object: &'static str,
    /// Where it stands.
    pub at: At,
    /// How it looks.
    pub ids: Ids,
    /// Who keeps it.
    pub keeping: Keeping,
    /// Where that is said.
    pub source: &'static str,
}

impl Ids {
    /// The id in `value`, if it is one; in a path of Google's if `google` says so.
    pub(super) fn read(self, value: &[u8], google: bool) -> Option<&[u8]> {
        if value.is_empty() || value.len() > super::MAX_ID {
            return None;
        }
        let is_id = match self {
            Self::Begin(begins) => begins
                .iter()
                .any(|begin| value.len() > begin.len() && value.starts_with(begin.as_bytes())),
            Self::Digit => value.iter().any(u8::is_ascii_digit) && !value.contains(&b'/'),
            Self::Uuid => is_uuid(value),
            Self::Name(word) => return name(value, word, google),
            Self::Any => true,
        };
        is_id.then_some(value)
    }
}

fn is_uuid(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let fits = |digits: usize| {
        let part = parts.next();
        part.is_some_and(|part| part.len() == digits && part.iter().all(u8::is_ascii_hexdigit))
    };
    [8, 4, 4, 4, 12].into_iter().all(fits) && value.len() == 36
}

/// The last part of one of Google's names: `files/a-b`, `https://…/v1beta/files/a-b`.
fn name<'v>(value: &'v [u8], word: &str, google: bool) -> Option<&'v [u8]> {
    let until = |value: &'v [u8], end: u8| value.split(move |byte| *byte == end).next();
    let mut parts = until(value, b'?')?.rsplit(|byte| *byte == b'/');
    let last = until(parts.next()?, b':').filter(|last| !last.is_empty())?;
    match parts.next() {
        // A bucket's path is nobody's file.
        Some(collection) if collection == word.as_bytes() => {
            (!value.starts_with(b"gs:")).then_some(last)
        }
        Some(_) => None,
        None => google.then_some(last),
    }
}

const fn row(
    provider: &'static str,
    object: &'static str,
    at: At,
    ids: Ids,
    keeping: Keeping,
    source: &'static str,
) -> Row {
    Row {
        provider,
        object,
        at,
        ids,
        keeping,
        source,
    }
}

const OPENAI: &str = "OpenAI";
const ANTHROPIC: &str = "Anthropic";
const GEMINI: &str = "Gemini";
const OPENAPI: &str = "openai-openapi";
const OPENAI_SDK: &str = "openai-python resources";
const ANTHROPIC_SDK: &str = "anthropic-sdk-python resources/beta";
const GENAI: &str = "google-genai";
const UNSURE: &str = "unconfirmed";

const STORED: Keeping = Keeping::Stored;
const ANSWER: Keeping = Keeping::Answer;

const FILES: Ids = Ids::Begin(&["file-", "file_", "cfile_", "assistant-"]);
const CONTAINERS: Ids = Ids::Begin(&["cntr_", "container_"]);
/// Items of responses that stand for themselves.
pub(super) const ITEMS: &[&str] = &[
    "msg_", "rs_", "fc_", "fs_", "ws_", "ci_", "ig_", "mcp_", "mcpl_", "mcpr_", "cmp_", "cu_",
    "ctc_",
];

/// How credentials begin that a provider issues for one client.
pub(super) const ISSUED: &[&str] = &["ek_", "auth_tokens/"];

/// The table. Of rows that look in the same place the first whose ids look so decides.
#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    row(OPENAI, "response", At::Segment("responses", false), Ids::Digit, ANSWER, OPENAPI),
    row(OPENAI, "response", At::Body("previous_response_id"), Ids::Any, ANSWER, OPENAPI),
    row(OPENAI, "conversation", At::Segment("conversations", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "conversation", At::Body("conversation"), Ids::Begin(&["conv_"]), STORED, OPENAPI),
    row(OPENAI, "item", At::Segment("items", false), Ids::Begin(ITEMS), ANSWER, OPENAPI),
    row(OPENAI, "item", At::Item, Ids::Begin(ITEMS), ANSWER, OPENAPI),
    row(OPENAI, "sealed reasoning", At::Body("encrypted_content"), Ids::Any, Keeping::Sealed, "openai/codex; litellm encrypted_content_affinity"),
    row(OPENAI, "stored chat", At::Segment("completions", true), Ids::Digit, ANSWER, OPENAPI),
    row(OPENAI, "file", At::Segment("files", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "file", At::Body("file_id"), FILES, STORED, OPENAPI),
    row(OPENAI, "file", At::Body("file_ids"), FILES, STORED, OPENAPI),
    row(OPENAI, "file", At::Body("input_file_id"), FILES, STORED, OPENAPI),
    row(OPENAI, "file", At::Body("training_file"), FILES, STORED, OPENAPI),
    row(OPENAI, "file", At::Body("validation_file"), FILES, STORED, OPENAPI),
    row(OPENAI, "upload", At::Segment("uploads", false), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "upload's part", At::Body("part_ids"), Ids::Begin(&["part_"]), STORED, OPENAPI),
    row(OPENAI, "batch", At::Segment("batches", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "fine-tuning", At::Segment("jobs", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "checkpoint", At::Segment("checkpoints", false), Ids::Begin(&["ftckpt_", "ft:"]), STORED, OPENAPI),
    row(OPENAI, "fine-tuned model", At::Segment("models", false), Ids::Begin(&["ft:"]), STORED, OPENAPI),
    row(OPENAI, "fine-tuned model", At::Body("model"), Ids::Begin(&["ft:"]), STORED, OPENAPI),
    row(OPENAI, "eval", At::Segment("evals", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "vector store", At::Segment("vector_stores", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "vector store", At::Body("vector_store_ids"), Ids::Begin(&["vs_"]), STORED, OPENAPI),
    row(OPENAI, "file batch", At::Segment("file_batches", false), Ids::Begin(&["vsfb_"]), STORED, OPENAPI),
    row(OPENAI, "assistant", At::Segment("assistants", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "assistant", At::Body("assistant_id"), Ids::Begin(&["asst_"]), STORED, OPENAPI),
    row(OPENAI, "thread", At::Segment("threads", false), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "thread", At::Body("thread_id"), Ids::Begin(&["thread_", "cthr_"]), STORED, OPENAPI),
    row(OPENAI, "run", At::Segment("runs", false), Ids::Begin(&["run_", "evalrun_"]), STORED, OPENAPI),
    row(OPENAI, "run step", At::Segment("steps", false), Ids::Begin(&["step_"]), STORED, OPENAPI),
    row(OPENAI, "container", At::Segment("containers", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "container", At::Body("container"), CONTAINERS, STORED, "openai-openapi; anthropic-sdk-python"),
    row(OPENAI, "skill", At::Segment("skills", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "skill", At::Body("skill_id"), Ids::Begin(&["skill_"]), STORED, "openai-openapi; anthropic-sdk-python"),
    row(OPENAI, "video", At::Segment("videos", true), Ids::Digit, STORED, OPENAPI),
    row(OPENAI, "video", At::Body("video_id"), Ids::Begin(&["video_"]), STORED, OPENAPI),
    row(OPENAI, "voice", At::Segment("voices", true), Ids::Begin(&["voice_"]), STORED, OPENAPI),
    row(OPENAI, "voice", At::Body("voice"), Ids::Begin(&["voice_"]), STORED, OPENAPI),
    row(OPENAI, "call", At::Segment("calls", false), Ids::Digit, STORED, OPENAI_SDK),
    row(OPENAI, "call", At::Query("call_id"), Ids::Begin(&["rtc_"]), STORED, OPENAI_SDK),
    row(OPENAI, "call", At::Header("location"), Ids::Digit, STORED, OPENAI_SDK),
    row(OPENAI, "client secret", At::Answer("value"), Ids::Begin(ISSUED), ANSWER, OPENAI_SDK),
    row(OPENAI, "client secret", At::Credential, Ids::Begin(ISSUED), ANSWER, OPENAI_SDK),
    row(ANTHROPIC, "session of a managed agent", At::Segment("sessions", true), Ids::Begin(&["sesn_"]), STORED, ANTHROPIC_SDK),
    row(ANTHROPIC, "environment", At::Segment("environments", true), Ids::Begin(&["env_"]), STORED, ANTHROPIC_SDK),
    row(ANTHROPIC, "environment", At::Body("environment_id"), Ids::Begin(&["env_"]), STORED, ANTHROPIC_SDK),
    row(ANTHROPIC, "agent", At::Segment("agents", true), Ids::Digit, STORED, ANTHROPIC_SDK),
    row(ANTHROPIC, "agent", At::Body("agent"), Ids::Begin(&["agent_"]), STORED, ANTHROPIC_SDK),
    row(ANTHROPIC, "vault", At::Segment("vaults", true), Ids::Begin(&["vlt_"]), STORED, ANTHROPIC_SDK),
    row(ANTHROPIC, "vault", At::Body("vault_ids"), Ids::Begin(&["vlt_"]), STORED, ANTHROPIC_SDK),
    row(GEMINI, "file", At::Segment("files", true), Ids::Name("files"), STORED, GENAI),
    row(GEMINI, "file", At::Body("fileUri"), Ids::Name("files"), STORED, GENAI),
    row(GEMINI, "file", At::Body("file_uri"), Ids::Name("files"), STORED, GENAI),
    row(GEMINI, "file", At::Body("fileName"), Ids::Name("files"), STORED, GENAI),
    row(GEMINI, "file", At::Body("file_name"), Ids::Name("files"), STORED, GENAI),
    row(GEMINI, "file search store", At::Segment("fileSearchStores", true), Ids::Name("fileSearchStores"), STORED, GENAI),
    row(GEMINI, "file search store", At::Body("fileSearchStoreNames"), Ids::Name("fileSearchStores"), STORED, GENAI),
    row(GEMINI, "file search store", At::Body("file_search_store_names"), Ids::Name("fileSearchStores"), STORED, GENAI),
    row(GEMINI, "interaction", At::Segment("interactions", false), Ids::Any, STORED, UNSURE),
    row(GEMINI, "interaction", At::Body("previous_interaction_id"), Ids::Any, STORED, UNSURE),
    row(GEMINI, "cached content", At::Segment("cachedContents", true), Ids::Name("cachedContents"), STORED, GENAI),
    row(GEMINI, "cached content", At::Body("cachedContent"), Ids::Name("cachedContents"), STORED, GENAI),
    row(GEMINI, "cached content", At::Body("cached_content"), Ids::Name("cachedContents"), STORED, GENAI),
    row(GEMINI, "tuned model", At::Segment("tunedModels", true), Ids::Name("tunedModels"), STORED, GENAI),
    row(GEMINI, "batch", At::Segment("batches", true), Ids::Name("batches"), STORED, GENAI),
    row(GEMINI, "operation", At::Segment("operations", false), Ids::Name("operations"), STORED, GENAI),
    row(GEMINI, "upload", At::Query("upload_id"), Ids::Any, STORED, GENAI),
    row(GEMINI, "upload", At::Header("x-goog-upload-url"), Ids::Any, STORED, GENAI),
    row("Z.ai", "task", At::Segment("async-result", false), Ids::Digit, STORED, UNSURE),
    row("xAI", "deferred answer", At::Segment("deferred-completion", false), Ids::Digit, ANSWER, UNSURE),
    row("Mistral", "agent", At::Body("agent_id"), Ids::Begin(&["ag_", "ag:", "agent_"]), STORED, UNSURE),
    row("Mistral", "file", At::Body("file_id"), Ids::Uuid, STORED, UNSURE),
    row("Mistral", "file", At::Body("input_files"), Ids::Uuid, STORED, UNSURE),
    row("Mistral", "library", At::Segment("libraries", true), Ids::Digit, STORED, UNSURE),
    row("OpenRouter", "generation", At::QueryOf("/generation", "id"), Ids::Any, ANSWER, "OpenRouter API reference"),
    row("OpenRouter", "generation", At::Header("x-generation-id"), Ids::Any, ANSWER, "OpenRouter API reference"),
    row("DashScope", "task", At::Segment("tasks", false), Ids::Digit, STORED, UNSURE),
    row("MiniMax", "task", At::Query("task_id"), Ids::Digit, STORED, UNSURE),
    row("MiniMax", "file", At::Query("file_id"), Ids::Digit, STORED, UNSURE),
    row("any", "object", At::Answer("id"), Ids::Any, STORED, "top of the answer, `response`, `conversation`, `container`, `data[]`, `output[]`"),
    row("any", "object made along", At::Answer("output_file_id"), Ids::Any, STORED, OPENAPI),
    row("any", "object made along", At::Answer("error_file_id"), Ids::Any, STORED, OPENAPI),
    row("any", "object made along", At::Answer("thread_id"), Ids::Any, STORED, OPENAPI),
    row("any", "object made along", At::Answer("container_id"), Ids::Any, STORED, OPENAPI),
    row("any", "task", At::Answer("task_id"), Ids::Digit, STORED, UNSURE),
    row(GEMINI, "object", At::Answer("name"), Ids::Any, STORED, GENAI),
    row(OPENAI, "fine-tuned model", At::Answer("fine_tuned_model"), Ids::Begin(&["ft:"]), STORED, OPENAPI),
    row(OPENAI, "sealed reasoning", At::Answer("encrypted_content"), Ids::Any, Keeping::Sealed, "openai/codex"),
];
