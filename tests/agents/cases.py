"""What is run: each agent with a configuration as a person may have it, and how its two turns are asked for.

Every configuration leads to the provider's own URL, or says none where the agent has a default. The keys in
them are made up.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Tuple

# A second turn names the session that the first one printed, or the agent is told its id beforehand.
Turn = Callable[["Session", str], List[str]]


@dataclass
class Session:
    """One conversation of two turns, in a directory of its own."""

    id: str  # different in every run: "a-3f9c"
    uuid: str
    directory: str

    @property
    def opening(self):
        return "opening-" + self.id

    @property
    def followup(self):
        return "followup-" + self.id

    @property
    def secret(self):
        """Stands in a file that only the tool can have read."""
        return "secret-" + self.id

    @property
    def first_prompt(self):
        return "Read the file note.txt in this directory and say what is in it. This is job %s." % self.opening

    @property
    def second_prompt(self):
        return "Thank you. What was in it, once more? This is job %s." % self.followup

    @property
    def first_answer(self):
        return "first-answer-" + self.id

    @property
    def second_answer(self):
        return "second-answer-" + self.id


@dataclass
class Case:
    """An agent with a configuration."""

    name: str
    program: str
    # What setup calls it.
    agent: str
    # The pool's target.
    target: str
    # Files in the home, before setup.
    files: Dict[str, str]
    first: Turn
    second: Turn
    # The rules that may recognise the conversation.
    rules: Tuple[str, ...]
    # The tool that reads a file, and its arguments with the path as {path}; none: the agent edits by its text.
    tool: str = ""
    arguments: Dict[str, str] = field(default_factory=dict)
    environment: Dict[str, str] = field(default_factory=dict)
    # What the model says to requests of the agent's own, before all that it says in the conversation.
    stubs: Tuple[Dict[str, str], ...] = ()
    # Why a resumed conversation is another one on the wire, which no account has read; then each turn counts alone.
    anew: str = ""
    # Words in requests of its own about a conversation, which offer tools like the conversation itself.
    aside: str = ""
    # If both turns are taken by one process: what is written to it in each.
    written: Optional[Callable[["Session"], List[str]]] = None
    # Hosts that it asks for lists of models, whoever its provider is.
    asks: Tuple[str, ...] = ()


def printed(pattern, output, what):
    """The session id that an agent printed."""
    found = re.search(pattern, output)
    # Without it the second turn fails, and shows why.
    return found.group(1) if found else "no-%s-printed" % what


CONTENT = ("fingerprint",)

CODEX_TOP = """\
# My Codex. Do not sync: the key is in auth.json.
model = "gpt-5.4"
model_reasoning_effort = "medium" # high is too slow
approval_policy = "on-request"
check_for_update_on_startup = false

"""
CODEX_END = """\
[analytics]
enabled = false

[history]
persistence = "save-all"   # I search in it
"""
CODEX_TABLE = """\
[model_providers.openrouter]
name = 'OpenRouter'
base_url = 'https://openrouter.ai/api/v1' # the usual one
env_key = "OPENROUTER_API_KEY"
wire_api = "responses"

"""
# The newest model, which is the default, is offered other tools.
CODEX_FLAGS = ["-m", "gpt-5.4", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]


def codex_second(session, output):
    found = printed(r"session id: ([0-9a-f-]{36})", output, "session-id")
    return ["exec", "resume"] + CODEX_FLAGS + [found, session.second_prompt]


def codex(name, target, files, rules, environment):
    return Case(
        name=name,
        program="codex",
        agent="codex",
        target=target,
        files=files,
        tool="exec_command",
        arguments={"cmd": "cat {path}"},
        first=lambda session, _: ["exec"] + CODEX_FLAGS + [session.first_prompt],
        second=codex_second,
        rules=rules,
        environment=environment,
    )


def opencode(name, model, target, files, rules):
    flags = ["run", "--print-logs", "--log-level", "INFO", "--auto", "-m", model]
    return Case(
        name=name,
        program="opencode",
        agent="opencode",
        target=target,
        files=files,
        tool="read",
        arguments={"filePath": "{path}"},
        first=lambda session, _: flags + [session.first_prompt],
        second=lambda session, output: flags
        + ["-s", printed(r"\b(ses_[0-9A-Za-z]+)", output, "session"), session.second_prompt],
        rules=rules,
        environment={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
    )


OPENCODE_OWN = """\
{
  "$schema": "https://opencode.ai/config.json",
  // the coding plan; its other URL counts against credit
  "provider": {
    "glm": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "GLM coding plan",
      "options": {
        "baseURL": "https://api.z.ai/api/coding/paas/v4", /* keep the path */
        "apiKey": "made-up-key-of-mine",
      },
      "models": { "glm-5": { "name": "GLM 5" } },
    },
  },
  "autoupdate": false,
  "share": "disabled",
}
"""
OPENCODE_PLAIN = """\
{
\t"$schema": "https://opencode.ai/config.json",
\t"autoupdate": false,
\t"share": "disabled"
}
"""
OPENCODE_AUTH = json.dumps({"openai": {"type": "api", "key": "made-up-key-of-mine"}}, indent=2)

CLAUDE_OWN = """\
{
  "$schema": "https://json.schemastore.org/claude-code-settings.json",
  "permissions": { "allow": ["Read(**)"], "deny": [] },
  "env": {
    "ANTHROPIC_BASE_URL": "https://api.z.ai/api/anthropic",
    "ANTHROPIC_AUTH_TOKEN": "made-up-key-of-mine",
    "DISABLE_TELEMETRY": "1"
  },
  "includeCoAuthoredBy": false
}
"""
CLAUDE_DEFAULT = """\
{
    "env": {
        "ANTHROPIC_API_KEY": "made-up-key-of-mine"
    },
    "cleanupPeriodDays": 365
}
"""
CLAUDE_FLAGS = ["-p", "--dangerously-skip-permissions", "--model", "claude-opus-5-5"]


def claude(name, target, settings, variables=None):
    return Case(
        name=name,
        program="claude",
        agent="claude-code",
        target=target,
        files={".claude/settings.json": settings} if settings else {},
        tool="Read",
        arguments={"file_path": "{path}"},
        first=lambda session, _: CLAUDE_FLAGS + ["--session-id", session.uuid, session.first_prompt],
        second=lambda session, _: CLAUDE_FLAGS + ["--resume", session.uuid, session.second_prompt],
        rules=("header x-claude-code-session-id",),
        # Root may not skip permissions unless it says that it is in a sandbox.
        environment={
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            **(variables or {}),
        },
    )


HERMES_NAMED = """\
# Hermes: the cheap one by day
model:
  default: "glm-5"        # or glm-5-air
  provider: custom:plan

