"""What the engine had begun to make when it was killed, by its own record. Each entry is accounted for, then removed.

Part of `recover`. `unrecorded` finds the objects in AWS.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.settings import Settings
from components.settings.names import KUBERNETES_PROVIDER, kubernetes_provider_name
from components.teleport_values import CA_CONFIG_MAP_NAME
from operations.aws_session import NoSession
from operations.cluster import Cluster, Document
from operations.helm_releases import list_revisions
from operations.interrupted_releases import RELEASE
from operations.mending import Step, orphan
from operations.ownership import made_by_the_engine, maker
from operations.stack import StackError, run_engine
from operations.unrecorded import REPEATABLE, candidates

# Seconds; an import of one object.
_IMPORT_TIMEOUT = 300


@dataclass
class BegunOperations:
    """The begun operations of one stack. `of_stack` are the engine's arguments that name the stack."""

    settings: Settings
    stack: str
    of_stack: list[str]
    cluster: Callable[[str], Cluster]
    root: Path
    name: str
    """The stack's full name."""
    # URNs whose outcome is still unknown.
    _open: set[str] = field(default_factory=set)
    # URNs that the state has.
    _recorded: set[str] = field(default_factory=set)

    def steps(self, state: Mapping[str, Any]) -> Iterator[Step]:
        """The steps for the creations that the engine began; of most of them, only its record tells."""
        begun = [one["resource"] for one in state.get("pending_operations") or [] if one.get("type") == "creating"]
        recorded = known(state)
        self._recorded = {str(resource.get("urn")) for resource in state.get("resources") or []}
        self._open.update(str(resource.get("urn")) for resource in begun)
        for resource in begun:
            kind = str(resource.get("type", ""))
            if kind.startswith("aws:") and kind not in REPEATABLE:
                yield from self._in_aws(resource, recorded)
            elif kind.startswith("kubernetes:"):
                yield from self._in_kubernetes(resource, recorded)
            else:
                # The next `up` finds a repeatable AWS object. Keys and passwords exist only in the state: one not there
                # was never used.
                self._open.discard(str(resource.get("urn")))
        if begun and not self._open:
            yield Step(
                f"the engine would warn of {len(begun)} operations that it began and did not see end",
                "take them out of the state: they are accounted for",
                self._settle,
            )

    def _in_aws(self, resource: Mapping[str, Any], recorded: set[tuple[str, str]]) -> Iterator[Step]:
        kind, urn = str(resource["type"]), str(resource["urn"])
        name = resource_name(resource)
        problem = f"the engine was making {kind} {name}, and does not know whether it did"
        try:
            found = candidates(self.settings.aws, kind, resource.get("inputs") or {})
        except (NoSession, LookupError) as error:
            why = f" ({error})" if isinstance(error, NoSession) else ""
            yield Step(problem, f"look for it by the stack's tags, and delete it if it is there: nothing uses it{why}")
            return
        found = [identity for identity in found if (kind, identity) not in recorded]
        if urn in self._recorded:
            # A later run made or imported it, so nothing uses the others that match.
            self._open.discard(urn)
        elif found:
            first, *found = found
            yield Step(problem, f"import {first} if it is there", functools.partial(self._import, resource, first))
            # Two killed runs may both have begun it.
            self._recorded.add(urn)
            recorded.add((kind, first))
        else:
            self._open.discard(urn)
        for another in found:
            yield Step(f"{kind} {another} is like it", "delete it: the state does not know it, and nothing uses it")

    def _in_kubernetes(self, resource: Mapping[str, Any], recorded: set[tuple[str, str]]) -> Iterator[Step]:
        kind, urn = str(resource["type"]), str(resource["urn"])
        inputs = resource.get("inputs") or {}
        metadata = inputs.get("metadata") or {}
        noun, name = kind.rpartition(":")[2], metadata.get("name") or inputs.get("name")
        namespace = metadata.get("namespace") or inputs.get("namespace")
        identity = f"{namespace}/{name}" if namespace else str(name)
        # A patch of somebody else's object is simply applied again; `UnrecordedObjects` handles the CA's ConfigMap.
        if not name or noun.endswith("Patch") or (kind, identity) in recorded or name == CA_CONFIG_MAP_NAME:
            self._open.discard(urn)
            return
        context = context_of(self.settings, resource)
        problem = f"the engine was making {noun} {identity}, and does not know whether it did"
        if context is None:
            yield Step(problem, "look for it: its cluster is not in the configuration any more")
            return
        cluster = self.cluster(context)
        if kind == RELEASE:
            if list_revisions(cluster, str(namespace), str(name)):
                yield Step(problem, f"import {identity}", functools.partial(self._import, resource, identity))
            else:
                self._open.discard(urn)
        elif not cluster.knows(noun):
            yield Step(problem, "look for it, and delete it if it is there: the next `up` makes it again")
        else:
            found = cluster.get(noun, str(name), namespace)
            if found is not None:
                yield orphan(cluster, noun, found, namespace, self.name)
            # Somebody else's object settles this operation. One that may be ours does not, as long as it exists.
            if found is None or self._is_anothers(found) or cluster.get(noun, str(name), namespace) is None:
                self._open.discard(urn)

    def _is_anothers(self, found: Document) -> bool:
        return not made_by_the_engine(found) or maker(found) not in (None, self.name)

    def _import_command(self, resource: Mapping[str, Any], identity: str) -> list[str]:
        provider = str(resource.get("provider", "")).rpartition("::")[0]
        name = resource_name(resource)
        # The program sets protection at the next `up`; a protected object could not be destroyed before.
        command = ["import", str(resource["type"]), name, identity, "--protect=false", "--generate-code=false"]
        command += ["--parent", f"parent={resource['parent']}"] if resource.get("parent") else []
        return command + (["--provider", f"provider={provider}"] if provider else [])

    def _import(self, resource: Mapping[str, Any], identity: str) -> str:
        command = self._import_command(resource, identity)
        try:
            run_engine([*command, *self.of_stack, "--yes", "--skip-preview"], self.root, _IMPORT_TIMEOUT)
            result = "imported"
        except StackError as error:
            # Only this error says that the object was not made: a role, bucket or stack may be missing as well.
            if f"resource '{identity}' does not exist" not in str(error):
                raise
            result = "it was not made"
        self._open.discard(str(resource["urn"]))
        return result

    def _settle(self) -> str:
        """Importing a state without pending operations makes the engine forget them."""
        document = json.loads(run_engine(["stack", "export", "--stack", self.stack], self.root))
        document["deployment"]["pending_operations"] = []
        # Mode 0600: only this user can read the file. Secrets in it are encrypted.
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(document, file)
            file.flush()
            run_engine(["stack", "import", "--stack", self.stack, "--file", file.name], self.root)
        return "done"


