"""Helm releases that are pending, half uninstalled or not in the state, and what `recover` lets Helm do about them.

Never touches a release that somebody else owns, that somebody may be working on, or whose removal would cost data: the
step then tells what its owner can run.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from components.expiry import write_time
from components.teleport_values import auth_deployment_name, proxy_deployment_name
from operations.cluster import Cluster, ClusterError, name_of
from operations.durations import in_words
from operations.helm_releases import TAKEN_AWAY, UNSETTLED, HelmRelease, list_revisions
from operations.mending import Step
from operations.ownership import is_release_of

RELEASE = "kubernetes:helm.sh/v3:Release"
# Seconds: a rollback waits for the pods of the former revision.
_HELM_TIMEOUT = 600
# When a Helm that exceeds its own timeout is killed.
_GIVEN_UP = _HELM_TIMEOUT + 60


@dataclass(frozen=True, kw_only=True)
class InterruptedRelease:
    """One release of the configuration."""

    cluster: Cluster
    namespace: str
    name: str
    timeout_seconds: int
    """Seconds that an operation on it may take."""
    root: Path
    owned_by: str = ""
    """Who owns it; empty when this stack does."""
    keeps_data: bool = False
    """Whether removing it may destroy what cannot be restored: Teleport's database."""

    @property
    def identity(self) -> str:
        """The id, as the state has it."""
        return f"{self.namespace}/{self.name}"

    def steps(self, now: datetime, *, by_engine: bool, is_own: bool) -> Iterator[Step]:
        """Steps for a pending or removed release; none for any other.

        by_engine: whether the engine's record says that it was working on the release when it was killed.
        is_own: whether the release is this stack's.
        """
        revisions = list_revisions(self.cluster, self.namespace, self.name)
        if not revisions or revisions[-1].status not in UNSETTLED:
            return
        last, good = revisions[-1], last_good(revisions)
        taken_away = last.status in TAKEN_AWAY
        since = last.began
        age = "" if since is None else f" since {write_time(since)} ({in_words((now - since).total_seconds())})"
        problem = f"revision {last.revision} of {self.name} in {self.namespace} is {last.status}{age}"
        back = self._rollback(last.revision if good is None else good)
        reason = "" if last.status == "uninstalled" else self._reason_to_wait(now, since, by_engine=by_engine)
        if self.owned_by:
            remedy = (
                f"leave it to whoever owns it ({self.owned_by}). When no Helm process works on it: `{_shown(back)}`"
            )
            yield Step(problem, remedy)
        elif reason:
            yield Step(problem, reason)
        elif not is_own:
            command = self._uninstall() if good is None or taken_away else back
            yield Step(problem, self._not_certain(f"`{_shown(command)}`"))
        elif taken_away:
            yield self._half_gone(problem, last.revision)
        elif good is not None:
            yield Step(problem, f"roll it back to revision {good}", lambda: run_helm(back, self.root))
        else:
            yield self._never_ran(problem, back)

    def unknown(self, stack: str, *, by_engine: bool) -> Iterator[Step]:
        """Steps for an access graph's release that the state does not know; none for a pending or removed one.

        stack: our full name.
        by_engine: whether the engine was making it when it was killed; `begun` then imports it.
        """
        revisions = list_revisions(self.cluster, self.namespace, self.name)
        if not revisions or revisions[-1].status in UNSETTLED:
            return
        problem = f"the release {self.name} in {self.namespace} exists, and the state does not know it"
        command = self._uninstall()
        if is_release_of(stack, self.cluster, revisions[-1]):
            remedy = "uninstall it: it keeps nothing, and the next `up` installs it again"
            yield Step(problem, remedy, lambda: run_helm(command, self.root))
        elif not by_engine:
            yield Step(problem, self._not_certain(f"`{_shown(command)}`"))

    def is_of(self, stack: str) -> bool:
        """Whether its newest revision is certainly that stack's. stack: a full name."""
        revisions = list_revisions(self.cluster, self.namespace, self.name)
        return bool(revisions) and is_release_of(stack, self.cluster, revisions[-1])

    def _reason_to_wait(self, now: datetime, since: datetime | None, *, by_engine: bool) -> str:
        """Why to wait; empty when no Helm can be working on it. The engine's Helm ended with the engine."""
        if by_engine:
            return ""
        if since is None:
            return (
                "Helm does not say since when: see that no Helm process works on it, then `helm rollback` it yourself"
            )
        until = since + timedelta(seconds=self.timeout_seconds)
        if now >= until:
            return ""
        return (
            f"a Helm process may still work on it, until {write_time(until)} at the latest (timeoutSeconds: "
            f"{self.timeout_seconds}); `recover` again after that"
        )

    def _half_gone(self, problem: str, revision: int) -> Step:
        command = self._uninstall()
        if self.keeps_data:
            back = self._rollback(revision)
            return Step(problem, f"to bring it back: `{_shown(back)}`; to complete its removal: `{_shown(command)}`")
        remedy = "complete its removal: it keeps nothing, and the next `up` installs it again"
        return Step(problem, remedy, lambda: run_helm(command, self.root))

    def _never_ran(self, problem: str, back: list[str]) -> Step:
        command = self._uninstall()
        made = self._made() if self.keeps_data else []
        if made:
            there = ", ".join(made)
            return Step(
                problem,
                f"leave it: {there} exist, and to remove them may delete Teleport's data. To keep the release: "
                f"`{_shown(back)}`; to remove it: `{_shown(command)}`",
            )
        return Step(problem, "uninstall it: it never ran", lambda: run_helm(command, self.root))

    def _made(self) -> list[str]:
        """The chart's objects that run or hold data, found by label and by the chart's names for them."""
        names = {
            "Deployment": (auth_deployment_name(self.name), proxy_deployment_name(self.name)),
            "PersistentVolumeClaim": (self.name,),
        }
        found = []
        for kind, given in names.items():
            labelled = self.cluster.list(kind, self.namespace, labels=f"app.kubernetes.io/instance={self.name}")
            named = [name for name in given if self.cluster.get(kind, name, self.namespace) is not None]
            found += [f"{kind} {name}" for name in sorted({*map(name_of, labelled), *named})]
        return found

    def _not_certain(self, command: str) -> str:
        return (
            "nothing shows that this stack made it: give one of the two another name, or, if an earlier version of the "
            f"program made it for this stack, run {command}"
        )

    def _rollback(self, revision: int) -> list[str]:
        return ["rollback", self.name, str(revision), *self._at()]

    def _uninstall(self) -> list[str]:
        return ["uninstall", self.name, *self._at()]

    def _at(self) -> list[str]:
        place = ["--namespace", self.namespace, "--kube-context", self.cluster.context]
        return [*place, "--wait", "--timeout", f"{_HELM_TIMEOUT}s"]


