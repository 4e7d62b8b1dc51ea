"""Objects in the cluster with a stack's own fixed names that its state does not know: whose they are, and what becomes
of them.

Part of `recover`. What the engine itself has a note of is `begun`'s, and what is in AWS `unrecorded`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.settings import ManualTeleportSettings, Settings, ValuesTeleportSettings
from components.settings.names import (
    CERTIFICATE_RESTARTER_NAME,
    DATABASE_ACCESS_NAME,
    DATABASE_CA_CONFIG_MAP_NAME,
    DATABASE_LOGINS_NAME,
    KUBERNETES_PROVIDER,
    LOCKOUT_WATCH_NAME,
    POLICY_NAMES,
    POSTGRES_SECRET_NAMES,
    ROLLOUT_NAME,
    TLS_SECRET_NAME,
    external_service_name,
    kubernetes_provider_name,
)
from components.teleport_args import VALUES_CONFIG_MAP_NAME
from components.teleport_values import CA_CONFIG_MAP_NAME
from operations.begun import present
from operations.cluster import Cluster, Document, name_of
from operations.helm_releases import deployed_release
from operations.interrupted_releases import InterruptedRelease, under_way
from operations.mending import Step, import_by_hand, orphan
from operations.ownership import is_release_of, maker

_JOB_PREFIXES = (DATABASE_ACCESS_NAME, DATABASE_LOGINS_NAME)
# What runs every few minutes, and what it may do; all have one name.
_SCHEDULED = ("CronJob", "RoleBinding", "Role", "ServiceAccount")


def recorded_kinds(state: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Kind and id of what the state has: several kinds have one name."""
    return {(str(one.get("type")).rpartition(":")[2], str(one.get("id"))) for one in present(state) if one.get("id")}


