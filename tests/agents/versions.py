"""The agents' packages, at the versions that this test is known to work with."""

from typing import NamedTuple, Optional, Tuple


class Package(NamedTuple):
    """A package as its registry's ordinary client installs it."""

    registry: str  # "npm" or "pypi"
    name: str
    version: str
    program: str
    # For PyPI: the first and the last Python (major, minor) that it installs on.
    python: Optional[Tuple[Tuple[int, int], Tuple[int, int]]] = None


PACKAGES = {
    package.program: package
    for package in [
        Package("npm", "opencode-ai", "1.18.33", "opencode"),
        Package("npm", "@openai/codex", "0.169.0", "codex"),
        Package("npm", "@anthropic-ai/claude-code", "2.1.330", "claude"),
        Package("pypi", "hermes-agent", "0.19.0", "hermes", ((3, 11), (3, 13))),
        Package("npm", "@google/gemini-cli", "0.61.0", "gemini"),
        Package("npm", "@qwen-code/qwen-code", "0.24.4", "qwen"),
        Package("pypi", "aider-chat", "0.86.2", "aider", ((3, 10), (3, 12))),
    ]
}