def under_way(state: Mapping[str, Any]) -> set[str]:
    """`namespace/name` of each release that the engine was working on when it was killed."""
    found = set()
    for operation in state.get("pending_operations") or []:
        resource = operation.get("resource") or {}
        if resource.get("type") == RELEASE:
            inputs = resource.get("inputs") or {}
            found.add(str(resource.get("id") or f"{inputs.get('namespace')}/{inputs.get('name')}"))
    return found


def last_good(revisions: list[HelmRelease]) -> int | None:
    """The newest revision that ever ran."""
    good = [one.revision for one in revisions if one.status in ("deployed", "superseded")]
    return good[-1] if good else None


def run_helm(arguments: list[str], root: Path) -> str:
    """The first line of Helm's output. Raises `ClusterError` with Helm's own message."""
    helm = shutil.which("helm")
    if helm is None:
        raise ClusterError(f"helm: is not on PATH; install Helm, or run `{_shown(arguments)}` elsewhere")
    try:
        finished = subprocess.run(
            [helm, *arguments], cwd=root, capture_output=True, text=True, timeout=_GIVEN_UP, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(
            f"helm {arguments[0]}: no answer in {_GIVEN_UP:g} s, and it was ended; look at the pods' events and at "
            f"`{_history(arguments)}`, then try again"
        ) from None
    if finished.returncode:
        raise ClusterError(f"helm {arguments[0]}: {finished.stderr.strip()}; look at the pods' events, then try again")
    return finished.stdout.strip().splitlines()[0] if finished.stdout.strip() else "done"


def _shown(arguments: list[str]) -> str:
    """The command for people, quoted for a shell."""
    return f"helm {shlex.join(arguments)}"


def _history(arguments: list[str]) -> str:
    """The command that shows the history of the release that another command is about."""
    place = arguments.index("--namespace") if "--namespace" in arguments else len(arguments)
    return _shown(["history", arguments[1], *arguments[place : place + 4]])
