//! A model call as the mock understands it, parsed from any dialect.

use serde_json::Value;

use crate::dialect::tool::ToolCall;
use crate::dialect::{Route, words};
use crate::prompt::{Prompt, PromptHasher};
use crate::stub::Stub;

/// A parsed model call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// `stream_options.include_usage` of a chat call.
    pub(crate) include_usage: bool,
    /// Length of the answer in tokens.
    pub(crate) output_tokens: u64,
    /// The tool the answer calls; `None`: the answer is text.
    pub(crate) tool: Option<ToolCall>,
    /// The text that a stub gives the answer.
    text: Option<String>,
    /// The tools as the request gave them, echoed by the Responses API.
    pub(crate) tools: Value,
    pub(crate) prompt: Prompt,
    /// Seeds of the embedded inputs, in order.
    pub(crate) inputs: Vec<u64>,
    /// Embeddings as base64 instead of numbers.
    pub(crate) base64: bool,
    /// Gemini: server-sent events instead of a JSON array.
    pub(crate) sse: bool,
    /// Responses: whether the answer brings sealed reasoning.
    pub(crate) seals: bool,
}

/// What parsing needs to know of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallDefaults {
    pub(crate) output_tokens: u32,
    pub(crate) max_output_tokens: u32,
    pub(crate) block_tokens: usize,
    pub(crate) keeps_objects: bool,
}