custom_providers:
  - name: plan
    base_url: https://api.z.ai/api/coding/paas/v4   # not /paas/v4!
    api_key: made-up-key-of-mine

agent:
    max_turns: 30
"""
HERMES_MODEL = """\
model:
  default: anthropic/claude-opus-5
  provider: custom
  base_url: 'https://openrouter.ai/api/v1'
  api_key: made-up-key-of-mine
# memory costs a request each time
memory: {memory_enabled: false, user_profile_enabled: false}
"""


HERMES_BUILT_IN = """\
model: {default: anthropic/claude-opus-5, provider: openrouter}
"""
HERMES_ENV = """\
# the team's
export OPENROUTER_API_KEY='made-up-key-of-mine'

HERMES_TIMEZONE=UTC
"""


def hermes(name, target, files, rules=CONTENT):
    flags = ["chat", "-Q", "--yolo", "--max-turns", "8"]
    return Case(
        name=name,
        program="hermes",
        agent="hermes",
        target=target,
        files=files,
        tool="read_file",
        arguments={"path": "{path}"},
        first=lambda session, _: flags + ["-q", session.first_prompt],
        second=lambda session, output: flags
        + ["--resume", printed(r"session_id:\s*(\S+)", output, "session_id"), "-q", session.second_prompt],
        rules=rules,
        asks=("openrouter.ai",),
    )


GEMINI_SETTINGS = """\
{
  // no browser on this machine
  "security": { "auth": { "selectedType": "gemini-api-key" } },
  "general": { "enableAutoUpdate": false, "enableAutoUpdateNotification": false },
  "privacy": { "usageStatisticsEnabled": false },
  "telemetry": { "enabled": false }
}
"""
GEMINI_ENV = """\
# from AI Studio, project "notes"
GEMINI_API_KEY="made-up-key-of-mine"
GOOGLE_CLOUD_LOCATION=europe-west4
"""

QWEN_SETTINGS = """\
{
  "$version": 3,
  // the plan of the team
  "security": {
    "auth": {
      "selectedType": "openai",
      "apiKey": "made-up-key-of-mine",
      "baseUrl": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    }
  },
  "model": { "name": "qwen3-coder-plus" },
  "general": { "enableAutoUpdate": false },
  "privacy": { "usageStatisticsEnabled": false }
}
"""

AIDER_CONFIG = """\
## aider, for all projects
model: openai/gpt-4o
openai-api-key: made-up-key-of-mine
openai-api-base: https://api.openai.com/v1   # directly

