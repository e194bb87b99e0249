"""One trial: setup, two sessions of two turns at the same time, undo; what happened, to be judged afterwards."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cases import Session
from home import OWN, Home, differences
from network import World, free_port
from servers import KEYS, POLL_PAUSE, Mock, Proxy, command

# What an agent's files say after its edit, where it has no tools.
EDIT = """\
I make the file.

{name}
```
<<<<<<< SEARCH
=======
written
>>>>>>> REPLACE
```

{answer}
"""
# The file that such an agent makes.
MADE = "made.txt"


@dataclass
class Turn:
    """How a turn went."""

    code: object
    output: str
    seconds: float


@dataclass
class Result:
    """Everything a verdict needs."""

    sessions: list
    turns: dict = field(default_factory=dict)  # by session id
    requests: list = field(default_factory=list)
    log: list = field(default_factory=list)
    why: dict = field(default_factory=dict)  # by number of the request
    made: dict = field(default_factory=dict)
    hosts: list = field(default_factory=list)
    said: str = ""
    changed: list = field(default_factory=list)
    # File → its mode and bytes before setup, after it, after the agent ran, after undo.
    files: dict = field(default_factory=dict)
    # Whether a setup that is undone at once, and one that is repeated, leave what they must.
    at_once: list = field(default_factory=list)
    repeated: list = field(default_factory=list)
    # The proxy's own directories that are there after `--purge`.
    left: list = field(default_factory=list)


class Trial:
    """A case in a folder of its own."""

    def __init__(self, case, folder, installed, binaries, limit, explain):
        self.case, self.folder, self.limit, self.explain = case, Path(folder), limit, explain
        self.program, self.mock_program = binaries
        self.agent_program = str(Path(installed) / case.program)
        self.world = World()
        self.home = Home(
            self.folder / "home", case.files, installed, {**self.world.environment(), **case.environment}
        )
        self.port = free_port()
        self.sessions = [self._session(letter) for letter in "ab"]

    def _session(self, letter):
        name = "%s-%s" % (letter, secrets.token_hex(3))
        directory = self.home.path / "work" / letter
        directory.mkdir()
        session = Session(name, str(uuid.uuid4()), str(directory))
        if self.case.tool:
            (directory / "note.txt").write_text("The word is %s.\n" % session.secret)
        return session

    def run(self):
        result = Result(self.sessions)
        try:
            self._run(result)
        finally:
            self.world.stop()
        return result

    def _run(self, result):
        before = self.home.snapshot()
        self._setup()
        result.changed = differences(before, self.home.snapshot())
        self._undo()
        result.at_once = differences(before, self.home.snapshot())
        result.said = self._setup()
        set_up = self.home.snapshot()
        self._setup()
        result.repeated = differences(set_up, self.home.snapshot())
        result.changed = sorted({*result.changed, *differences(before, set_up)})
        self._converse(result)
        used = {name: self.home.read(name) for name in result.changed}
        self._undo()
        for name in result.changed:
            result.files[name] = (before.get(name), set_up.get(name), used[name], self.home.read(name))
        self._undo("--purge")
        result.left = [name for name in OWN if (self.home.path / name).exists()]

    def _setup(self):
        arguments = ["setup", "--yes", "--no-service", "--no-check", "--keys", ",".join(KEYS.values())]
        arguments += ["--target", self.case.target, "--port", str(self.port)]
        return self._command("setup", arguments)

    def _undo(self, *flags):
        return self._command("undo", ["setup", "--undo", "--yes", *flags])

    def _command(self, name, arguments):
        said = command(self.program, arguments, self.home.environment, self.home.path)
        with open(self.folder / ("%s.txt" % name), "a") as out:
            out.write(said)
        return said

    def _converse(self, result):
        mock = Mock(self.mock_program)
        try:
            stubs = [stub for session in self.sessions for stub in self._stubs(session)]
            mock.lead(list(self.case.stubs) + stubs)
            # A flag wins over the file, so only the provider's place is another than in real use.
            target = mock.url + urlsplit(self.case.target).path
            proxy = Proxy(
                self.program, self.home.environment, self.home.path, target, self.port, self.folder / "proxy.log"
            )
            try:
                threads = [
                    threading.Thread(target=self._session_turns, args=(session, result)) for session in self.sessions
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                result.requests = mock.requests()
                self._keep(result.requests)
                self.explain(self, result)
            finally:
                proxy.stop()
                result.log = proxy.lines()
        finally:
            mock.stop()
        result.hosts = sorted(set(self.world.hosts))

    def _keep(self, requests):
        """Writes down what reached the provider."""
        folder = self.folder / "requests"
        folder.mkdir()
        for request in requests:
            try:
                body = json.loads(request["body"])
            except ValueError:
                body = request["body"].decode("utf-8", "replace")
            name = "%03d-%s-%s.json" % (request["number"], request["method"], request["account"])
            (folder / name).write_text(json.dumps({**request, "body": body}, indent=1))

    def _stubs(self, session):
        """What the model says: a tool call, words about its result, and in the second turn other words."""
        yield {"when": session.followup, "text": session.second_answer}
        opening = {"when": session.opening, "text": "a title"}
        if self.case.tool:
            path = os.path.join(session.directory, "note.txt")
            yield {"when": session.secret, "text": session.first_answer}
            opening["tool"] = self.case.tool
            opening["arguments"] = {name: value.format(path=path) for name, value in self.case.arguments.items()}
        else:
            opening["text"] = EDIT.format(name=MADE, answer=session.first_answer)
        yield opening

    def _session_turns(self, session, result):
        turns = result.turns[session.id] = []
        output = ""
        written = self.case.written(session) if self.case.written else []
        for number, arguments in enumerate([self.case.first] if written else [self.case.first, self.case.second], 1):
            file = self.folder / ("%s-turn-%d.txt" % (session.id[0], number))
            turn = self._turn(session, arguments(session, output), written, file)
            turns.append(turn)
            output = turn.output
            if not self.case.tool and number == 1:
                result.made[session.id] = os.path.isfile(os.path.join(session.directory, MADE))

    def _turn(self, session, arguments, written, file):
        began = time.monotonic()
        end = began + self.limit
        with open(file, "wb") as out:
            process = subprocess.Popen(
                [self.agent_program] + arguments,
                cwd=session.directory,
                env=self.home.environment,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._write(process, session, written, file, end)
            code = process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = "no end after %d s" % self.limit
        finally:
            # Its whole group: agents leave servers and shells behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Turn(code, file.read_text(errors="replace"), time.monotonic() - began)

    @staticmethod
    def _write(process, session, written, file, end):
        """The second prompt is written once the first is answered."""
        with contextlib.suppress(BrokenPipeError):
            for number, line in enumerate(written):
                while number and session.first_answer not in file.read_text(errors="replace"):
                    if process.poll() is not None or time.monotonic() > end:
                        break
                    time.sleep(POLL_PAUSE)
                process.stdin.write(line.encode())
                process.stdin.flush()
            process.stdin.close()
