#!/usr/bin/env python3
"""A real Prometheus scrapes a running proxy; every expression of the alert rules and of the dashboard is asked.

Run by `./test metrics`. Needs `prometheus` and `promtool` (Debian and Ubuntu: the package prometheus), and the
programs named by API_KEY_LB_BIN and API_KEY_LB_MOCK_BIN. Only the standard library.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

# Time a process has to become ready, and a series to appear, in seconds.
LIMIT = 30
# Pause between two looks, in seconds.
PAUSE = 0.1
# How often Prometheus scrapes here.
INTERVAL = "1s"

HERE = os.path.dirname(os.path.abspath(__file__))
OBSERVABILITY = os.path.join(HERE, "..", "..", "observability")
RULES = os.path.join(OBSERVABILITY, "alerts.yml")
RULE_TESTS = os.path.join(OBSERVABILITY, "alerts.test.yml")
DASHBOARD = os.path.join(OBSERVABILITY, "grafana.json")
DOCUMENTATION = os.path.join(HERE, "..", "..", "docs", "metrics.md")

KEYS = ("sk-mock-one-1111", "sk-mock-two-2222")
# What of the dashboard has nothing to show here.
NOTHING_HAPPENED = {"Restarts"}
# What a scrape adds by itself.
BUILT_IN = {"up"}
# Words in an expression that name no metric.
WORDS = {
    "by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset",
    "inf", "nan",
}  # fmt: skip
OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def say(text):
    print(text, flush=True)


def fetch(url, body=None, headers=None, limit=LIMIT):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {})
    with _direct.open(request, timeout=limit) as answer:
        return answer.headers.get("content-type", ""), answer.read().decode()


def wait_until(what, check, limit=LIMIT):
    end = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
            result = check()
            if result:
                return result
        if time.monotonic() > end:
            raise AssertionError("after %s s still not: %s" % (limit, what))
        time.sleep(PAUSE)


def free_port():
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def running(command, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def promtool(*arguments, text=None):
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, text=True, timeout=120
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, "promtool %s:\n%s" % (" ".join(arguments), output)
    return output


def metrics_of(expression):
    """The names of metrics in an expression: what is left without labels, texts, durations and functions."""
    bare = re.sub(r'"(\\.|[^"\\])*"', "", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    names = re.findall(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare)
    return {name for name in names if name not in WORDS}


def expressions_of_the_dashboard():
    with open(DASHBOARD, encoding="utf-8") as file:
        dashboard = json.load(file)
    assert dashboard["title"] and dashboard["schemaVersion"] >= 36
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers)), "two panels have one number"
    found = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"] and panel["targets"], panel["id"]
        for target in panel["targets"]:
            found.append((panel["title"], target["expr"]))
    for annotation in dashboard["annotations"]["list"]:
        found.append((annotation["name"], annotation["expr"]))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"]
            name = re.fullmatch(r"label_values\((\w+), \w+\)", query)
            assert name, query
            found.append((variable["name"], name.group(1)))
    return found


def without_variables(expression):
    """As Grafana would ask it for everything."""
    for name, value in {
        "$__rate_interval": "1m",
        "$__range": "5m",
        "$instance": ".*",
        "$pool": ".*",
    }.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


class Prometheus:
    def __init__(self, url):
        self.url = url

    def api(self, path, **arguments):
        query = urllib.parse.urlencode(arguments)
        try:
            _, body = fetch("%s/api/v1/%s?%s" % (self.url, path, query))
        except urllib.error.HTTPError as error:
            raise AssertionError("%s %s: %s" % (path, arguments, error.read().decode())) from error
        answer = json.loads(body)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]


def chat(url, model="mock-large", **more):
    words = "A long beginning that is worth keeping in a cache. " * 200
    body = {
        "model": model,
        "messages": [{"role": "user", "content": words}],
        "max_tokens": 8,
        **more,
    }
    try:
        return fetch(url + "/v1/chat/completions", body, {"x-lb-session": "planted-session"})
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def traffic(proxy, mock):
    """Everything that has a series: served, streamed, cached, throttled, refused by the provider and by us."""
    for _ in range(5):
        chat(proxy)
    chat(proxy, stream=True, stream_options={"include_usage": True})
    fetch(mock + "/_mock/faults", {"key": "*", "times": 1, "kind": "status", "status": 429})
    chat(proxy)
    chat(proxy, model='un"known\\model\n')
    fetch(mock + "/_mock/faults", {"key": "*", "times": 1, "kind": "status", "status": 400})
    chat(proxy)
    with contextlib.suppress(urllib.error.HTTPError):
        # A page that nobody allowed.
        fetch(proxy + "/v1/models", headers={"origin": "https://stranger.example"})


def described(page):
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))


def check_page(proxy):
    """Both formats, and what stands on them."""
    kind, page = fetch(proxy + "/_lb/metrics")
    assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
    promtool("check", "metrics", text=page)
    kind, open_page = fetch(proxy + "/_lb/metrics", headers={"accept": OPEN_METRICS})
    assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
    assert open_page.endswith("\n# EOF\n")
    for secret in (*KEYS, "planted", "un\\\"known"):
        assert secret not in page, "%r stands on the page" % secret
    names = described(page)
    with open(DOCUMENTATION, encoding="utf-8") as file:
        documented = set(re.findall(r"^\| `(\w+)` \|", file.read(), re.MULTILINE))
    assert set(names) == documented, set(names) ^ documented
    requests = re.findall(r"^api_key_lb_requests_total\{.*\} (\d+)$", page, re.MULTILINE)
    return names, sum(map(int, requests))


def check_expressions(prometheus, names):
    samples = set(BUILT_IN)
    for name, kind in names.items():
        samples.add(name)
        if kind == "histogram":
            samples |= {name + "_bucket", name + "_sum", name + "_count"}
    rules = prometheus.api("rules")["groups"]
    rules = [(rule["name"], rule["query"]) for group in rules for rule in group["rules"]]
    assert len(rules) >= 9, rules
    panels = expressions_of_the_dashboard()
    empty = []
    for where, expression in rules + panels:
        used = metrics_of(expression)
        assert used, "%s names no metric: %s" % (where, expression)
        unknown = used - samples
        assert not unknown, "%s: there is no %s" % (where, ", ".join(sorted(unknown)))
        result = prometheus.query(without_variables(expression))
        if not result and (where, expression) in panels:
            empty.append(where)
    return empty


def check_rules_are_well(prometheus):
    groups = prometheus.api("rules")["groups"]
    bad = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
    assert not bad, bad
    firing = [
        rule["name"] for group in groups for rule in group["rules"] if rule["state"] == "firing"
    ]
    # Nothing receives what is exported here.
    assert set(firing) <= {"ApiKeyLbExportFailing"}, "these fire although all is well: %s" % firing


def check_a_stuck_scraper(proxy):
    """Scrapers that ask and do not read delay nobody."""
    port = int(proxy.rsplit(":", 1)[1])
    stuck = []
    for _ in range(20):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.sendall(b"GET /_lb/metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 50)
        stuck.append(connection)
    began = time.monotonic()
    for _ in range(5):
        kind, _ = chat(proxy)
        assert "json" in str(kind), kind
    took = time.monotonic() - began
    for connection in stuck:
        connection.close()
    assert took < 5, "five requests beside stuck scrapers took %.1f s" % took


def main():
    for program in ("prometheus", "promtool"):
        if not shutil.which(program):
            sys.exit("there is no %s here; see `./test --help`" % program)
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULE_TESTS)
    say("the alert rules do what they say")

    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        mock = [os.environ["API_KEY_LB_MOCK_BIN"], "--bind", "127.0.0.1:0"]
        for number, key in enumerate(KEYS):
            mock += ["--account", "account-%s:%s:rpm=120" % (number, key)]
        mock = stack.enter_context(running(mock, stdout=subprocess.PIPE, text=True))
        mock = mock.stdout.readline().strip()
        port = free_port()
        proxy = "http://127.0.0.1:%s" % port
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": home,
            "XDG_STATE_HOME": os.path.join(home, "state"),
        }
        with open(os.path.join(home, "api-key-lb.json"), "w", encoding="utf-8") as file:
            json.dump(
                {
                    "keys": list(KEYS),
                    "target": mock,
                    "port": port,
                    "prices": {"mock-*": {"input": 1, "cached": 0.1, "output": 2}},
                    # Nobody is there.
                    "otlp": {
                        "endpoint": "http://127.0.0.1:%s" % free_port(),
                        "headers": {"authorization": "Bearer planted-token"},
                        "interval_ms": 200,
                    },
                },
                file,
            )
        log = stack.enter_context(open(os.path.join(home, "output.txt"), "wb"))
        command = [os.environ["API_KEY_LB_BIN"], "start"]
        stack.enter_context(
            running(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
        )
        wait_until("the proxy answers", lambda: fetch(proxy + "/health"))

        configuration = os.path.join(home, "prometheus.yml")
        with open(configuration, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
                    "rule_files": [os.path.realpath(RULES)],
                    "scrape_configs": [
                        {
                            "job_name": "api-key-lb",
                            "metrics_path": "/_lb/metrics",
                            "static_configs": [{"targets": ["127.0.0.1:%s" % port]}],
                        }
                    ],
                },
                file,
            )
        promtool("check", "config", configuration)
        listen = "127.0.0.1:%s" % free_port()
        prometheus_log = stack.enter_context(open(os.path.join(home, "prometheus.txt"), "wb"))
        stack.enter_context(
            running(
                [
                    "prometheus",
                    "--config.file=" + configuration,
                    "--storage.tsdb.path=" + os.path.join(home, "data"),
                    "--web.listen-address=" + listen,
                ],
                stdout=prometheus_log,
                stderr=subprocess.STDOUT,
            )
        )
        prometheus = Prometheus("http://" + listen)
        wait_until("Prometheus is ready", lambda: fetch(prometheus.url + "/-/ready"))
        up = 'up{job="api-key-lb"} == 1'
        try:
            wait_until("Prometheus reads the page", lambda: prometheus.query(up))
        except AssertionError:
            say(json.dumps(prometheus.api("targets")["activeTargets"], indent=1))
            raise

        # Twice, so that counters have grown while they were looked at.
        traffic(proxy, mock)
        wait_until("the requests are counted", lambda: check_page(proxy)[1] >= 10)
        time.sleep(2.5)
        traffic(proxy, mock)
        wait_until("the requests are counted", lambda: check_page(proxy)[1] >= 20)
        names, requests = check_page(proxy)
        assert requests == 20, "%s requests were made, and %s counted" % (20, requests)
        wait_until(
            "Prometheus has counted the same",
            lambda: prometheus.query("sum(api_key_lb_requests_total) == 20"),
        )
        say("Prometheus reads %s metrics" % len(names))
        empty = set(check_expressions(prometheus, names))
        end = time.monotonic() + LIMIT
        while not empty <= NOTHING_HAPPENED and time.monotonic() < end:
            time.sleep(1)
            # What is left of a limit is forgotten once the limit is whole again.
            chat(proxy)
            empty = set(check_expressions(prometheus, names))
        assert empty <= NOTHING_HAPPENED, "these panels show nothing: %s" % sorted(empty)
        say("every rule and every panel of the dashboard is answered")
        check_rules_are_well(prometheus)
        check_a_stuck_scraper(proxy)
        say("stuck scrapers delay nobody")


if __name__ == "__main__":
    main()
