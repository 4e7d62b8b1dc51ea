"""Rules between Teleport clusters, and between them and the access graph."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.settings.chart_versions import KNOWN_CHARTS, dotted
from components.settings.charts import RepositoryChart
from components.settings.clusters import KubernetesSettings
from components.settings.names import SERVICE_PORT
from components.settings.relations import Draft, Findings, finding
from components.settings.teleport import (
    ManualTeleportSettings,
    ReleaseTeleportSettings,
    TeleportSettings,
    ValuesTeleportSettings,
)
from components.settings.tls import certificate_names

OLDEST_TELEPORT = KNOWN_CHARTS[0].teleport

NEW_TELEPORT = (
    "set it; a Teleport that does not exist yet has none and takes two `up`s: the first with accessGraph.enabled "
    "false, the second with the host CA of its auth and accessGraph.enabled true"
)


def _entries(draft: Draft) -> Iterator[tuple[str, TeleportSettings, KubernetesSettings]]:
    for cluster, entry in draft.configuration.teleport.items():
        yield f"teleport.{cluster}", entry, entry.kubernetes or draft.configuration.kubernetes


def someone_uses_it(draft: Draft) -> Findings:
    """`teleport` has a cluster that is `connected` once `accessGraph.enabled` is true."""
    configuration = draft.configuration
    if configuration.access_graph.enabled and not any(entry.connected for entry in configuration.teleport.values()):
        some = bool(configuration.teleport)
        yield finding(
            "teleport",
            ...,
            f"has no cluster{' that is connected' if some else ''}, and accessGraph.enabled is true: the access graph "
            "would turn every call away",
            f"{'set connected to true for one' if some else 'add the Teleport cluster'}, or set accessGraph.enabled to "
            "false",
            "accessGraph.enabled",
            *(f"{key}.connected" for key, _, _ in _entries(draft)),
        )


def host_authorities_are_given(draft: Draft) -> Findings:
    """`hostAuthorities` is there for each cluster that is `connected` once `accessGraph.enabled` is true."""
    if not draft.configuration.access_graph.enabled:
        return
    several = len(draft.configuration.teleport) > 1
    for key, entry, _ in _entries(draft):
        if entry.host_authorities is None and entry.connected:
            yield finding(
                f"{key}.hostAuthorities",
                ...,
                "is missing, and accessGraph.enabled is true: TAG accepts only Teleports whose host CA it has",
                f"{NEW_TELEPORT}; {key}.connected does the same for this Teleport alone" if several else NEW_TELEPORT,
                "accessGraph.enabled",
                f"{key}.connected",
            )


def endpoint_is_reachable(draft: Draft) -> Findings:
    """`endpoint` is there for a Teleport in another Kubernetes cluster, with a host in the certificate."""
    configuration = draft.configuration
    names = certificate_names(configuration.tls, configuration.access_graph.service_host)
    for key, entry, kubernetes in _entries(draft):
        elsewhere = kubernetes.cluster_identifier != configuration.kubernetes.cluster_identifier
        if elsewhere and entry.endpoint is None:
            yield finding(
                f"{key}.endpoint",
                ...,
                "is missing, and this Teleport is in another Kubernetes cluster, where TAG's Service name does not "
                "resolve",
                "set host:port of TAG's load balancer, with the host in tls.extraDnsNames",
                f"{key}.kubernetes",
                "kubernetes",
            )
        elif entry.endpoint is not None and names is not None and entry.endpoint.rpartition(":")[0] not in names:
            yield finding(
                f"{key}.endpoint",
                entry.endpoint,
                "has a host that is not in the server certificate, and Teleport verifies it",
                "add the host to tls.extraDnsNames",
                "tls",
                "accessGraph.release",
                "accessGraph.namespace",
                "accessGraph.clusterDomain",
            )


def endpoint_has_the_port_of_its_host(draft: Draft) -> Findings:
    """`endpoint` has the port on which its host answers: 443 of TAG's Service, or `accessGraph.external.port`."""
    graph = draft.configuration.access_graph
    ports = {graph.service_host: (SERVICE_PORT, "TAG's Service has")}
    if graph.external is not None:
        # The Service's own name stays the Service's; as the load balancer's it is refused.
        ports.setdefault(graph.external.hostname, (graph.external.port, "accessGraph.external.port is"))
    for key, entry, _ in _entries(draft):
        host, _, given = (entry.endpoint or "").rpartition(":")
        port, whose = ports.get(host, (None, ""))
        if port is not None and given != str(port):
            yield finding(
                f"{key}.endpoint",
                entry.endpoint,
                f"has port {given}, and {whose} {port}: nobody would answer Teleport there",
                f"give {host}:{port}",
                "accessGraph.external",
                "accessGraph.release",
                "accessGraph.namespace",
                "accessGraph.clusterDomain",
            )


