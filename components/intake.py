"""Reads and checks the files and endpoints that the configuration points to - values files, host CAs, CA bundles -
before anything is registered.

Reports every problem of every file in one error. The rules for a single file are in the modules that read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import pulumi

from components.database_authorities import UnknownRegion, ca_bundle
from components.expiry import Expiring, expiry_warnings, write_time
from components.host_authorities import (
    HostAuthority,
    HostAuthorityError,
    load_host_authorities,
    pinning_advice,
    rotation_gap_warning,
)
from components.settings import (
    ManualTeleportSettings,
    ProxyHostAuthorities,
    RdsDatabaseSettings,
    ReleaseTeleportSettings,
    Settings,
)
from components.teleport_args import patched_values
from components.teleport_assembly import teleport_cluster_args
from components.teleport_values import ValuesConflict, cluster_name, connected_places, effective_auth_values
from components.trust_bundles import (
    Authority,
    TrustBundleError,
    joined,
    parse_database_bundle,
    parse_trust_bundle,
)
from components.trust_steps import GENERATED
from components.values_files import ValuesFileError, find_secret_values, load_values_files

# Limit of a Job's name, which Kubernetes puts on the Job's pods as a label.
LONGEST_LABEL_VALUE = 63
# Suffix of the proxies' test Job: the longest name of a teleport-cluster release that the chart does not cut.
PROXY_TEST_SUFFIX = "-proxy-test"

# Any text will do: whether the patch fits the user's values does not depend on the certificate, which does not exist.
PLACEHOLDER_BUNDLE = "-"


class IntakeError(pulumi.RunError):
    """Something that the configuration points to cannot be used. The message has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        count = len(problems)
        heading = f"What the configuration points to has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n".join([heading, *(f"  {problem}" for problem in problems)]))


@dataclass(frozen=True, kw_only=True)
class Intake:
    host_authorities: Mapping[str, tuple[HostAuthority, ...]]
    """By Teleport cluster name, for clusters that use the access graph: the others' host CAs are not needed."""
    values: Mapping[str, Mapping[str, Any]]
    """The user's own Helm values, by Teleport cluster name."""
    database_ca_bundle: str | None
    """PEM of the authorities that may sign the database's certificate, each once: from `database.caBundleFile`, else
    RDS's for the region; None where the system's are to be used."""
    trust_bundle: tuple[Authority, ...]
    """The authorities of `tls.trustBundleFile`."""
    now: datetime
    """The time of reading."""
    advice: tuple[str, ...]
    """What the person who runs the program should know about what was read."""
    warnings: tuple[str, ...]
    """What may go wrong with what was read."""

    def tell(self) -> None:
        """Log advice and warnings, in previews too."""
        for text in self.advice:
            pulumi.log.info(text)
        for text in self.warnings:
            pulumi.log.warn(text)


def read_intake(settings: Settings, now: datetime) -> Intake:
    """Read everything that `settings` names. `now` is an aware time. Raises `IntakeError`."""
    problems: list[str] = []
    host_authorities: dict[str, tuple[HostAuthority, ...]] = {}
    values: dict[str, Mapping[str, Any]] = {}
    for cluster, entry in settings.teleport.items():
        if settings.connects(cluster) and entry.host_authorities is not None:
            try:
                host_authorities[cluster] = load_host_authorities(
                    entry.host_authorities, cluster=cluster, root=settings.root, now=now
                )
            except HostAuthorityError as error:
                problems.extend(error.problems)
        values[cluster] = {}
        if not isinstance(entry, ManualTeleportSettings):
            values[cluster] = _values(settings, cluster, problems)
    ending: list[str] = []
    bundle = _database_ca_bundle(settings, now, problems, ending)
    trusted = _trust_bundle(settings, now, problems)
    if problems:
        raise IntakeError(problems)
    fetched = {
        cluster: source
        for cluster in host_authorities
        if isinstance(source := settings.teleport[cluster].host_authorities, ProxyHostAuthorities)
    }
    return Intake(
        host_authorities=MappingProxyType(host_authorities),
        values=MappingProxyType(values),
        database_ca_bundle=bundle,
        trust_bundle=trusted,
        now=now,
        advice=tuple(
            pinning_advice(cluster, host_authorities[cluster])
            for cluster, source in fetched.items()
            if not source.fingerprints
        ),
        warnings=(
            *ending,
            *map(rotation_gap_warning, fetched),
            *_stores_without_authority(settings, values),
            *_releases_without_name(settings, values),
            *_callers_without_block(settings),
        ),
    )


