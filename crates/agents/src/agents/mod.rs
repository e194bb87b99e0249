//! The agents that `setup` knows, one file for each.

mod aider;
mod claude_code;
mod cline;
mod codex;
mod compat;
mod continue_dev;
mod copilot;
mod crush;
mod draft;
mod droid;
mod gemini_cli;
mod goose;
mod hermes;
mod kimi_code;
mod llm;
mod mistral_vibe;
mod openclaw;
mod opencode;
mod pi;
mod qwen_code;
#[cfg(test)]
mod testing;
mod zed;

use crate::agent::Agent;

/// All of them, in the order in which they are shown.
pub const AGENTS: &[&dyn Agent] = &[
    &hermes::Hermes,
    &opencode::OpenCode,
    &claude_code::ClaudeCode,
    &codex::Codex,
    &crush::Crush,
    &goose::Goose,
    &qwen_code::QwenCode,
    &gemini_cli::GeminiCli,
    &kimi_code::KimiCode,
    &mistral_vibe::MistralVibe,
    &pi::Pi,
    &aider::Aider,
    &continue_dev::ContinueDev,
    &llm::Llm,
    &cline::Cline,
    &openclaw::OpenClaw,
    &zed::Zed,
    &droid::Droid,
    &copilot::Copilot,
];

/// The agent that `--only` and `--except` call so.
pub fn called(id: &str) -> Option<&'static dyn Agent> {
    AGENTS.iter().copied().find(|agent| agent.id() == id)
}
