"""A sandbox for the tests, beside any that the user runs: another home, another configuration file.

Failing to start it is an error, never a skip. The test modules say what is proven on it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.home import CHECKOUT, Cache, Home
from sandbox.lifecycle import Sandbox
from sandbox.stack import CloudFacts

# An `up` from nothing takes about a minute on two cores; a build machine may be several times slower.
COMMAND_SECONDS = 900

Finished = subprocess.CompletedProcess[str]


class EngineFailed(AssertionError):
    """A command of the sandbox ended with an unexpected code; the text contains all of its output."""


class RunningSandbox:
    """The engine, kubectl, helm and psql on one running sandbox. Every result contains the command's output."""

    def __init__(self, home: Home, configuration: Path) -> None:
        self.home = home
        self.configuration = configuration
        self.sandbox = Sandbox(home, Cache.from_environment(), configuration)

    @property
    def stack_name(self) -> str:
        return "sandbox"

    def cloud(self) -> CloudFacts:
        return self.sandbox.running()

    def environment(self) -> dict[str, str]:
        """What `make env` exports, plus the caller's environment without foreign variables."""
        return self.sandbox.operation_environment(self.cloud())

    def door(self, *arguments: str, check: bool = True, more: Mapping[str, str] | None = None) -> Finished:
        """`python -m sandbox ...`, as the Makefile calls it, with `more` in its environment."""
        command = [sys.executable, "-m", "sandbox", "--home", str(self.home.root)]
        command += ["--config-file", str(self.configuration), *arguments]
        return _run(command, {**os.environ, **(more or {})}, check=check)

    def pulumi(self, *arguments: str, check: bool = True) -> Finished:
        """The engine on this sandbox's stack; runs `up`, `destroy` and `refresh` without a question, and without a
        preview unless `--yes` is given."""
        if arguments[0] in ("up", "destroy", "refresh") and not {"--preview-only", "--help", "--yes"} & set(arguments):
            arguments = (*arguments, "--yes", "--skip-preview")
        return _run(self.sandbox.stack.command(*arguments, "--non-interactive"), self.environment(), check=check)

    def operations(self, command: str, *arguments: str, check: bool = True) -> Finished:
        """`python -m operations ...` on this stack, as on a real one."""
        options = ["--stack", self.stack_name, "--config-file", str(self.configuration), *arguments]
        return _run([sys.executable, "-m", "operations", command, *options], self.environment(), check=check)

    def preview(self, *arguments: str) -> dict[str, Any]:
        """`pulumi preview --json`, parsed."""
        parsed: dict[str, Any] = json.loads(self.pulumi("preview", "--json", *arguments).stdout)
        return parsed

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        arguments = ["stack", "output", "--json", *(["--show-secrets"] if secrets else [])]
        parsed: dict[str, Any] = json.loads(self.pulumi(*arguments).stdout)
        return parsed

    def kubectl(self, *arguments: str, check: bool = True) -> Finished:
        return _run([str(self.home.bin / "kubectl"), *arguments], self.environment(), check=check)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ... --output json`, parsed; empty for what `--ignore-not-found` ignores."""
        parsed: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json").stdout or "{}")
        return parsed

    def helm(self, *arguments: str, check: bool = True) -> Finished:
        return _run([str(self.home.bin / "helm"), *arguments], self.environment(), check=check)

    def psql(self, *arguments: str, check: bool = True) -> Finished:
        return _run([str(self.home.bin / "psql"), *arguments], self.environment(), check=check)

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Audit events of writes by the operator's own credentials since a position, without dry runs."""
        from sandbox.control_plane import ADMINISTRATOR

        found = []
        for line in self.home.audit_log.read_text().splitlines()[since:]:
            event = json.loads(line)
            if event["user"]["username"] == ADMINISTRATOR and "dryRun=All" not in event["requestURI"]:
                found.append(event)
        return found

    def audit_position(self) -> int:
        """A position for `writes(since=...)`."""
        return len(self.home.audit_log.read_text().splitlines())


def _run(command: list[str], environment: dict[str, str], *, check: bool) -> Finished:
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    if check and done.returncode != 0:
        raise EngineFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@contextmanager
def started_sandbox(more: Mapping[str, str] | None = None) -> Iterator[RunningSandbox]:
    """A sandbox with a Teleport but nothing of the stack deployed yet, started with `more` in its environment; removed
    at the end."""
    # Short, because PostgreSQL's socket paths have at most 107 bytes.
    root = Path(tempfile.mkdtemp(prefix="tag-"))
    running = RunningSandbox(Home.at(root / "home"), root / "Pulumi.sandbox.yaml")
    try:
        running.door("start", more=more)
        yield running
    finally:
        running.door("down", "--no-destroy")
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[RunningSandbox]:
    """The sandbox that most modules share."""
    with started_sandbox() as running:
        yield running


@pytest.fixture(scope="session")
def deployed(running_sandbox: RunningSandbox) -> RunningSandbox:
    """The same sandbox with the whole stack deployed."""
    running_sandbox.pulumi("up")
    return running_sandbox