def _values(settings: Settings, cluster: str, problems: list[str]) -> Mapping[str, Any]:
    entry = settings.teleport[cluster]
    assert not isinstance(entry, ManualTeleportSettings)  # that mode has no values
    key = f"teleport.{cluster}.valuesFiles"
    try:
        values = load_values_files(entry.values_files, settings.root)
    except ValuesFileError as error:
        problems.extend(f"{key}: {problem}" for problem in error.problems)
        return {}
    place, named = cluster_name(values)
    if named is not None and named != cluster:
        problems.append(
            f"{key}: {place} is not {cluster}, the name of this entry; name the entry after the cluster, or give the "
            f"files of {cluster}"
        )
    problems.extend(
        f"{key}: {path} looks like a secret, and a plain file is no place for one; move it to the secret key "
        f"teleportSecretValues, or, if it is no secret, name the path in teleport.{cluster}.allowSecretPaths"
        for path in find_secret_values(values)
        if path not in entry.allow_secret_paths
    )
    problems.extend(_jobs_without_name(settings, cluster, values))
    if not settings.connects(cluster):
        # What the user wrote would stay in the values while the objects that it names go: pods could not start.
        switch = f"teleport.{cluster}.connected" if settings.access_graph.enabled else "accessGraph.enabled"
        problems.extend(
            f"{key}: {place} connects Teleport to the access graph, and {switch} is false; remove it from the files "
            "and `up` before you set that to false (`adopt --without-access-graph` writes files without it)"
            for place in connected_places(values, settings.endpoint_of(cluster))
        )
    try:
        patched_values(teleport_cluster_args(settings, cluster, values, PLACEHOLDER_BUNDLE))
    except ValuesConflict as error:
        problems.extend(f"{key}: {conflict}" for conflict in error.conflicts)
    return values


def _jobs_without_name(settings: Settings, cluster: str, values: Mapping[str, Any]) -> Iterator[str]:
    """The chart tests the proxies' configuration in a Job named after the release, and the Job's name becomes a label
    of its pods. Kubernetes refuses a longer one only after the rest of the `up` is done."""
    entry = settings.teleport[cluster]
    # Secret values, which are not known here, may switch the test off.
    if not isinstance(entry, ReleaseTeleportSettings) or settings.secrets.teleport_values is not None:
        return
    proxy = values.get("proxy")
    tested = {**values, **(proxy if isinstance(proxy, Mapping) else {})}.get("validateConfigOnDeploy", True)
    longest = LONGEST_LABEL_VALUE - len(PROXY_TEST_SUFFIX)
    if tested and len(entry.release) > longest:
        yield (
            f"teleport.{cluster}.release: has {len(entry.release)} characters, and the chart's Job <release>"
            f"{PROXY_TEST_SUFFIX} leaves room for {longest}; give a shorter name, or, if the release already exists, "
            "write `validateConfigOnDeploy: false` into its values"
        )


