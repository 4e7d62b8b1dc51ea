"""Kills an `up` or a `destroy` at one point after the other, recovers each time, and holds what must not be lost.

One walk goes through many points: what a killed run made stays made, and the next one goes on from there. The engine's
own order decides which of the points that are left comes next.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.home import CHECKOUT, Home
from sandbox.plugins.faults import VARIABLE, Point
from sandbox.plugins.install import RESOURCE_PLUGINS, launcher_text, plugin_versions
from sandbox.plugins.language import VERSION as LANGUAGE_VERSION
from tests.engine.conftest import Finished, RunningSandbox
from tests.engine.stacks import Change, OwnStack
from tests.faults.world import differences

# What cannot be had again, with the output that is the thing itself (none: the id is).
IRREPLACEABLE: Mapping[str, str | None] = {
    "aws:kms/key:Key": None,
    "aws:rds/instance:Instance": "resourceId",
    "random:index/randomId:RandomId": "hex",
    "random:index/randomPassword:RandomPassword": "result",
    "tls:index/privateKey:PrivateKey": "privateKeyPem",
}
LOCKED = "the stack is currently locked by 1 lock(s)"


class NotConverged(AssertionError):
    """A walk ended otherwise than an undisturbed run; the text says at which point, and what is different."""


def stand_ins(home: Home) -> Path:
    """A PULUMI_HOME with the sandbox's own plugins alone: official ones, which the sandbox prefers, have no faults."""
    root = home.stack / "tests" / "stand-ins"
    python = Path(sys.executable)
    versions = plugin_versions(python)
    found = {name: f"resource-{name}-v{versions[name]}" for name in RESOURCE_PLUGINS}
    found["python"] = f"language-python-v{LANGUAGE_VERSION}"
    for name, folder in found.items():
        kind = folder.partition("-")[0]
        launcher = root / "plugins" / folder / f"pulumi-{kind}-{name}"
        launcher.parent.mkdir(parents=True, exist_ok=True)
        module = "sandbox.plugins.language" if kind == "language" else f"sandbox.plugins.{name}"
        launcher.write_text(launcher_text(module, python, CHECKOUT))
        launcher.chmod(0o755)
    return root


class FaultyStack(OwnStack):
    """A stack whose engine can be killed at a point, or led to the cluster by another way."""

    faults: Path | None = None
    kubeconfig: Path | None = None
    """Another way to the cluster."""

    def __init__(self, beside: RunningSandbox, name: str) -> None:
        super().__init__(beside, name)
        self._plugins = stand_ins(beside.home)

    def environment(self) -> dict[str, str]:
        own = {VARIABLE: self.faults, "KUBECONFIG": self.kubeconfig, "PULUMI_HOME": self._plugins}
        given = {name: str(path) for name, path in own.items() if path is not None}
        return {**super().environment(), **given, "PULUMI_IGNORE_AMBIENT_PLUGINS": "true"}

    def struck(self, points: Iterable[Point], *arguments: str) -> tuple[list[Point], Finished]:
        """Run the engine with these points; where it was struck (nowhere: it came through), and how it ended."""
        with tempfile.TemporaryDirectory(prefix="faults-") as directory:
            self.faults = Path(directory) / "points"
            self.faults.write_text("".join(f"{point}\n" for point in points))
            try:
                done = self.pulumi(*arguments, check=False)
            finally:
                self.faults = None
            record = Path(directory) / "points.struck"
            lines = record.read_text().splitlines() if record.exists() else []
        return [Point.parse(line) for line in lines], done


@contextmanager
def faulty_stack(beside: RunningSandbox, name: str, change: Change = lambda settings: None) -> Iterator[FaultyStack]:
    """A configured stack, and at the end nothing of it, whatever state it was left in."""
    stack = FaultyStack(beside, name)
    stack.configure(beside, change)
    try:
        yield stack
    finally:
        stack.operations("recover", "--yes", "--restore-record", check=False)
        stack.remove()


def said(done: Finished) -> str:
    return done.stdout + done.stderr