impl Call {
    /// Parses a request body; the error is the message of a 400.
    pub(crate) fn parse(
        route: Route,
        target: &str,
        body: &[u8],
        defaults: CallDefaults,
        stub: Option<&Stub>,
    ) -> Result<Self, String> {
        let request: Value = serde_json::from_slice(body).map_err(|error| {
            format!("We could not parse the JSON body of your request: {error}")
        })?;
        if !request.is_object() {
            return Err("The request body must be a JSON object.".to_owned());
        }
        let gemini = matches!(route, Route::Generate | Route::StreamGenerate);
        let model = if gemini {
            model_of_path(target)
        } else {
            request
                .get("model")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        if model.is_empty() {
            return Err("you must provide a model parameter".to_owned());
        }
        let mut hasher = PromptHasher::new(&model, defaults.block_tokens);
        feed(route, &request, &mut hasher);
        let prompt = hasher.finish();
        let tool = match stub {
            None => tool(route, &request, None),
            Some(stub) => stub
                .tool
                .as_deref()
                .and_then(|name| tool(route, &request, Some(name)))
                .map(|call| call.with(&stub.arguments)),
        };
        let text = stub.and_then(|stub| stub.text.clone());
        let output_tokens = match &tool {
            _ if route == Route::Embeddings => 0,
            Some(tool) => tool.tokens(),
            None => match &text {
                Some(text) => words::split(text).count() as u64,
                None => wanted_tokens(&request)
                    .unwrap_or(u64::from(defaults.output_tokens))
                    .min(u64::from(defaults.max_output_tokens)),
            },
        };
        let inputs = if route == Route::Embeddings {
            inputs(&request)
        } else {
            Vec::new()
        };
        let stream_options = request.get("stream_options");
        Ok(Self {
            stream: flag(Some(&request), "stream") || route == Route::StreamGenerate,
            include_usage: flag(stream_options, "include_usage"),
            output_tokens,
            tool,
            text,
            tools: request
                .get("tools")
                .cloned()
                .unwrap_or_else(|| Value::Array(Vec::new())),
            prompt,
            inputs,
            base64: request.get("encoding_format").and_then(Value::as_str) == Some("base64"),
            sse: target.contains("alt=sse"),
            seals: defaults.keeps_objects && wants_sealed(&request),
            model,
        })
    }

    /// The text of the answer, one piece per output token.
    pub(crate) fn pieces(&self) -> Vec<String> {
        match &self.text {
            Some(text) => words::split(text).map(str::to_owned).collect(),
            None => words::pieces(self.prompt.seed, self.output_tokens).collect(),
        }
    }

    /// The text of the answer.
    pub(crate) fn text(&self) -> String {
        self.pieces().concat()
    }
}

fn wants_sealed(request: &Value) -> bool {
    let included = request.get("include").and_then(Value::as_array);
    included.is_some_and(|list| {
        list.iter()
            .any(|name| name == "reasoning.encrypted_content")
    })
}

fn flag(object: Option<&Value>, name: &str) -> bool {
    object
        .and_then(|object| object.get(name))
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// `/v1beta/models/gemini-x:generateContent?alt=sse` → `gemini-x`
fn model_of_path(target: &str) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rsplit_once(':')
        .map_or(last, |(model, _)| model)
        .to_owned()
}

/// The first member of a request that limits the length of the answer.
fn wanted_tokens(request: &Value) -> Option<u64> {
    ["max_completion_tokens", "max_output_tokens", "max_tokens"]
        .iter()
        .find_map(|name| request.get(name).and_then(Value::as_u64))
        .or_else(|| {
            request
                .get("generationConfig")?
                .get("maxOutputTokens")?
                .as_u64()
        })
}

/// Feeds the prompt in the order a provider reads it: tools, system, then the conversation.
fn feed(route: Route, request: &Value, hasher: &mut PromptHasher) {
    if let Some(tools) = request.get("tools") {
        hasher.value(tools);
    }
    match route {
        Route::Messages | Route::CountTokens => {
            if let Some(system) = request.get("system") {
                hasher.text("system");
                hasher.content(system);
            }
            hasher.messages(request.get("messages"));
        }
        Route::Responses => {
            if let Some(instructions) = request.get("instructions").and_then(Value::as_str) {
                hasher.text("system");
                hasher.text(instructions);
            }
            match request.get("input") {
                Some(Value::String(text)) => {
                    hasher.text("user");
                    hasher.text(text);
                }
                input => hasher.messages(input),
            }
        }
        Route::Generate | Route::StreamGenerate => {
            let system = request.get("systemInstruction");
            if let Some(system) = system.or_else(|| request.get("system_instruction")) {
                hasher.text("system");
                hasher.message(system);
            }
            hasher.messages(request.get("contents"));
        }
        Route::Completions => hasher.messages(request.get("prompt")),
        Route::Embeddings => hasher.messages(request.get("input")),
        _ => hasher.messages(request.get("messages")),
    }
}

/// The tool call the answer makes: of the tool that is `wanted`, else the first, among those that have a
/// schema of their own, unless tools are switched off or the conversation ends with a tool's result.
fn tool(route: Route, request: &Value, wanted: Option<&str>) -> Option<ToolCall> {
    let is_wanted = |tool: &&Value| {
        let name = tool.get("name").and_then(Value::as_str);
        wanted.is_none_or(|wanted| name == Some(wanted))
    };
    let tools = request.get("tools")?.as_array()?;
    let choice = request.get("tool_choice");
    let none = choice.and_then(Value::as_str) == Some("none")
        || choice
            .and_then(|choice| choice.get("type"))
            .and_then(Value::as_str)
            == Some("none");
    if none {
        return None;
    }
    let last = |member: &str| request.get(member).and_then(Value::as_array)?.last();
    match route {
        Route::Chat => {
            let role = last("messages")
                .and_then(|last| last.get("role"))
                .and_then(Value::as_str);
            if matches!(role, Some("tool" | "function")) {
                return None;
            }
            let mut functions = tools.iter().filter_map(|tool| tool.get("function"));
            named(functions.find(is_wanted)?, "parameters")
        }
        Route::Responses => {
            let kind = last("input")
                .and_then(|last| last.get("type"))
                .and_then(Value::as_str);
            if kind.is_some_and(|kind| kind.ends_with("_output")) {
                return None;
            }
            let is_function =
                |tool: &&Value| tool.get("type").and_then(Value::as_str) == Some("function");
            let mut functions = tools.iter().filter(is_function);
            named(functions.find(is_wanted)?, "parameters")
        }
        Route::Messages => {
            let parts = last("messages").and_then(|last| last.get("content"));
            let result = parts.and_then(Value::as_array).is_some_and(|parts| {
                parts
                    .iter()
                    .any(|part| part.get("type").and_then(Value::as_str) == Some("tool_result"))
            });
            if result {
                return None;
            }
            let mut own = tools
                .iter()
                .filter(|tool| tool.get("input_schema").is_some());
            named(own.find(is_wanted)?, "input_schema")
        }
        Route::Generate | Route::StreamGenerate => {
            let parts = last("contents").and_then(|last| last.get("parts"));
            let result = parts.and_then(Value::as_array).is_some_and(|parts| {
                parts
                    .iter()
                    .any(|part| part.get("functionResponse").is_some())
            });
            if result {
                return None;
            }
            let mut declared = tools
                .iter()
                .filter_map(|tool| tool.get("functionDeclarations")?.as_array())
                .flatten();
            named(declared.find(is_wanted)?, "parameters")
        }
        _ => None,
    }
}

fn named(function: &Value, schema: &str) -> Option<ToolCall> {
    Some(ToolCall::new(
        function.get("name")?.as_str()?,
        function.get(schema),
    ))
}

/// A seed per embedded input: a string or token list is one input, a list of those is many.
fn inputs(request: &Value) -> Vec<u64> {
    let seed = |value: &Value| {
        let mut hasher = PromptHasher::new("", 1);
        hasher.value(value);
        hasher.finish().seed
    };
    match request.get("input") {
        Some(Value::Array(items)) if !items.iter().all(Value::is_number) => {
            items.iter().map(seed).collect()
        }
        Some(input) => vec![seed(input)],
        None => Vec::new(),
    }
}
