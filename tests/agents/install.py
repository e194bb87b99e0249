"""Installs agents from their ordinary packages, each into a folder of its own, once per version."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

# Time one installation may take, in seconds: hundreds of megabytes.
INSTALL_LIMIT = 900
# Says that an installation was finished, and of what.
STAMP = "complete.json"


class NotInstalled(Exception):
    """Why an agent is not there; for a person."""


def install(package, cache, say):
    """The directory with the program of `package`."""
    folder = cache / ("%s-%s" % (package.program, package.version))
    programs = folder / ("node_modules/.bin" if package.registry == "npm" else "bin")
    wanted = {"registry": package.registry, "name": package.name, "version": package.version}
    stamp = folder / STAMP
    if stamp.is_file() and json.loads(stamp.read_text()) == wanted and (programs / package.program).exists():
        return programs
    say("installing %s %s …" % (package.name, package.version))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if package.registry == "npm":
        _npm(package, folder)
    else:
        _pip(package, folder)
    if not (programs / package.program).exists():
        raise NotInstalled("%s has no program %s" % (package.name, package.program))
    stamp.write_text(json.dumps(wanted))
    return programs


def _npm(package, folder):
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("there is no npm here; install Node.js 20 or newer with npm")
    exact = "%s@%s" % (package.name, package.version)
    _run([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error", exact])


def _pip(package, folder):
    python = _python(*package.python)
    _run([python, "-m", "venv", str(folder)])
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    _run(pip + ["%s==%s" % (package.name, package.version)])


def _python(first, last):
    """A Python between the two versions, on the PATH or among pyenv's; the newest there is."""
    for minor in range(last[1], first[1] - 1, -1):
        name = "python%d.%d" % (last[0], minor)
        found = [sys.executable] if sys.version_info[:2] == (last[0], minor) else []
        found += [path for path in [shutil.which(name)] if path]
        versions = pathlib.Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))) / "versions"
        found += sorted(map(str, versions.glob("%d.%d.*/bin/python" % (last[0], minor))))
        for python in found:
            # pyenv's shims are there for versions that are not chosen, too, and only fail.
            if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0:
                return python
    raise NotInstalled(
        "it needs Python %d.%d to %d.%d with its venv module, and there is none; install one" % (first + last)
    )


def _run(command):
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_LIMIT
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled("%s took more than %d s" % (command[0], INSTALL_LIMIT)) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        raise NotInstalled("%s failed: %s" % (os.path.basename(command[0]), " / ".join(said)))
