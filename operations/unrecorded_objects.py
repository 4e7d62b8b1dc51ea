"""Objects in the cluster that have a stack's fixed names but are not in its state: whose they are, and what to do.

Part of `recover`. `begun` handles what the engine's record names, `unrecorded` what is in AWS.
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
# A CronJob and its rights; all four have the same name.
_SCHEDULED = ("CronJob", "RoleBinding", "Role", "ServiceAccount")


def recorded_kinds(state: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Kind and id of everything in the state; objects of several kinds share a name."""
    return {(str(one.get("type")).rpartition(":")[2], str(one.get("id"))) for one in present(state) if one.get("id")}


@dataclass(frozen=True)
class UnrecordedObjects:
    """The unrecorded objects of one stack."""

    settings: Settings
    stack: str
    name: str
    """The stack's full name."""
    cluster: Callable[[str], Cluster]
    """By context."""
    graph: InterruptedRelease
    """TAG's release."""

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
        # A namespace that the stack does not make is no orphan, not even one that it once made and gave away.
        if ("Namespace", namespace) not in recorded and self.settings.access_graph.create_namespace:
            found = cluster.get("Namespace", namespace)
            if found is not None:
                yield self._unknown_namespace(cluster, found, inhabited=inhabited)
            if not inhabited:
                return  # the stack makes the namespace before anything in it
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
        """A running access graph of which the state has nothing. No kill causes that: what is made before the release
        is recorded, and the release has a pending operation. Another state has it: another backend's, or one that was
        lost."""
        graph = self.settings.access_graph
        cluster, where = self.cluster(self.settings.kubernetes.context), f"{graph.namespace}/{graph.release}"
        runs = deployed_release(cluster, graph.namespace, graph.release)
        if runs is None or where in under_way(state) or not is_release_of(self.name, cluster, runs):
            return None
        return Step(
            f"the access graph {graph.release} in {graph.namespace} was made by a stack of this name, and the state "
            "has no record of it",
            "leave it, and find the state that has one: in another backend (`pulumi whoami --verbose` names this one) "
            "or in a copy (docs/backup.md). If that state is lost for good, run "
            f"`helm uninstall {graph.release} --namespace {graph.namespace} --kube-context {cluster.context}`, and "
            "`recover` again",
        )

    def _unknown_namespace(self, cluster: Cluster, found: Document, *, inhabited: bool) -> Step:
        """A namespace is recorded before the objects made in it. So one that is not recorded, but has recorded objects
        in it (`inhabited`), is no orphan: this stack used it as somebody else's. One that keepNamespace kept through a
        `destroy` has what somebody wanted to keep."""
        name, other = name_of(found), maker(found)
        if inhabited and other in (None, self.name):
            return Step(
                f"this stack runs in the namespace {name}, and the state does not know the namespace",
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
                f"the namespace {name} is there, as accessGraph.keepNamespace leaves it, and the state does not know "
                "it",
                "leave it with what is in it: set accessGraph.createNamespace to false in place of keepNamespace; or "
                f"delete it, if nothing in it is to stay: `{cluster.kubectl('')} delete namespace {name}`",
            )
        return orphan(cluster, "Namespace", found, None, self.name, "and everything in it")

    def _import_by_hand(self, kind: str, name: str, identity: str, *, parent: str, provider: str) -> str:
        """How to import a core Kubernetes object by hand. `parent` is `<name>=<URN>`, the form that `pulumi import`
        takes."""
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
        """Job names end in a digest, so they are matched by prefix."""
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
            # Of any release: an entry that replaced another may name another release than the auth that runs there.
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
        """What the stack makes in the namespace of a Teleport that somebody else owns, except the CA's ConfigMap."""
        names = dict.fromkeys(("ServiceAccount", "Role", "RoleBinding"), ROLLOUT_NAME)
        for name, entry in self.settings.teleport.items():
            if not isinstance(entry, ValuesTeleportSettings):
                continue
            cluster = self.cluster(self.settings.kubernetes_of(name).context)
            for kind, wanted in {"ConfigMap": VALUES_CONFIG_MAP_NAME, **names}.items():
                yield from self._named(cluster, kind, wanted, entry.namespace, recorded)
            yield from self._jobs(cluster, (ROLLOUT_NAME,), entry.namespace, recorded)

    def _lockout_watches(self, recorded: set[tuple[str, str]]) -> Iterator[Step]:
        """In the namespace of every Teleport where the stack makes objects."""
        for name, entry in self.settings.teleport.items():
            if isinstance(entry, ManualTeleportSettings):
                continue
            cluster = self.cluster(self.settings.kubernetes_of(name).context)
            for kind in _SCHEDULED:
                yield from self._named(cluster, kind, LOCKOUT_WATCH_NAME, entry.namespace, recorded)
