"""Judges what happened in a trial: worked, recognised, stayed on one account, undone."""

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from explain import is_frame
from home import is_undone
from servers import KEYS

# `12:00:01 POST /v1/messages 200 key-1 new session 1a2b3c4d (header x) …`
LINE = re.compile(
    r"^\d\d:\d\d:\d\d [A-Z]+ (?P<path>\S+) \d+ (?P<key>\S+) (?:\w+ )?"
    r"session (?P<session>[0-9a-f]{8}) \((?P<rule>[^)]*)\)"
)
# The rule for conversations without an id.
FINGERPRINT = "fingerprint"
# Longest part of an agent's output that is shown when a turn went wrong, in characters.
SHOWN = 400


@dataclass
class Verdict:
    """A line of the table, and everything that was not as it must be."""

    case: str
    version: str
    worked: bool = False
    rules: dict = field(default_factory=dict)
    recognised: bool = False
    accounts: dict = field(default_factory=dict)
    stayed: bool = False
    by_turn: bool = False
    undone: bool = False
    changed: list = field(default_factory=list)
    requests: int = 0
    # Requests about a conversation that are not of it: titles, memory.
    aside: int = 0
    seconds: float = 0.0
    refused_hosts: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    remarks: list = field(default_factory=list)

    @property
    def passed(self):
        return self.worked and self.recognised and self.stayed and self.undone and not self.faults

    def as_json(self):
        return {**asdict(self), "passed": self.passed}


def judge(case, version, result):
    verdict = Verdict(case.name, version, changed=result.changed, refused_hosts=result.hosts)
    calls = [request for request in result.requests if request["method"] == "POST" or is_frame(request)]
    verdict.requests = len(calls)
    _worked(verdict, case, result, calls)
    main = _conversations(verdict, case, result, calls)
    _recognised(verdict, case, result, main)
    _stayed(verdict, main)
    _undone(verdict, result)
    if any(key in text for key in KEYS.values() for text in [result.said, *result.log]):
        verdict.faults.append("a key was printed")
    host = urlsplit(case.target).hostname
    if host in result.hosts and host not in case.asks:
        verdict.faults.append("it wanted to reach %s beside the proxy" % host)
    for request in calls:
        if request["conflicting_credentials"] or request["account"] is None:
            verdict.faults.append("request %d came without a key of the pool" % request["number"])
    return verdict


def _worked(verdict, case, result, calls):
    faults = []
    for session in result.sessions:
        turns = result.turns[session.id]
        verdict.seconds += sum(turn.seconds for turn in turns)
        # One process may have taken both turns.
        answers = zip([turns[0], turns[-1]], [session.first_answer, session.second_answer])
        for number, (turn, answer) in enumerate(answers, 1):
            if turn.code != 0:
                faults.append("turn %d of %s ended with code %s" % (number, session.id[0], turn.code))
            if answer not in turn.output:
                tail = " ".join(turn.output.split())[-SHOWN:]
                faults.append("turn %d of %s did not print the answer, but: …%s" % (number, session.id[0], tail))
        if case.tool and not any(session.secret.encode() in request["body"] for request in calls):
            faults.append("the tool of %s did not run: what it reads never came to the model" % session.id[0])
        if not case.tool and not result.made.get(session.id):
            faults.append("%s did not make the file that it was told to" % session.id[0])
    verdict.worked = not faults
    verdict.faults += faults


def _conversations(verdict, case, result, calls):
    """The requests of each conversation, by its letter, or of each turn ("a1"); side requests are only counted."""
    main = {session.id: [] for session in result.sessions}
    frames = {}
    for session in result.sessions:
        marks = [mark.encode() for mark in (session.opening, session.followup, session.secret)]
        for request in calls:
            if not any(mark in request["body"] for mark in marks):
                continue
            # The conversation has the tools, what is asked about it has none.
            is_aside = case.aside and case.aside.encode() in request["body"]
            if is_aside or not is_frame(request) and case.tool and case.tool not in offered(request):
                verdict.aside += 1
                continue
            main[session.id].append(request)
            if is_frame(request):
                frames[request["connection"]] = session.id
    # Messages that bring no history belong to whoever's connection they come by.
    for request in calls:
        session = frames.get(request["connection"]) if is_frame(request) else None
        if session and request not in main[session]:
            main[session].append(request)
    for session, requests in main.items():
        if len(requests) < 3 - (not case.tool):
            verdict.faults.append("only %d requests of session %s arrived" % (len(requests), session[0]))
    if not case.anew:
        return {name[0]: requests for name, requests in main.items()}
    verdict.by_turn = True
    verdict.remarks.append("each turn counts alone: " + case.anew)
    turns = {}
    for session in result.sessions:
        for request in main[session.id]:
            turn = 1 + (session.followup.encode() in request["body"])
            turns.setdefault("%s%d" % (session.id[0], turn), []).append(request)
    return turns


