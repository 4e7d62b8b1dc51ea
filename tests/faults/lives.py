"""A stack's life with kills in it: how each run has to end, and a life of random moves."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from components.teleport_values import CA_CONFIG_MAP_NAME
from sandbox.home import CHECKOUT
from sandbox.plugins.faults import Point
from sandbox.workloads.host_authority import create_authority
from tests.engine.stacks import Settings
from tests.faults.journeys import DESTROY, UP, Journey
from tests.faults.moves import OTHER_TELEPORT, Teleports, moves
from tests.faults.points import sampled
from tests.faults.results import KILLED, NOT_TAKEN_BACK, RESTARTED, TAKEN_BACK, TURNED
from tests.faults.switches import some
from tests.faults.walk import FaultyStack, Kept, NotConverged, Walk, check_converged, check_gone, said

# With parallel operations the engine may never come to a point. One operation at a time, it comes to all.
IN_ORDER = ("--parallel", "1")
# Probabilities after a kill: that the change is taken back before it is repeated, and that pods restart meanwhile.
OF_TAKING_BACK, OF_RESTARTS = 0.3, 0.3
# The last line of a PEM certificate.
END_OF_CERTIFICATE = "-----END CERTIFICATE-----\n"
# `verify`'s check of the other Teleport. Its mode is `values`, and nobody rolls the values out, so there is no Teleport
# to look at.
NOT_ROLLED_OUT = f"teleport.{OTHER_TELEPORT}"
# Exit codes of a `verify` that could look: proven, wrong, not proven.
LOOKED = (0, 1, 3)
# Words for changes in the engine's final summary.
CHANGES = ("created", "updated", "deleted", "replaced", "imported")


def finish(journey: Journey, stack: FaultyStack, kept: Kept) -> None:
    """Checks that the stack is as an undisturbed run of `journey` leaves it. Raises `NotConverged`."""
    if journey is DESTROY:
        check_gone(stack)
        kept.values.clear()
    else:
        check_converged(stack, kept)


class Life:
    """A stack that lives through random moves, each killed at random points in the engine's own order. Any allowed move
    may follow any other. After every move nothing is lost, nothing is left over, and `verify` finds nothing wrong."""

    def __init__(self, stack: FaultyStack, directory: Path) -> None:
        self._stack = stack
        # A rotation gives the free slot another password. `verify` proves that the password in use opens the database.
        self._kept = Kept(may_go=True, may_change=("::database-access-login-a", "::database-access-login-b"))
        ((cluster, entry),) = stack.settings["teleport"].items()
        few, many, other = entry["hostAuthorities"]["path"], directory / "many.pem", directory / "other.pem"
        many.write_text((CHECKOUT / few).read_text() + _host_authority(directory, cluster))
        other.write_text(_host_authority(directory, OTHER_TELEPORT))
        # The program takes no absolute path.
        paths = (os.path.relpath(file, CHECKOUT) for file in (many, other))
        self._teleports = Teleports(few, *paths, namespace=f"{stack.namespace}-teleport")

    def begin(self) -> None:
        """Deploys the stack as it is configured."""
        # Without this, changes that restart the instance wait for its maintenance window, and each preview shows them.
        self._stack.database(applyImmediately=True)
        self._stack.kubectl("create", "namespace", self._teleports.namespace)
        self._stack.pulumi("up")
        self._kept.check(self._stack.recorded())

    def sequence(self, seed: int, moves: int, kills: int) -> list[str]:
        """Makes `moves` random moves, each with up to `kills` kills, and returns what happened, in order.

        Raises `NotConverged`, with what happened until then.
        """
        chance = random.Random(seed)
        happened: list[str] = []
        try:
            for _ in range(moves):
                self._move(chance, chance.randint(0, kills), happened.append)
        except NotConverged as failure:
            raise NotConverged(f"seed {seed}, {'; '.join(happened)}: {failure}") from failure
        return happened

    def end(self) -> None:
        """Destroys the stack, and checks that nothing is left."""
        self._stack.pulumi("destroy")
        check_gone(self._stack)
        self._stack.kubectl("delete", "namespace", self._teleports.namespace)

    def _move(self, chance: random.Random, kills: int, tell: Callable[[str], None]) -> None:
        before = self._stack.settings
        move, switches = chance.choice(moves(before, self._teleports)), some(chance)
        tell(move.name)
        self._stack.change(move.change)
        for switch in switches:
            tell(f"{TURNED}{switch}")
            self._stack.change(switch.turn)
        wanted = self._stack.settings

        def each(struck: list[Point]) -> None:
            tell(f"{KILLED}{', '.join(map(str, struck))}")

        def meanwhile() -> None:
            if chance.random() < OF_RESTARTS:
                tell(RESTARTED)
                self._stack.kubectl("delete", "pods", "--all", "--namespace", self._stack.namespace, "--wait=false")
            if chance.random() < OF_TAKING_BACK:
                self._stack.change(lambda now: replace_all(now, before))
                taken_back = self._is_taken_back()
                tell(TAKEN_BACK if taken_back else NOT_TAKEN_BACK)
                self._stack.change(lambda now: replace_all(now, wanted))
                if taken_back:
                    self._make_way(before, wanted)

        self._make_way(before, wanted)
        points = sampled(UP.points(self._stack), kills, chance.randrange(10**6))
        Walk(self._stack, ("up",), self._kept).through(points, each=each, meanwhile=meanwhile)
        check_converged(self._stack, self._kept)
        proof = self._stack.operations("verify", "--json", check=False)
        if proof.returncode not in LOOKED or not all(map(_is_right, json.loads(proof.stdout)["findings"])):
            raise NotConverged(f"verify: {said(proof)}")

    def _make_way(self, before: Settings, wanted: Settings) -> None:
        """Deletes the ConfigMap that stayed behind for auth when the other Teleport left the mode `values`. It would be
        in the way when that Teleport returns to the mode, as `preflight` and `recover` say."""
        if _is_by_values(wanted) and not _is_by_values(before):
            left = ("configmap", CA_CONFIG_MAP_NAME, "--namespace", self._teleports.namespace, "--ignore-not-found")
            self._stack.kubectl("delete", *left)

    def _is_taken_back(self) -> bool:
        """Whether an `up` with the former settings succeeds; the only other outcome it may have is a refusal."""
        done = self._stack.pulumi("up", check=False)
        if done.returncode != 0 and not is_refusal(done.stdout):
            raise NotConverged(f"what was begun is neither taken back nor refused:\n{said(done)}")
        self._kept.check(self._stack.recorded())
        return done.returncode == 0


def _host_authority(directory: Path, cluster: str) -> str:
    """A new host CA of the Teleport `cluster`, in PEM."""
    file = directory / f"{cluster}.pem"
    create_authority(file, cluster)
    # The file also has the CA's key, after the certificate.
    return file.read_text().partition(END_OF_CERTIFICATE)[0] + END_OF_CERTIFICATE


def _is_right(finding: dict[str, str]) -> bool:
    return finding["outcome"] != "fail" or finding["check"] == NOT_ROLLED_OUT


def _is_by_values(settings: Settings) -> bool:
    return bool(settings["teleport"].get(OTHER_TELEPORT, {}).get("mode") == "values")


def is_refusal(shown: str) -> bool:
    """Whether a failed run changed nothing, and failed with an error message instead of a traceback."""
    counts = shown.rpartition("\nResources:")[2]
    return "error: " in shown and "Traceback" not in shown and not any(word in counts for word in CHANGES)


def replace_all(settings: Settings, others: Settings) -> None:
    """Replaces all of `settings` by `others`, in place."""
    settings.clear()
    settings.update(others)