def contexts_and_identifiers_agree(draft: Draft) -> Findings:
    """One context is one Kubernetes cluster, everywhere."""
    seen = [("kubernetes", draft.configuration.kubernetes)]
    for key, entry, _ in _entries(draft):
        if entry.kubernetes is None:
            continue
        mine = entry.kubernetes
        for other_key, other in seen:
            if mine.context == other.context and mine.cluster_identifier != other.cluster_identifier:
                yield finding(
                    f"{key}.kubernetes.clusterIdentifier",
                    mine.cluster_identifier,
                    f"differs from {other_key}.clusterIdentifier, and both are of context {mine.context}",
                    "correct the identifier or the context",
                    other_key,
                    f"{key}.kubernetes",
                )
            if mine.context != other.context and mine.cluster_identifier == other.cluster_identifier:
                yield finding(
                    f"{key}.kubernetes.context",
                    mine.context,
                    f"is another way to the cluster of {other_key}.context {other.context}",
                    "use one context for one cluster",
                    other_key,
                    f"{key}.kubernetes",
                )
        seen.append((f"{key}.kubernetes", mine))


def releases_are_apart(draft: Draft) -> Findings:
    """Each Teleport has a namespace to itself, and none has TAG's."""
    configuration = draft.configuration
    taken: dict[tuple[str, str], tuple[str, str]] = {}
    for key, entry, kubernetes in _entries(draft):
        if isinstance(entry, ManualTeleportSettings):
            continue
        about = (f"{key}.kubernetes", f"{key}.release", "kubernetes")
        place = (kubernetes.cluster_identifier, entry.namespace)
        if place == (configuration.kubernetes.cluster_identifier, configuration.access_graph.namespace):
            yield finding(
                f"{key}.namespace",
                entry.namespace,
                "is accessGraph.namespace, which the stack makes and deletes for TAG alone",
                "give Teleport's own namespace",
                *about,
                "accessGraph.namespace",
            )
        if place not in taken:
            taken[place] = (key, entry.release)
            continue
        other_key, other_release = taken[place]
        if entry.release == other_release:
            rule = f"names the same release as {other_key}: {entry.release} in namespace {entry.namespace}"
            yield finding(
                key, ..., rule, "keep one of the two entries: a release is one Teleport cluster", *about, other_key
            )
        else:
            yield finding(
                f"{key}.namespace",
                entry.namespace,
                f"is also the namespace of {other_key}, and each has a ConfigMap teleport-access-graph-ca there",
                "give each Teleport a namespace",
                *about,
                other_key,
            )


def new_releases_have_names_of_their_own(draft: Draft) -> Findings:
    """A Teleport that the stack installs has another `release` than any other in its Kubernetes cluster."""
    # The chart's ClusterRole is called as its release: Helm refuses the second (teleport-cluster 18.10.3).
    taken: dict[tuple[str, str], tuple[str, ReleaseTeleportSettings]] = {}
    for key, entry, kubernetes in _entries(draft):
        if not isinstance(entry, ReleaseTeleportSettings):
            continue
        place = (kubernetes.cluster_identifier, entry.release)
        other_key, other = taken.setdefault(place, (key, entry))
        # In one namespace with another it is refused already; with itself it is no matter.
        if entry.namespace == other.namespace or (entry.adopt and other.adopt):
            continue
        yield finding(
            f"{key}.release",
            entry.release,
            f"is also the release of {other_key}, and the chart names a cluster-wide ClusterRole after the release",
            "give each release a name of its own",
            other_key,
            f"{key}.kubernetes",
        )