def context_of(settings: Settings, resource: Mapping[str, Any]) -> str | None:
    """The context of the resource's provider, which `providers.py` names by its cluster; None when that cluster is no
    longer in the configuration."""
    name = str(resource.get("provider", "")).rpartition("::")[0].rpartition("::")[2]
    own = settings.kubernetes.cluster_identifier
    for place in map(settings.kubernetes_of, settings.teleport):
        if place.cluster_identifier != own and name == kubernetes_provider_name(place.cluster_identifier, own):
            return place.context
    return None if name.startswith(f"{KUBERNETES_PROVIDER}-") else settings.kubernetes.context


def present(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The resources that should exist according to the state. Without those deleted for a replacement: if the successor
    was not recorded they are still in the state, but the object of that name is the successor."""
    return [resource for resource in state.get("resources") or [] if not resource.get("pendingReplacement")]


def current(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """`present`, without replaced resources: they stay in the state under their successor's name until deleted."""
    return [resource for resource in present(state) if not resource.get("delete")]


def resource_name(resource: Mapping[str, Any]) -> str:
    """The name that the program gave the resource: the last part of its URN."""
    return str(resource["urn"]).rpartition("::")[2]


def known(state: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Type and id of everything in the state; for objects that have an AWS id beside their name, both."""
    found: set[tuple[str, str]] = set()
    for resource in present(state):
        kind = str(resource.get("type"))
        found.add((kind, str(resource.get("id"))))
        found.add((kind, str((resource.get("outputs") or {}).get("identifier"))))
    return found
