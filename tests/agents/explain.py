"""Asks the running proxy, by `api-key-lb why`, which session each request that reached the provider is of."""

import json
import subprocess

from servers import COMMAND_LIMIT

# Headers that the proxy or the way upstream has set, not the agent.
DROPPED = ("host", "content-length", "transfer-encoding", "connection", "authorization", "x-api-key", "x-goog-api-key")


def explain(trial, result):
    """Fills `result.why`: number of a request → what `why` says."""
    for request in result.requests:
        if request["method"] == "POST" or is_frame(request):
            result.why[request["number"]] = _why(trial, request)


def is_frame(request):
    """Whether it is a message of a WebSocket: its handshake has no body."""
    return request["method"] == "GET" and request["body_bytes"] > 0


def _why(trial, request):
    headers = [pair for pair in request["headers"] if pair[0].lower() not in DROPPED]
    if is_frame(request):
        shown = {"method": "GET", "path": request["target"], "headers": headers, "frames": [_text(request)]}
        text = json.dumps(shown).encode()
    else:
        lines = ["%s %s HTTP/1.1" % (request["method"], request["target"])]
        lines += ["%s: %s" % (name, value) for name, value in headers]
        text = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + request["body"]
    done = subprocess.run(
        [trial.program, "why", "--json", "--port", str(trial.port), "--request", "-"],
        input=text,
        capture_output=True,
        cwd=trial.home.path,
        env=trial.home.environment,
        timeout=COMMAND_LIMIT,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {"error": done.stderr.decode(errors="replace").strip()}


def _text(request):
    return request["body"].decode("utf-8", "replace")
