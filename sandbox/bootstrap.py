"""Makes `.venv` in the checkout: the first step of every command, run by whatever `python3` there is.

Uses only the standard library and syntax that old interpreters can parse, so that they can report what is missing.
Imports nothing of the project, because none of its packages is installed yet.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(CHECKOUT, ".venv")
PYTHON = os.path.join(ENVIRONMENT, "bin", "python")
# Every package with version and hash, including those of the program and the policy pack.
LOCK = os.path.join(CHECKOUT, "requirements-dev.txt")
STAMP = os.path.join(ENVIRONMENT, "installed")
LOG = os.path.join(ENVIRONMENT, "install.log")
MINIMUM = (3, 10)
# Newest first; the first one on PATH that runs and is new enough is used.
OTHER_NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3.10")
# For about 130 packages on two cores with an empty pip cache.
EXPECTED_SECONDS = 60
HEARTBEAT_SECONDS = 15


def main() -> int:
    if sys.version_info < MINIMUM:
        continue_with_newer()
    with open(LOCK) as lock:
        # If two commands start at once, the second waits here and then finds the stamp.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = fingerprint()
        if installed() == wanted:
            return 0
        started = time.time()
        create()
        install()
        with open(STAMP, "w") as stamp:
            stamp.write(wanted)
        say("Python packages are in place (%d s)" % (time.time() - started))
    return 0


def continue_with_newer() -> None:
    """Continue as a newer Python if PATH has one; otherwise say what is needed."""
    for name in OTHER_NAMES:
        found = shutil.which(name)
        # A version manager's placeholder has the name but cannot run.
        if found and runs(found, "-c", "import sys; sys.exit(sys.version_info < (%d, %d))" % MINIMUM):
            os.execv(found, [found, os.path.abspath(__file__)])
    fail(
        "Python %d.%d or newer is needed; this is %s (%s)." % (*MINIMUM, sys.version.split()[0], sys.executable),
        "install one and put it on PATH, or name it: make PYTHON=/path/to/python3 ...",
    )


def fingerprint() -> str:
    """Changes with the lock file, and with a Python version that could not use what was installed before."""
    digest = hashlib.sha256(("%d.%d " % sys.version_info[:2]).encode())
    with open(LOCK, "rb") as file:
        digest.update(file.read())
    return digest.hexdigest()


def installed() -> "str | None":
    try:
        with open(STAMP) as stamp:
            found = stamp.read()
    except OSError:
        return None
    # If its Python was removed or upgraded, the environment cannot start.
    return found if runs(PYTHON, "-c", "pass") else None


def runs(*command: str) -> bool:
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def create() -> None:
    if runs(PYTHON, "-c", "import pip, sys; sys.exit(sys.version_info[:2] != (%d, %d))" % sys.version_info[:2]):
        return
    if os.path.islink(ENVIRONMENT):
        os.unlink(ENVIRONMENT)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    if not runs(sys.executable, "-c", "import venv, ensurepip"):
        fail(
            "this Python (%s) has no venv module." % sys.executable,
            "on Debian and Ubuntu: apt-get install python3-venv; elsewhere install a complete Python %d.%d or newer"
            % MINIMUM,
        )
    done = subprocess.run(
        [sys.executable, "-m", "venv", ENVIRONMENT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        text = done.stdout.decode(errors="replace").strip()
        fail("could not make %s:\n%s" % (ENVIRONMENT, text), remedy(text))


def install() -> None:
    say("installing Python packages into .venv (about %d s)" % EXPECTED_SECONDS)
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes"]
    command += ["-r", LOCK]
    with open(LOG, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        started = said = time.time()
        while process.poll() is None:
            time.sleep(0.2)
            if time.time() - said >= HEARTBEAT_SECONDS:
                said = time.time()
                say("installing Python packages: %d s of about %d s" % (said - started, EXPECTED_SECONDS))
    if process.returncode != 0:
        with open(LOG, errors="replace") as log:
            lines = [line.rstrip() for line in log if line.strip()]
        fail(
            "pip could not install the packages:\n" + "\n".join("  | " + line[:160] for line in lines[-6:]),
            remedy("\n".join(lines[-40:])),
        )


def remedy(text: str) -> str:
    text = text.lower()
    if "no space left" in text:
        return "the disk is full: free about 2 GB and run the same command again; log: " + LOG
    if "do not match the hashes" in text:
        return "the package index serves another file than the one that was locked: do not install it; log: " + LOG
    if "no matching distribution" in text and "connection" not in text:
        return "the package index does not serve that version for this Python; log: " + LOG
    if any(word in text for word in ("connection", "timed out", "temporary failure", "max retries", "resolve")):
        return (
            "the package index could not be reached: check the network and pip's index, then run it again; log: " + LOG
        )
    return "read " + LOG


def say(text: str) -> None:
    # Standard error, because `eval "$(make env)"` reads standard output.
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(what: str, what_to_do: str) -> None:
    say("error: %s\n  remedy: %s" % (what, what_to_do))
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
