"""The two processes under test: the mock provider and the proxy, and how tests talk to them."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

# Time a process has to become ready, or to end when asked, in seconds.
PROCESS_LIMIT = 15
# Pause between two looks at something that is about to happen, in seconds.
POLL_PAUSE = 0.02
# Time one control request may take, in seconds.
CONTROL_LIMIT = 10

# No proxy of the machine's environment is used for what happens on loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def binary(variable):
    path = os.environ.get(variable, "")
    if not os.path.isfile(path):
        raise RuntimeError(
            "%s must name the program to test (it is %r); "
            "run these tests with `./test sdk` from the repository" % (variable, path)
        )
    return path


def wait_until(what, check, limit=PROCESS_LIMIT):
    """Calls check() until it gives something true, and returns that."""
    end = time.monotonic() + limit
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError("after %s s still not: %s" % (limit, what))
        time.sleep(POLL_PAUSE)


def stop(process):
    process.terminate()
    try:
        process.wait(PROCESS_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def fetch(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    with _direct.open(request, timeout=CONTROL_LIMIT) as answer:
        return json.loads(answer.read())


class Mock:
    """The mock provider: its faults, counters and recorded requests."""

    def __init__(self, accounts, recorded=1000):
        command = [binary("API_KEY_LB_MOCK_BIN"), "--bind", "127.0.0.1:0"]
        command += ["--record", str(recorded)]
        for account in accounts:
            command += ["--account", account]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the mock provider did not say where it listens")

    def stop(self):
        self.process.stdout.close()
        stop(self.process)

    def reset(self):
        code = self.process.poll()
        if code is not None:
            raise RuntimeError("the mock provider ended by itself, with code %s" % code)
        fetch(self.url + "/_mock/reset", "POST")

    def fault(self, key="*", **fault):
        fetch(self.url + "/_mock/faults", "POST", dict(fault, key=key))

    def status_fault(self, status, key="*", headers=None, **fault):
        pairs = [list(pair) for pair in (headers or {}).items()]
        self.fault(key, kind="status", status=status, headers=pairs, **fault)

    def counters(self):
        return fetch(self.url + "/_mock/counters")

    def requests(self):
        """What arrived, oldest first."""
        return fetch(self.url + "/_mock/requests")

    def keys_used(self):
        """The key of every request, oldest first."""
        return [request["key"] for request in self.requests()]


class Proxy:
    """One api-key-lb process with a home of its own."""

    def __init__(self, home, target, keys, environment=None):
        self.stopped = False
        self.log = os.path.join(str(home), "output.txt")
        with contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % port
        # Nothing of the caller's environment may configure it.
        clean = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "XDG_CONFIG_HOME": os.path.join(str(home), "config"),
            "XDG_STATE_HOME": os.path.join(str(home), "state"),
            "API_KEYS": ",".join(keys),
            "TARGET": target,
            "PORT": str(port),
        }
        if "SystemRoot" in os.environ:
            clean["SystemRoot"] = os.environ["SystemRoot"]
        clean.update(environment or {})
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [binary("API_KEY_LB_BIN"), "start"],
                cwd=str(home),
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until("the proxy answers /health", self._ready)
        except BaseException:
            stop(self.process)
            raise

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("the proxy ended at once; it wrote:\n" + self.output())
        try:
            return self.health()["status"]
        except (urllib.error.URLError, ConnectionError, OSError):
            return None

    def output(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def health(self):
        return fetch(self.url + "/health")

    def stop(self):
        self.stopped = True
        stop(self.process)