gitignore: false
check-update: false
analytics-disable: true
"""
AIDER_ANEW = "aider puts its standing messages before the first prompt, and behind the history from then on"
AIDER_ENV = """\
# for aider and others
OPENROUTER_API_KEY=made-up-key-of-mine
"""
AIDER_FLAGS = [
    "--yes-always",
    "--no-git",
    "--no-pretty",
    "--no-show-model-warnings",
    "--no-suggest-shell-commands",
    "--no-detect-urls",
    "--edit-format",
    "diff",
]


def aider(name, model, target, files, resumed=True):
    flags = AIDER_FLAGS + (["--model", model] if model else [])
    return Case(
        name=name,
        anew=AIDER_ANEW,
        written=None if resumed else lambda session: [session.first_prompt + "\n", session.second_prompt + "\n"],
        program="aider",
        agent="aider",
        target=target,
        files=files,
        first=lambda session, _: flags + (["--message", session.first_prompt] if resumed else []),
        second=lambda session, _: flags + ["--restore-chat-history", "--message", session.second_prompt],
        rules=CONTENT,
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )


QWEN_FLAGS = ["--yolo", "--session-id"]
QWEN_STREAM = ["--input-format", "stream-json", "--output-format", "stream-json"]


def qwen(name, resumed=True):
    return Case(
        name=name,
        program="qwen",
        agent="qwen-code",
        target="https://dashscope-intl.aliyuncs.com",
        files={".qwen/settings.json": QWEN_SETTINGS},
        tool="read_file",
        arguments={"file_path": "{path}"},
        first=lambda session, _: QWEN_FLAGS + [session.uuid] + ([session.first_prompt] if resumed else QWEN_STREAM),
        second=lambda session, _: ["--yolo", "--resume", session.uuid, session.second_prompt],
        rules=CONTENT,
        anew="qwen takes the date out of the first message when it resumes" if resumed else "",
        aside="managed memory extraction",
        written=None if resumed else qwen_lines,
    )


def qwen_lines(session):
    def line(prompt):
        message = {"role": "user", "content": prompt}
        ids = {"session_id": session.uuid, "parent_tool_use_id": None}
        return json.dumps({"type": "user", "message": message, **ids}) + "\n"

    return [line(session.first_prompt), line(session.second_prompt)]


OPENAI = "https://api.openai.com"
ANTHROPIC = "https://api.anthropic.com"
OPENROUTER = "https://openrouter.ai/api/v1"
ZAI = "https://api.z.ai"

CASES = [
    opencode(
        "opencode, own provider",
        "glm/glm-5",
        ZAI,
        {".config/opencode/opencode.jsonc": OPENCODE_OWN},
        ("header x-session-affinity", "header x-session-id"),
    ),
    opencode(
        "opencode, OpenAI",
        "openai/gpt-5.4",
        OPENAI,
        {".config/opencode/opencode.json": OPENCODE_PLAIN, ".local/share/opencode/auth.json": OPENCODE_AUTH},
        ("header session-id",),
    ),
    codex(
        "codex, built-in",
        OPENAI,
        {
            ".codex/config.toml": CODEX_TOP + CODEX_END,
            ".codex/auth.json": json.dumps({"auth_mode": "apikey", "OPENAI_API_KEY": "made-up-key-of-mine"}),
        },
        ("header session-id",),
        {},
    ),
    codex(
        "codex, own provider",
        OPENROUTER,
        {".codex/config.toml": 'model_provider = "openrouter"\n' + CODEX_TOP + CODEX_TABLE + CODEX_END},
        ("header session-id",),
        {"OPENROUTER_API_KEY": "made-up-key-of-mine"},
    ),
    codex("codex, no files yet", OPENAI, {}, ("header session-id",), {"CODEX_API_KEY": "made-up-key-of-mine"}),
    claude("claude, Z.ai", ZAI, CLAUDE_OWN),
    claude("claude, no files yet", ANTHROPIC, "", {"ANTHROPIC_API_KEY": "made-up-key-of-mine"}),
    claude("claude, Anthropic", ANTHROPIC, CLAUDE_DEFAULT),
    hermes("hermes, named provider", ZAI, {".hermes/config.yaml": HERMES_NAMED}),
    hermes("hermes, model.base_url", OPENROUTER, {".hermes/config.yaml": HERMES_MODEL}),
    hermes(
        "hermes, built-in",
        OPENROUTER,
        {".hermes/config.yaml": HERMES_BUILT_IN, ".hermes/.env": HERMES_ENV},
        ("body session_id",),
    ),
    Case(
        name="gemini",
        program="gemini",
        agent="gemini-cli",
        target="https://generativelanguage.googleapis.com",
        files={".gemini/settings.json": GEMINI_SETTINGS, ".gemini/.env": GEMINI_ENV},
        tool="read_file",
        arguments={"file_path": "{path}"},
        first=lambda session, _: ["--yolo", "--skip-trust", "--session-id", session.uuid, "-p", session.first_prompt],
        second=lambda session, _: ["--yolo", "--skip-trust", "--resume", "latest", "-p", session.second_prompt],
        rules=CONTENT,
        # Its router asks a small model which one shall answer, ten times over if that says something else.
        stubs=({"when": "model_choice", "text": '{"reasoning": "It is simple.", "model_choice": "flash"}'},),
    ),
    qwen("qwen, resumed"),
    qwen("qwen, one process", resumed=False),
    aider("aider, one process", "", OPENAI, {".aider.conf.yml": AIDER_CONFIG, ".env": AIDER_ENV}, resumed=False),
    aider("aider, OpenAI", "", OPENAI, {".aider.conf.yml": AIDER_CONFIG, ".env": AIDER_ENV}),
    aider(
        "aider, OpenRouter",
        "openrouter/openai/gpt-4o",
        OPENROUTER,
        {".aider.conf.yml": AIDER_CONFIG.replace(OPENAI, "https://example.com"), ".env": AIDER_ENV},
    ),
]