def offered(request):
    """The names of the tools that a request offers, in any dialect."""
    try:
        tools = json.loads(request["body"]).get("tools") or []
    except ValueError:
        return set()
    declared = [one for tool in tools for one in tool.get("functionDeclarations", [tool.get("function", tool)])]
    return {one.get("name") for one in declared}


def _recognised(verdict, case, result, main):
    faults = []
    logged = _paired(result)
    rules = Counter()
    sessions = {}
    for name, requests in main.items():
        ids = set()
        for request in requests:
            said = result.why.get(request["number"], {})
            rule, session = said.get("rule"), said.get("session")
            if not rule or not session:
                why = said.get("error") or said.get("no_session")
                faults.append("request %d was not recognised: %s" % (request["number"], why))
                continue
            line = logged.get(request["number"])
            if rule["name"] != FINGERPRINT:
                # Ids say the same at any time.
                ids.add(session["id"])
            elif line:
                # Content is compared with what was known then: `why` was asked afterwards.
                ids.add(line["session"])
            rules[rule["name"]] += 1
            if line and line["rule"] != rule["name"]:
                faults.append("request %d: the log says %s" % (request["number"], line["rule"]))
        sessions[name] = ids
        if len(ids) > 1:
            faults.append("%s was taken for %d sessions: %s" % (name, len(ids), ", ".join(sorted(ids))))
        missing = ids - {line["session"] for line in logged.values()}
        if missing:
            faults.append("the log knows nothing of session %s" % ", ".join(sorted(missing)))
    one, other = [set().union(*(ids for name, ids in sessions.items() if name[0] == letter)) for letter in "ab"]
    if one & other:
        faults.append("both conversations were taken for one session: %s" % ", ".join(sorted(one & other)))
    verdict.rules = dict(rules)
    unexpected = set(rules) - set(case.rules)
    if unexpected:
        faults.append("recognised by %s, expected was %s" % (", ".join(sorted(unexpected)), " or ".join(case.rules)))
    verdict.recognised = not faults
    verdict.faults += sorted(set(faults))


def _paired(result):
    """The log's line about each request that the provider got: the next one with its path and its key."""
    lines = [found.groupdict() for found in map(LINE.match, result.log) if found]
    paired = {}
    for request in result.requests:
        key = "key-%d" % (1 + list(KEYS).index(request["account"])) if request["account"] in KEYS else None
        path = request["target"].split("?")[0]
        for line in lines:
            if line["path"] == path and line["key"] == key:
                paired[request["number"]] = line
                lines.remove(line)
                break
    return paired


def _stayed(verdict, main):
    verdict.stayed = True
    for name, requests in main.items():
        accounts = Counter(request["account"] for request in requests)
        verdict.accounts[name] = dict(accounts)
        if len(accounts) != 1:
            verdict.stayed = False
            verdict.faults.append("%s was served by %s" % (name, dict(accounts)))


def _undone(verdict, result):
    faults = []
    if not result.changed:
        faults.append("setup changed nothing: %s" % " ".join(result.said.split()))
    for name in result.at_once:
        faults.append("setup and undo at once left another %s" % name)
    for name in result.left:
        faults.append("--purge left %s" % name)
    for name in result.repeated:
        faults.append("a repeated setup changed %s again" % name)
    for name, (before, set_up, used, undone) in result.files.items():
        if not is_undone(before, set_up, used, undone):
            faults.append("after undo %s is not as it was" % name)
        elif used != set_up:
            verdict.remarks.append("the agent changed %s itself, and that stayed" % name)
    verdict.undone = not faults
    verdict.faults += faults