def _stores_without_authority(settings: Settings, values: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """No system trust store has an authority of the stack's own; the chart adds it if the values name its Secret."""
    if not settings.access_graph.enabled or settings.tls.mode != GENERATED or settings.tls.trust != "system":
        return
    for cluster, own in values.items():
        tls = effective_auth_values(own).get("tls")
        if settings.connects(cluster) and not (isinstance(tls, Mapping) and tls.get("existingCASecretName")):
            yield (
                f"teleport.{cluster}: tls.trust is system, but the stack itself signs TAG's certificate: auth trusts "
                "it only if the trust store of its pods or hosts has the authority (the output caBundle), for example "
                "by the chart's tls.existingCASecretName, which is not in the plain values; with tls.trust bundle "
                "auth gets it as a file"
            )


def _releases_without_name(settings: Settings, values: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The chart renders nothing without the cluster's name, and Helm says so only after the rest of the `up`."""
    if settings.secrets.teleport_values is not None:
        return
    for cluster, own in values.items():
        # With `scratch` the user writes the whole of teleport.yaml, the cluster's name included.
        named = own.get("clusterName") or own.get("chartMode") == "scratch"
        if isinstance(settings.teleport[cluster], ReleaseTeleportSettings) and not named:
            yield (
                f"teleport.{cluster}.valuesFiles: no file has clusterName, without which the teleport-cluster chart "
                f"cannot be installed; write `clusterName: {cluster}` into one"
            )


def _callers_without_block(settings: Settings) -> Iterator[str]:
    """A call from outside TAG's Kubernetes cluster comes from none of its namespaces. A policy that lists only
    namespaces drops it, and no error shows. Only a warning: networks that span clusters may know the other cluster's
    namespaces."""
    graph = settings.access_graph
    policy = graph.network_policy
    if not (graph.enabled and policy.enabled and policy.client_namespaces) or policy.client_cidrs:
        return
    own = settings.kubernetes.cluster_identifier
    outside = [
        f"teleport.{cluster}"
        for cluster in settings.teleport
        if settings.connects(cluster) and settings.kubernetes_of(cluster).cluster_identifier != own
    ]
    if graph.external is not None:
        outside.append("accessGraph.external")
    elif graph.service_type == "LoadBalancer":
        outside.append("accessGraph.serviceType")
    if outside:
        yield (
            "accessGraph.networkPolicy: clientNamespaces is set without clientCidrs, so TAG answers only those "
            f"namespaces and the Teleports of its own Kubernetes cluster, but {', '.join(outside)} "
            f"{'brings' if len(outside) == 1 else 'bring'} calls from elsewhere; set clientCidrs to the blocks that "
            "TAG sees them come from (docs/network.md)"
        )


def _trust_bundle(settings: Settings, now: datetime, problems: list[str]) -> tuple[Authority, ...]:
    path = settings.tls.trust_bundle_file
    if path is None:
        return ()
    read = partial(parse_trust_bundle, now=now)
    return _bundle(settings, "tls.trustBundleFile", path, read, "the authorities that Teleport is to trust", problems)


def _database_ca_bundle(settings: Settings, now: datetime, problems: list[str], warnings: list[str]) -> str | None:
    path = settings.database.ca_bundle_file
    if path is None:
        return _shipped_bundle(settings, problems) if isinstance(settings.database, RdsDatabaseSettings) else None
    read = partial(parse_database_bundle, now=now)
    what = "the authorities of the database's certificate"
    authorities = _bundle(settings, "database.caBundleFile", path, read, what, problems)
    if authorities:
        # The last end counts, since it is not known here which of them signed the server's certificate.
        warnings += expiry_warnings(
            [
                Expiring(
                    what="the last valid authority of database.caBundleFile",
                    not_after=write_time(max(one.not_after for one in authorities)),
                    remedy="get the file anew from whoever runs the database; TAG could not connect any more",
                )
            ],
            now,
        )
    # Written anew, without the byte order mark or comments of a file: not every database client reads past them.
    return joined(one.pem for one in authorities) or None


def _shipped_bundle(settings: Settings, problems: list[str]) -> str | None:
    assert settings.aws is not None  # the rules of the rds mode require it
    try:
        return ca_bundle(settings.aws.region)
    except UnknownRegion as error:
        problems.append(str(error))
        return None


def _bundle(
    settings: Settings,
    key: str,
    path: str,
    read: Callable[[str], tuple[Authority, ...]],
    what: str,
    problems: list[str],
) -> tuple[Authority, ...]:
    where = f"{key}: {path!r}"
    try:
        return read((settings.root / path).read_text(encoding="utf-8"))
    except TrustBundleError as error:
        problems.extend(f"{where}: {problem}" for problem in error.problems)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        problems.append(f"{where}: {reason}; give a PEM file with {what}")
    return ()
