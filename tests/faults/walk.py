"""Kills an `up` or a `destroy` at one point after the other, recovers each time, and checks that nothing is lost.

One walk goes through many points: whatever a killed run made stays, and the next run continues from there. The engine's
own order decides which of the remaining points comes next.
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

# Resource types that cannot be made again -> the output that identifies one (None: its id does).
IRREPLACEABLE: Mapping[str, str | None] = {
    "aws:kms/key:Key": None,
    "aws:rds/instance:Instance": "resourceId",
    "random:index/randomId:RandomId": "hex",
    "random:index/randomPassword:RandomPassword": "result",
    "tls:index/privateKey:PrivateKey": "privateKeyPem",
}
LOCKED = "the stack is currently locked by 1 lock(s)"


class NotConverged(AssertionError):
    """A walk did not end like an undisturbed run. The text says at which point, and what differs."""


def stand_ins(home: Home) -> Path:
    """A PULUMI_HOME with only the stand-ins. The sandbox prefers official plugins, but those can inject no faults."""
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
    """A stack whose engine can be killed at a point, or can reach the cluster by another way."""

    faults: Path | None = None
    kubeconfig: Path | None = None
    """If set, leads to the cluster by another way (`tests/faults/way.py`)."""

    def __init__(self, beside: RunningSandbox, name: str) -> None:
        super().__init__(beside, name)
        self._plugins = stand_ins(beside.home)

    def environment(self) -> dict[str, str]:
        own = {VARIABLE: self.faults, "KUBECONFIG": self.kubeconfig, "PULUMI_HOME": self._plugins}
        given = {name: str(path) for name, path in own.items() if path is not None}
        return {**super().environment(), **given, "PULUMI_IGNORE_AMBIENT_PLUGINS": "true"}

    def struck(self, points: Iterable[Point], *arguments: str) -> tuple[list[Point], Finished]:
        """Runs the engine, to be killed at the first of `points` that it reaches.

        Returns the points at which it was killed (none if it came through), and how it ended.
        """
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
    """A configured stack, which is removed at the end, whatever state it is in by then."""
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
    """Irreplaceable resources that have been in the state once and must stay the same."""

    may_go: bool = False  # true for a run that deletes
    may_change: tuple[str, ...] = ()
    """Ends of URNs whose resources may be replaced at any time."""
    values: dict[str, str] = field(default_factory=dict)

    def check(self, recorded: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises `NotConverged` if such a resource is gone, or another has taken its URN."""
        now = {}
        for urn, resource in recorded.items():
            if resource["type"] in IRREPLACEABLE and not resource.get("delete") and not urn.endswith(self.may_change):
                output = IRREPLACEABLE[resource["type"]]
                value = str(resource["id"] if output is None else resource["outputs"][output])
                # Only the digest is kept, so that no message can show the value: some are secrets.
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
    """One command of the engine, which is killed at every point that it reaches."""

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
        """Kills the command at each point, recovers each time, then lets it come through. Returns the points that it
        never reached.

        After the first kill, and with `look_at_each` after every kill, it checks that a plain run is refused. It calls
        `each` after every kill, and `meanwhile` between `recover` and the next run. Raises `NotConverged`.
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
        """Does what an operator does: a plain run (with `look`), which is refused, and then `recover`, which mends."""
        if look:
            refused = self.stack.pulumi(*self.command, check=False)
            if refused.returncode == 0 or LOCKED not in said(refused):
                raise NotConverged(f"{struck}: a plain run is not refused:\n{said(refused)}")
        # --restore-record, because if a record is missing, the kill is why: nobody has removed the stack.
        mended = self.stack.operations("recover", "--yes", "--restore-record", check=False)
        if mended.returncode != 0 or "`up` goes on from here" not in mended.stdout:
            raise NotConverged(f"{struck}: recover failed, or left something:\n{said(mended)}")
        self.kept.check(self.stack.recorded())


def check_converged(stack: FaultyStack, kept: Kept, expected: set[str] | None = None) -> None:
    """Checks that the stack is as after an undisturbed run: nothing to do, no orphans, nothing lost, and in the state
    exactly the URNs `expected`, if given.

    Raises `NotConverged`.
    """
    again = stack.pulumi("up", "--refresh", "--expect-no-changes", check=False)
    if again.returncode != 0:
        raise NotConverged(f"another run has something to do:\n{said(again)}")
    recorded = stack.recorded()
    kept.check(recorded)
    if "pending operations" in said(again):
        raise NotConverged(f"the engine still warns of what it had begun:\n{said(again)}")
    # Without providers: the engine makes default providers itself, and no preview announces them.
    registered = {urn for urn in recorded if "::pulumi:providers:" not in urn}
    if expected is not None and registered != {urn for urn in expected if "::pulumi:providers:" not in urn}:
        raise NotConverged(f"other resources than in an undisturbed run: {sorted(registered ^ expected)}")
    different = differences(stack, recorded)
    if different:
        raise NotConverged(
            "\n".join(f"{where}: {live}\n  state: {known}" for where, (live, known) in different.items())
        )


def check_gone(stack: FaultyStack) -> None:
    """Checks that the stack is as after an undisturbed destroy. Raises `NotConverged`."""
    left = sorted(stack.recorded())
    if left:
        raise NotConverged(f"the state still has {left}")
    different = differences(stack, {})
    if different:
        raise NotConverged(f"left behind: {different}")