def teleport_chart_is_teleports(draft: Draft) -> Findings:
    """A `teleport-cluster` chart is 14.3.4 or later, and not of the access graph's series."""
    for key, entry, _ in _entries(draft):
        if isinstance(entry, ReleaseTeleportSettings) and isinstance(entry.chart, RepositoryChart):
            yield from teleport_version(f"{key}.chart.version", entry.chart.version)


def teleport_version(key: str, version: str) -> Findings:
    """Teleport's chart has Teleport's numbers."""
    number = tuple(int(part) for part in re.split(r"[-+]", version)[0].split("."))
    if number >= OLDEST_TELEPORT:
        return
    reason = f"is older than {dotted(OLDEST_TELEPORT)}, the first Teleport that can use an access graph"
    if number[0] == 1:
        reason = "is a number of the access graph's chart, and this is Teleport's"
    yield finding(key, version, reason, "give a version of teleport-cluster, such as 18.10.3")


def adoption_keeps_values(draft: Draft) -> Findings:
    """`adopt: true` comes with `valuesFiles`, or the release would lose its values."""
    for key, entry, _ in _entries(draft):
        if isinstance(entry, ReleaseTeleportSettings) and entry.adopt and not entry.values_files:
            yield finding(
                f"{key}.valuesFiles",
                ...,
                "is empty, and adopt is true: the running release would lose every value it has",
                "run `python -m operations adopt`, which writes its values to a file, and name the file here",
                f"{key}.adopt",
            )


def audit_log_is_consistent(draft: Draft) -> Findings:
    """`auditLog.startDate` comes with `auditLog.enabled: true`."""
    for key, entry, _ in _entries(draft):
        if entry.audit_log is not None and not entry.audit_log.enabled and entry.audit_log.start_date is not None:
            yield finding(
                f"{key}.auditLog.startDate",
                entry.audit_log.start_date,
                "is set, and auditLog.enabled is false",
                "remove it, or set enabled to true",
                f"{key}.auditLog.enabled",
            )


def secret_values_have_a_release(draft: Draft) -> Findings:
    """`teleportSecretValues` comes with a Teleport cluster that has Helm values."""
    if "teleportSecretValues" not in draft.secrets:
        return
    charted = (ReleaseTeleportSettings, ValuesTeleportSettings)
    if not any(isinstance(entry, charted) for _, entry, _ in _entries(draft)):
        yield finding(
            "teleportSecretValues",
            ...,
            "is set, and no Teleport cluster has Helm values to merge it into",
            "remove it with `pulumi config rm teleportSecretValues`",
            "teleport",
        )


def emitted_secrets_exist(draft: Draft) -> Findings:
    """`emitSecretValues: true` comes with `teleportSecretValues`."""
    if "teleportSecretValues" in draft.secrets:
        return
    for key, entry, _ in _entries(draft):
        if isinstance(entry, ValuesTeleportSettings) and entry.emit_secret_values:
            yield finding(
                f"{key}.emitSecretValues",
                entry.emit_secret_values,
                "has no effect: teleportSecretValues is not set, so the output teleportValues is already complete",
                "set teleportSecretValues, or remove this key",
            )


RULES = (
    someone_uses_it,
    host_authorities_are_given,
    endpoint_is_reachable,
    endpoint_has_the_port_of_its_host,
    contexts_and_identifiers_agree,
    releases_are_apart,
    new_releases_have_names_of_their_own,
    teleport_chart_is_teleports,
    adoption_keeps_values,
    audit_log_is_consistent,
    secret_values_have_a_release,
    emitted_secrets_exist,
)
