"""A home directory of its own for an agent: what is in it before, and what has become of its files."""

import os
import pathlib
import shutil
from collections import Counter

# The proxy's own directories in a home: what is there is not the agent's.
OWN = (".config/api-key-lb", ".local/state/api-key-lb")
# Directories made before setup, for temporary files and the two sessions.
SCRATCH = ("tmp", "work")


class Home:
    """The directory, and the environment of everything that runs in it."""

    def __init__(self, path, files, programs, variables):
        self.path = pathlib.Path(path)
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
            file.chmod(0o600)
        for name in SCRATCH:
            (self.path / name).mkdir(parents=True)
        node = shutil.which("node")
        path = [str(programs)] + ([os.path.dirname(node)] if node else []) + ["/usr/local/bin", "/usr/bin", "/bin"]
        # Nothing of the caller's environment may configure an agent or the proxy.
        self.environment = {
            "HOME": str(self.path),
            "PATH": os.pathsep.join(path),
            "TMPDIR": str(self.path / "tmp"),
            "XDG_CONFIG_HOME": str(self.path / ".config"),
            "XDG_DATA_HOME": str(self.path / ".local/share"),
            "XDG_STATE_HOME": str(self.path / ".local/state"),
            "XDG_CACHE_HOME": str(self.path / ".cache"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "CI": "1",
            **variables,
        }

    def snapshot(self):
        """Mode and bytes of every file that is not the proxy's or scratch."""
        found = {}
        for folder, folders, names in os.walk(self.path):
            inside = pathlib.Path(folder).relative_to(self.path).as_posix()
            folders[:] = [name for name in folders if (inside + "/" + name).removeprefix("./") not in OWN + SCRATCH]
            for name in names:
                file = pathlib.Path(folder) / name
                if file.is_file() and not file.is_symlink():
                    key = file.relative_to(self.path).as_posix()
                    found[key] = (file.stat().st_mode & 0o7777, file.read_bytes())
        return found

    def read(self, name):
        """The same of one file; None if it is not there."""
        file = self.path / name
        return (file.stat().st_mode & 0o7777, file.read_bytes()) if file.is_file() else None


def differences(before, now):
    """The files that are not as they were."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def is_undone(before, set_up, used, undone):
    """Whether a file is as it was, but for what the agent itself has changed since setup: line by line then."""
    if used == set_up:
        return undone == before
    if used is None:
        return undone is None
    lines = [Counter((file or (0, b""))[1].splitlines()) for file in (before, set_up, used, undone)]
    before, set_up, used, undone = lines
    by_agent = Counter(used)
    by_agent.subtract(set_up)
    expected = Counter(before)
    expected.update(by_agent)
    return +expected == undone
