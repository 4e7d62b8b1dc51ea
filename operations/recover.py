"""`recover`: mends what a killed `up` left behind, so that the next one converges. Asks before each change.

Clears the stack's lock, rolls pending Helm releases back, and imports or removes objects that were created but not
recorded. Acts only in the configured clusters and account, and only on what belongs to this stack. Never deletes what
holds data (a database, a Teleport). `begun` handles what the engine was making, `interrupted_releases` Helm's releases,
`unrecorded_objects` the other objects in the cluster.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from components.settings import ManualTeleportSettings, ReleaseTeleportSettings, Settings, ValuesTeleportSettings
from components.settings.names import (
    PROJECT,
    STACK_TAG,
)
from operations.aws_session import NoSession
from operations.begun import BegunOperations, context_of, known, present, resource_name
from operations.checkpoint import CutOff, backend_directory, cut_off
from operations.cloud_account import identity_of
from operations.cluster import Cluster, ClusterError
from operations.engines import (
    EngineProcess,
    abandoned_plugins,
    end_plugin,
    engine_processes,
    hidden_engines,
    live_engines,
)
from operations.field_owners import forgotten_owners
from operations.helm_releases import installed_again, list_revisions
from operations.interrupted_releases import RELEASE, InterruptedRelease, under_way
from operations.lost_data import to_have_again
from operations.mending import Step
from operations.outward import closed_groups
from operations.ownership import full_name, require_own
from operations.stack import ROOT, StackError, in_file, run_engine, short_name
from operations.unrecorded import carrying
from operations.unrecorded_objects import UnrecordedObjects, recorded_kinds

# Seconds; a refresh of one release.
_REFRESH_TIMEOUT = 300
# Seconds; Helm's default, because nobody tells how long somebody else's Helm waits:
# https://helm.sh/docs/helm/helm_upgrade/
_OTHERS_TIMEOUT = 300
# Pulumi Cloud's messages for a stack that is not locked: its last update has ended (an update expires when its client
# is gone), or there was none yet: https://github.com/pulumi/pulumi/issues/5364, and Pulumi's pkg/backend/httpstate
_NOT_LOCKED = ("update has already completed", "has never been updated")
# The option that allows bringing a stack back, which may have been removed on purpose.
RESTORE = "--restore-record"
# The type of `teleport.py`'s marks on Deployments: on the proxies' to restart them, on auth's to wait for it.
_MARK = "kubernetes:apps/v1:DeploymentPatch"


@dataclass
class Recovery:
    """One run over one stack."""

    settings: Settings
    stack: str
    config_file: Path | None = None
    connect: Callable[[str], Cluster] = Cluster.connect
    processes: Callable[[], Sequence[EngineProcess]] = engine_processes
    root: Path = ROOT
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    _clusters: dict[str, Cluster] = field(default_factory=dict)
    _name: str = ""
    """The stack's full name, once the state has been read."""

    def steps(self) -> Iterator[Step]:
        """The steps in order. Each is looked for only after the one before is done."""
        processes = self.processes()
        running = live_engines(processes, self.root, self.stack)
        if running:
            listed = "; ".join(f"process {engine.number}: {engine.shown}" for engine in running)
            raise StackError(f"the engine is at work ({listed}); wait for it, or end it, before you recover")
        plugins = abandoned_plugins(processes, self.root, self.stack)
        for plugin in plugins:
            yield Step(
                f"process {plugin.number} ({plugin.shown}) has outlived the engine that was killed, and may still be "
                "doing what that engine asked of it",
                "end it: it could change what is repaired here",
                functools.partial(end_plugin, plugin.number),
            )
        if plugins and abandoned_plugins(self.processes(), self.root, self.stack):
            return  # a plugin still works, so nothing here is stable
        self._check_places()
        # Without its record the engine does not know the stack, and cannot clear its lock.
        for found in self._cut_off():
            yield _put_back(found)
            if found.is_missing and not found.file.exists():
                return  # the stack does not exist
        yield Step(
            f"the stack {self.stack} may still be locked by an `up` that was killed",
            "clear the lock",
            self._clear_lock,
        )
        state = self._state()
        self._name = full_name(state, self.stack)
        yield from self._pending(state)
        yield from self._begun_deletions(state)
        # Read again, without what these steps removed, but with the earlier pending operations: later steps need them
        # all.
        state = {**self._state(), "pending_operations": state.get("pending_operations")}
        yield from self._namespace_gone(state)
        unrecorded = UnrecordedObjects(self.settings, self.stack, self._name, self._cluster, self._graph_release())
        yield from unrecorded.steps(state)
        yield from self._uninstalled(state)
        begun = BegunOperations(self.settings, self.stack, self._of_stack(), self._cluster, self.root, self._name)
        yield from begun.steps(state)
        # Read again, with what the steps so far have imported.
        state = self._state()
        yield from forgotten_owners(self.settings, state, self._name, self._cluster)
        yield from closed_groups(self.settings.aws, state)
        yield from self._tagged(state)

    def notes(self) -> list[str]:
        """What this user cannot examine."""
        return [
            f"process {engine.number} of another user ({engine.shown}) cannot be looked at; make sure that it works on "
            "another stack"
            for engine in hidden_engines(self.processes(), self.stack)
        ]

    def _check_places(self) -> None:
        """Check that contexts and credentials lead to this stack's clusters and account. Raises `ClusterError`."""
        self._cluster(self.settings.kubernetes.context)
        for name, entry in self.settings.teleport.items():
            if not isinstance(entry, ManualTeleportSettings):
                self._cluster(self.settings.kubernetes_of(name).context)
        aws = self.settings.aws
        if aws is None:
            return
        try:
            account, caller = identity_of(aws)
        except NoSession:
            return  # without an answer nothing is changed in AWS: the steps say what to look for
        if account != aws.account_id:
            raise ClusterError(
                f"AWS: the credentials are {caller} of {account}, aws.accountId says {aws.account_id}; take another "
                "profile, or correct aws.accountId. Nothing was touched"
            )

    def _cluster(self, context: str) -> Cluster:
        """Raises `ClusterError` when the context leads to another cluster than the configured one."""
        if context not in self._clusters:
            cluster = self.connect(context)
            require_own(self.settings, cluster)
            self._clusters[context] = cluster
        return self._clusters[context]

    def _clear_lock(self) -> str:
        try:
            run_engine(["cancel", "--yes", "--stack", self.stack], self.root)
        except StackError as error:
            # Pulumi Cloud fails for a stack without a lock; file and bucket backends do not.
            if any(words in str(error).lower() for words in _NOT_LOCKED):
                return "there was none"
            raise
        return "cleared"

    def _cut_off(self) -> list[CutOff]:
        """Records that a full disk or a kill cut off, without which the engine cannot read the stack."""
        backend = json.loads(run_engine(["whoami", "--json"], self.root))
        directory = backend_directory(str(backend.get("url", "")))
        return list(cut_off(directory, PROJECT, short_name(self.stack))) if directory else []

    def _graph_release(self) -> InterruptedRelease:
        graph = self.settings.access_graph
        return InterruptedRelease(
            cluster=self._cluster(self.settings.kubernetes.context),
            namespace=graph.namespace,
            name=graph.release,
            timeout_seconds=graph.timeout_seconds,
            root=self.root,
        )

    def _teleport_releases(self) -> Iterator[InterruptedRelease]:
        for name, entry in self.settings.teleport.items():
            if isinstance(entry, ManualTeleportSettings):
                continue
            yield InterruptedRelease(
                cluster=self._cluster(self.settings.kubernetes_of(name).context),
                namespace=entry.namespace,
                name=entry.release,
                timeout_seconds=entry.timeout_seconds
                if isinstance(entry, ReleaseTeleportSettings)
                else _OTHERS_TIMEOUT,
                root=self.root,
                owned_by=f"teleport.{name}.mode: values" if isinstance(entry, ValuesTeleportSettings) else "",
                keeps_data=True,
            )

    def _pending(self, state: Mapping[str, Any]) -> Iterator[Step]:
        begun, graph = under_way(state), self._graph_release()
        is_recorded = ("Release", graph.identity) in recorded_kinds(state)
        is_own = is_recorded or graph.identity in begun or graph.is_of(self._name)
        yield from graph.steps(self.now(), by_engine=graph.identity in begun, is_own=is_own)
        for release in self._teleport_releases():
            # The entry's mode says that the release is this stack's.
            yield from release.steps(self.now(), by_engine=release.identity in begun, is_own=True)

    def _state(self) -> Mapping[str, Any]:
        document = json.loads(run_engine(["stack", "export", "--stack", self.stack], self.root))
        return document.get("deployment") or {}

    def _namespace_gone(self, state: Mapping[str, Any]) -> Iterator[Step]:
        namespace = self.settings.access_graph.namespace
        cluster = self._cluster(self.settings.kubernetes.context)
        if ("Namespace", namespace) not in recorded_kinds(state) or cluster.get("Namespace", namespace) is not None:
            return
        # Without releases: `_uninstalled` asks Helm about each of them.
        gone = [
            str(one["urn"])
            for one in present(state)
            if one.get("type") != RELEASE and f"{one.get('id')}/".startswith(f"{namespace}/")
        ]
        yield Step(
            f"the state has the namespace {namespace}, and the cluster does not",
            "take it out of the state, with all that was in it: an `up` trusts the state, and would not make it again",
            functools.partial(self._forget, gone),
        )

    def _begun_deletions(self, state: Mapping[str, Any]) -> Iterator[Step]:
        """What the engine was deleting when it was killed may be gone. A `destroy` would notice; an `up` trusts the
        state. Keys and passwords exist only in the state; `_uninstalled` handles releases."""
        recorded = {str(one.get("urn")) for one in present(state)}
        for operation in state.get("pending_operations") or []:
            resource = operation.get("resource") or {}
            kind, urn = str(resource.get("type")), str(resource.get("urn"))
            if operation.get("type") != "deleting" or urn not in recorded or kind == RELEASE:
                continue
            if not kind.startswith(("aws:", "kubernetes:")):
                continue
            problem = f"the engine was deleting {kind} {resource.get('id')}, and does not know whether it did"
            remedy = "take it out of the state if it is gone: an `up` trusts the state, and would not make it again"
            if kind.startswith("aws:") and not self._asks_aws():
                yield Step(
                    problem, f"look for it; `pulumi refresh --target '{urn}'` takes it out of the state if it is gone"
                )
            else:
                yield Step(problem, remedy, functools.partial(self._forget_if_gone, urn))

    def _asks_aws(self) -> bool:
        try:
            return self.settings.aws is not None and bool(identity_of(self.settings.aws))
        except NoSession:
            return False

    def _forget_if_gone(self, urn: str) -> str:
        result = self._forget([urn])
        return "it is there" if any(one.get("urn") == urn for one in present(self._state())) else result

    def _uninstalled(self, state: Mapping[str, Any]) -> Iterator[Step]:
        """Releases that Helm has uninstalled but the state still has: Helm refuses to uninstall them again. `_pending`
        handles a release that still has Helm records. Also marks on Deployments that are gone: the plugin removes a
        mark by writing to the Deployment, whether it exists or not."""
        for resource in state.get("resources") or []:
            if resource.get("type") not in (RELEASE, _MARK):
                continue
            context = context_of(self.settings, resource)
            if context is None:
                continue  # its entry is gone; the engine then uninstalls no release, so it stays in its cluster
            namespace, _, name = str(resource.get("id", "")).partition("/")
            cluster = self._cluster(context)
            if resource["type"] == RELEASE and not list_revisions(cluster, namespace, name):
                problem, remedy = f"the state has the release {name} in {namespace}, and Helm does not", ""
                if resource.get("retainOnDelete"):  # an adopted Teleport, which no `up` installs
                    remedy = f"; then {installed_again(cluster.helm(namespace), name)}"
            elif resource["type"] == _MARK and cluster.get("Deployment", name, namespace) is None:
                problem = f"the state has a patch of the Deployment {name} in {namespace}, which is gone"
                remedy = ": neither an `up` nor a `destroy` could undo it"
            else:
                continue
            forget = functools.partial(self._forget, [str(resource["urn"])])
            yield Step(problem, f"take it out of the state{remedy}", forget)

    def _forget(self, urns: list[str]) -> str:
        targets = [argument for urn in urns for argument in ("--target", urn)]
        run_engine(["refresh", *targets, "--yes", "--skip-preview", *self._of_stack()], self.root, _REFRESH_TIMEOUT)
        return "taken out"

    def _of_stack(self) -> list[str]:
        return ["--stack", self.stack, *in_file(self.config_file)]

    def _tagged(self, state: Mapping[str, Any]) -> Iterator[Step]:
        """Objects in the account that a dead plugin or a lost state left, without a note in the state."""
        if self.settings.aws is None:
            return
        recorded, whose = known(state), full_name(state, self.stack)
        try:
            found = carrying(self.settings.aws, {STACK_TAG: whose})
        except NoSession as error:
            yield Step(f"AWS cannot be asked what carries the tag {STACK_TAG}={whose} ({error})", "look there yourself")
            return
        for closed in found.unasked:
            yield Step(f"AWS does not let these credentials ask for {closed}", "look there yourself")
        names = {resource_name(one) for one in present(state)}
        for kind, identity in (one for one in found if one not in recorded):
            yield Step(
                f"{kind} {identity} carries the stack's tag, and the state does not know it",
                to_have_again(self.settings, self.stack, kind, identity, names)
                or "delete it unless something uses it: `database.onDestroy` keep and snapshot leave such objects, and "
                "so does a plugin that died",
            )


def _put_back(found: CutOff) -> Step:
    if found.backup is None:
        problem = f"{found.file} is cut off, as a full disk or a kill leaves it"
        return Step(problem, "remove it: the backend can do without it", found.mend)
    remedy = f"put {found.backup.name} in its place, the record before it"
    if not found.is_missing:
        spoilt = " and ".join(map(str, found.spoilt))
        return Step(f"{spoilt} is cut off, as a full disk or a kill leaves it", remedy, found.mend)
    problem = f"{found.file} is missing, as after a kill or after `pulumi stack rm`"
    return Step(problem, f"{remedy}, unless the stack was removed on purpose", found.mend, option=RESTORE)