@dataclass
class Kept:
    """What has been recorded once and must stay what it is."""

    may_go: bool = False  # a run that deletes
    may_change: tuple[str, ...] = ()
    """Ends of URNs under which another thing may stand at any time."""
    values: dict[str, str] = field(default_factory=dict)

    def check(self, recorded: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises `NotConverged` when something is gone, or another thing has its name."""
        now = {}
        for urn, resource in recorded.items():
            if resource["type"] in IRREPLACEABLE and not resource.get("delete") and not urn.endswith(self.may_change):
                output = IRREPLACEABLE[resource["type"]]
                value = str(resource["id"] if output is None else resource["outputs"][output])
                # Never in a message: some are secrets.
                now[urn] = hashlib.sha256(value.encode()).hexdigest()
        lost = [urn for urn, value in self.values.items() if urn in now and now[urn] != value]
        if lost:
            raise NotConverged(f"another thing has taken the place of {', '.join(lost)}")
        gone = [] if self.may_go else [urn for urn in self.values if urn not in now]
        if gone:
            raise NotConverged(f"{', '.join(gone)} has gone from the state")
        self.values = now


@dataclass
class Walk:
    """One command of the engine, killed at every point that it comes to."""

    stack: FaultyStack
    command: tuple[str, ...]
    kept: Kept = field(default_factory=Kept)
    done: list[Point] = field(default_factory=list)

    def through(
        self,
        points: Iterable[Point],
        *,
        look_at_each: bool = False,
        each: Callable[[list[Point]], None] = lambda struck: None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[Point]:
        """Kill at each, recover each time, then let it come through; the points that it never came to.

        A plain run is shown to be refused after the first, with `look_at_each` after every one. `each` is told of a
        kill, and `meanwhile` happens between `recover` and the next run.
        Raises `NotConverged`.
        """
        left = dict.fromkeys(points)
        self.kept.check(self.stack.recorded())
        while True:
            struck, ended = self.stack.struck(left, *self.command)
            if not struck:
                break
            if ended.returncode != -signal.SIGKILL:
                raise NotConverged(f"{struck}: the engine was not killed:\n{said(ended)}")
            self.done += struck
            for point in struck:
                left.pop(point, None)
            each(struck)
            self.recover(struck, look=look_at_each or self.done == struck)
            meanwhile()
        if ended.returncode != 0:
            raise NotConverged(f"after {self.done}: the run does not come through:\n{said(ended)}")
        return list(left)

    def recover(self, struck: list[Point], *, look: bool) -> None:
        """As an operator does: a plain run says that it cannot, `recover` mends."""
        if look:
            refused = self.stack.pulumi(*self.command, check=False)
            if refused.returncode == 0 or LOCKED not in said(refused):
                raise NotConverged(f"{struck}: a plain run is not refused:\n{said(refused)}")
        # The kill is why a record may not be there: nobody has removed the stack.
        mended = self.stack.operations("recover", "--yes", "--restore-record", check=False)
        if mended.returncode != 0 or "`up` goes on from here" not in mended.stdout:
            raise NotConverged(f"{struck}: recover failed, or left something:\n{said(mended)}")
        self.kept.check(self.stack.recorded())


def check_converged(stack: FaultyStack, kept: Kept, expected: set[str] | None = None) -> None:
    """As after an undisturbed run: nothing to do, no orphan anywhere, nothing lost; with `expected` those URNs alone.

    Raises `NotConverged`.
    """
    again = stack.pulumi("up", "--refresh", "--expect-no-changes", check=False)
    if again.returncode != 0:
        raise NotConverged(f"another run has something to do:\n{said(again)}")
    recorded = stack.recorded()
    kept.check(recorded)
    if "pending operations" in said(again):
        raise NotConverged(f"the engine still warns of what it had begun:\n{said(again)}")
    # Providers that nobody registers are the engine's own, which no preview announces.
    registered = {urn for urn in recorded if "::pulumi:providers:" not in urn}
    if expected is not None and registered != {urn for urn in expected if "::pulumi:providers:" not in urn}:
        raise NotConverged(f"other resources than in an undisturbed run: {sorted(registered ^ expected)}")
    different = differences(stack, recorded)
    if different:
        raise NotConverged(
            "\n".join(f"{where}: {live}\n  state: {known}" for where, (live, known) in different.items())
        )


def check_gone(stack: FaultyStack) -> None:
    """As after an undisturbed destroy. Raises `NotConverged`."""
    left = sorted(stack.recorded())
    if left:
        raise NotConverged(f"the state still has {left}")
    different = differences(stack, {})
    if different:
        raise NotConverged(f"left behind: {different}")