@dataclass(frozen=True)
class UnrecordedObjects:
    """Those of one stack."""

    settings: Settings
    stack: str
    name: str
    """The stack's full name."""
    cluster: Callable[[str], Cluster]
    """By context."""
    graph: InterruptedRelease
    """TAG's."""

    def steps(self, state: Mapping[str, Any]) -> Iterator[Step]:
        recorded = recorded_kinds(state)
        yield from self._in_own_namespace(state, recorded)
        yield from self._handed_over(recorded)
        yield from self._lockout_watches(recorded)

    def _in_own_namespace(self, state: Mapping[str, Any], recorded: set[tuple[str, str]]) -> Iterator[Step]:
        cluster, namespace = self.cluster(self.settings.kubernetes.context), self.settings.access_graph.namespace
        inhabited = any(identity.startswith(f"{namespace}/") for _, identity in recorded)
        if not inhabited and ("Namespace", namespace) not in recorded:
            elsewhere = self._recorded_elsewhere(state)
            if elsewhere is not None:
                yield elsewhere
                return
        # One that the stack does not make is nobody's orphan, not even one that it once made and gave away.
        if ("Namespace", namespace) not in recorded and self.settings.access_graph.create_namespace:
            found = cluster.get("Namespace", namespace)
            if found is not None:
                yield self._unknown_namespace(cluster, found, inhabited=inhabited)
            if not inhabited:
                return  # whatever the stack makes in there is made after it
        release = self.settings.access_graph.release
        if ("Release", f"{namespace}/{release}") not in recorded:
            by_engine = f"{namespace}/{release}" in under_way(state)
            yield from self.graph.unknown(self.name, by_engine=by_engine)
        for kind, name in (
            *(("Secret", name) for name in POSTGRES_SECRET_NAMES),
            ("Secret", TLS_SECRET_NAME),
            ("Secret", DATABASE_ACCESS_NAME),
            ("ServiceAccount", DATABASE_ACCESS_NAME),
            ("ConfigMap", DATABASE_CA_CONFIG_MAP_NAME),
            ("Service", external_service_name(release)),
            *(("NetworkPolicy", policy) for policy in POLICY_NAMES.values()),
            *((kind, CERTIFICATE_RESTARTER_NAME) for kind in _SCHEDULED),
        ):
            yield from self._named(cluster, kind, name, namespace, recorded)
        yield from self._jobs(cluster, _JOB_PREFIXES, namespace, recorded)
        yield from self._authority_maps(recorded)

    def _recorded_elsewhere(self, state: Mapping[str, Any]) -> Step | None:
        """An access graph that runs, of which the state has nothing at all: no kill leaves that, for of what was made
        before the release there are records, and of the release the engine's own note. Another state has it: of
        another backend, or of before it was lost."""
        graph = self.settings.access_graph
        cluster, where = self.cluster(self.settings.kubernetes.context), f"{graph.namespace}/{graph.release}"
        runs = deployed_release(cluster, graph.namespace, graph.release)
        if runs is None or where in under_way(state) or not is_release_of(self.name, cluster, runs):
            return None
        return Step(
            f"the access graph {graph.release} runs in {graph.namespace} by a stack of this name, and the state has "
            "nothing of it",
            "leave it, and find the state that has: that of another backend (`pulumi whoami --verbose` names this one) "
            "or a copy (docs/backup.md). Where it is lost for good: "
            f"`helm uninstall {graph.release} --namespace {graph.namespace} --kube-context {cluster.context}`, and "
            "`recover` again",
        )

    def _unknown_namespace(self, cluster: Cluster, found: Document, *, inhabited: bool) -> Step:
        """What a killed `up` makes in its namespace is recorded after that: with something in it that is recorded
        (`inhabited`) it is no orphan, but one that this stack has used as somebody's. One that was to outlive a
        `destroy` has what somebody wanted to keep."""
        name, other = name_of(found), maker(found)
        if inhabited and other in (None, self.name):
            return Step(
                f"the namespace {name} is there, this stack runs in it, and the state does not know it",
                "leave it: set accessGraph.createNamespace to false, or make it the stack's own "
                + self._import_by_hand(
                    "Namespace",
                    "namespace-namespace",
                    name,
                    parent="namespace=<URN of the AccessGraphNamespace>",
                    provider=KUBERNETES_PROVIDER,
                ),
            )
        if self.settings.access_graph.keep_namespace and other == self.name:
            return Step(
                f"the namespace {name} is there, as accessGraph.keepNamespace leaves it, unknown to the state",
                "leave it with what is in it: set accessGraph.createNamespace to false in place of keepNamespace; or "
                f"delete it, if nothing in it is to stay: `{cluster.kubectl('')} delete namespace {name}`",
            )
        return orphan(cluster, "Namespace", found, None, self.name, "and everything in it")

    def _import_by_hand(self, kind: str, name: str, identity: str, *, parent: str, provider: str) -> str:
        """Of an object of Kubernetes' core."""
        kubernetes = f"kubernetes=<URN of the provider {provider}>"
        return import_by_hand(
            self.stack, f"kubernetes:core/v1:{kind}", name, identity, parent=parent, provider=kubernetes
        )

    def _named(
        self, cluster: Cluster, kind: str, name: str, namespace: str, recorded: set[tuple[str, str]]
    ) -> Iterator[Step]:
        found = cluster.get(kind, name, namespace)
        if found is not None and (kind, f"{namespace}/{name}") not in recorded:
            yield orphan(cluster, kind, found, namespace, self.name)

    def _jobs(
        self, cluster: Cluster, beginnings: tuple[str, ...], namespace: str, recorded: set[tuple[str, str]]
    ) -> Iterator[Step]:
        """Jobs have a digest at the end of their names."""
        for job in cluster.list("Job", namespace):
            name = name_of(job)
            if name.startswith(beginnings) and ("Job", f"{namespace}/{name}") not in recorded:
                yield orphan(cluster, "Job", job, namespace, self.name)

    def _authority_maps(self, recorded: set[tuple[str, str]]) -> Iterator[Step]:
        for name, entry in self.settings.teleport.items():
            if isinstance(entry, ManualTeleportSettings):
                continue
            cluster = self.cluster(self.settings.kubernetes_of(name).context)
            found = cluster.get("ConfigMap", CA_CONFIG_MAP_NAME, entry.namespace)
            if found is None or ("ConfigMap", f"{entry.namespace}/{CA_CONFIG_MAP_NAME}") in recorded:
                continue
            # Of whatever release: an entry that takes another's place may have another than the auth that runs there.
            running = cluster.list("Deployment", entry.namespace)
            if any(CA_CONFIG_MAP_NAME in json.dumps(one.get("spec", {}).get("template", {})) for one in running):
                place = self.settings.kubernetes_of(name)
                own = self.settings.kubernetes.cluster_identifier
                yield Step(
                    f"the ConfigMap {CA_CONFIG_MAP_NAME} in {entry.namespace} is mounted by auth, and the state does "
                    "not know it",
                    "leave it: without it auth could not start. Import it, "
                    + self._import_by_hand(
                        "ConfigMap",
                        f"teleport-{name}-ca",
                        f"{entry.namespace}/{CA_CONFIG_MAP_NAME}",
                        parent=f"cluster=<URN of teleport-{name}>",
                        provider=kubernetes_provider_name(place.cluster_identifier, own),
                    ),
                )
            else:
                yield orphan(cluster, "ConfigMap", found, entry.namespace, self.name)

    def _handed_over(self, recorded: set[tuple[str, str]]) -> Iterator[Step]:
        """What stands in the namespace of a Teleport that somebody else owns, beside the authority's ConfigMap."""
        names = dict.fromkeys(("ServiceAccount", "Role", "RoleBinding"), ROLLOUT_NAME)
        for name, entry in self.settings.teleport.items():
            if not isinstance(entry, ValuesTeleportSettings):
                continue
            cluster = self.cluster(self.settings.kubernetes_of(name).context)
            for kind, wanted in {"ConfigMap": VALUES_CONFIG_MAP_NAME, **names}.items():
                yield from self._named(cluster, kind, wanted, entry.namespace, recorded)
            yield from self._jobs(cluster, (ROLLOUT_NAME,), entry.namespace, recorded)

    def _lockout_watches(self, recorded: set[tuple[str, str]]) -> Iterator[Step]:
        """In the namespace of every Teleport that has something of the stack's beside it."""
        for name, entry in self.settings.teleport.items():
            if isinstance(entry, ManualTeleportSettings):
                continue
            cluster = self.cluster(self.settings.kubernetes_of(name).context)
            for kind in _SCHEDULED:
                yield from self._named(cluster, kind, LOCKOUT_WATCH_NAME, entry.namespace, recorded)
