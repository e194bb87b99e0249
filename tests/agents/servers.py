"""The processes under test: the mock provider, the proxy, and `api-key-lb` commands in a home."""

import json
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

# Time a process has to become ready, or to end when asked, in seconds.
PROCESS_LIMIT = 15
# Pause between two looks at something that is about to happen, in seconds.
POLL_PAUSE = 0.05
# Time a command or a control request may take, in seconds.
COMMAND_LIMIT = 60
# Requests the mock keeps: more than any agent sends in two turns.
RECORDED = 2000
# The pool: three accounts with a key each. They look like keys and are none.
KEYS = {"org-%s" % name: "sk-mock-%s-0000" % name for name in ("one", "two", "three")}

# No proxy of the machine's environment is used for what happens on loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Broken(Exception):
    """The test itself cannot go on, or the proxy does not do what it must; for a person."""


def find_programs(folder):
    """The proxy and the mock provider in `folder`."""
    found = [pathlib.Path(folder) / name for name in ("api-key-lb", "api-key-lb-mock")]
    for path in found:
        if not path.is_file():
            raise Broken("there is no %s; build both programs: cargo build -p api-key-lb -p api-key-lb-mock" % path)
    return [str(path.resolve()) for path in found]


def stop(process):
    process.terminate()
    try:
        process.wait(PROCESS_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def fetch(url, method="GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    with _direct.open(urllib.request.Request(url, data=data, method=method), timeout=COMMAND_LIMIT) as answer:
        return answer.read()


class Mock:
    """The mock provider."""

    def __init__(self, program):
        command = [program, "--bind", "127.0.0.1:0", "--record", str(RECORDED)]
        for account, key in KEYS.items():
            command += ["--account", "%s:%s" % (account, key)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise Broken("the mock provider did not say where it listens")

    def lead(self, stubs):
        """Lays down what is answered."""
        fetch(self.url + "/_mock/stubs", "POST", stubs)

    def requests(self):
        """What arrived, oldest first, with whole bodies."""
        requests = json.loads(fetch(self.url + "/_mock/requests"))
        for request in requests:
            request["body"] = fetch("%s/_mock/requests/%d" % (self.url, request["number"]))
        return requests

    def stop(self):
        self.process.stdout.close()
        stop(self.process)


class Proxy:
    """`api-key-lb start` in a home, with what setup wrote there, but the mock in place of the provider."""

    def __init__(self, program, environment, cwd, target, port, log):
        self.log = pathlib.Path(log)
        command = [program, "start", "--target", target]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + PROCESS_LIMIT
        while not self._ready("http://127.0.0.1:%d/health" % port):
            if self.process.poll() is not None or time.monotonic() > end:
                stop(self.process)
                raise Broken("the proxy does not serve on port %d: %s" % (port, self.lines()[-5:]))
            time.sleep(POLL_PAUSE)

    @staticmethod
    def _ready(url):
        try:
            return fetch(url)
        except (OSError, urllib.error.URLError):
            return None

    def lines(self):
        return self.log.read_text(errors="replace").splitlines()

    def stop(self):
        """Ends it; the last requests are in its log then."""
        stop(self.process)


def command(program, arguments, environment, cwd):
    """Runs `api-key-lb …`; what it wrote."""
    done = subprocess.run(
        [program] + arguments,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT,
    )
    if done.returncode != 0:
        raise Broken(
            "api-key-lb %s ended with code %d: %s"
            % (" ".join(arguments), done.returncode, (done.stderr or done.stdout).strip())
        )
    return done.stdout + done.stderr


