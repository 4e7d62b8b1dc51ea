"""Warnings about changes that may follow the recorded state but need somebody's attention: an `up` does not know what
happens elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from components.ledger import Ledger
from components.settings import (
    RdsDatabaseSettings,
    ReleaseTeleportSettings,
    Settings,
    TeleportSettings,
    ValuesTeleportSettings,
)
from components.teleport_steps import DOCUMENT as TELEPORT_DOCUMENT
from components.tls_assembly import authority_step
from components.trust_steps import DOCUMENT, GENERATED


def warnings(recorded: Ledger, settings: Settings) -> Iterator[str]:
    """Each is one sentence with its remedy. No warnings where nothing is running."""
    for warning in (
        rollout_warning(recorded, settings),
        name_warning(recorded, settings),
        place_warning(recorded, settings),
        egress_warning(recorded, settings),
    ):
        if warning is not None:
            yield warning


def rollout_warning(recorded: Ledger, settings: Settings) -> str | None:
    """What somebody has to check before TAG serves a certificate of another authority. No `up` knows whether auth has
    read the last bundle in a Teleport whose rollout nobody waits for, nor what is in any Teleport's own trust store."""
    before, tls = recorded.trust, settings.tls
    if before is None or not settings.access_graph.enabled:
        return None
    step = authority_step(settings)
    if before.mode == tls.mode and (
        before.mode != GENERATED
        or step is None
        or recorded.authority is None
        or step.signing == recorded.authority.signing
    ):
        return None
    if tls.trust == "system":
        calling = _calling(recorded, settings)
        if not calling:
            return None
        return (
            f"{_entries(calling)}: with this `up` TAG serves a certificate of another authority; make sure first that "
            "the trust store of each auth has that authority and that auth has restarted with it, or its calls fail "
            f"({DOCUMENT})"
        )
    unawaited = _calling(recorded, settings, unawaited=True)
    if not unawaited:
        return None
    return (
        f"{_entries(unawaited)}: the stack does not wait for the rollout there, and with this `up` TAG serves a "
        "certificate of another authority; make sure first that auth has restarted with the authorities of the last "
        f"`up` (the output caBundle), or its calls fail ({DOCUMENT})"
    )


def name_warning(recorded: Ledger, settings: Settings) -> str | None:
    """Where nobody waits for a Teleport's rollout, the ledger knows what it was told to dial, not what it dials."""
    names, unawaited = settings.certificate_names, _calling(recorded, settings, unawaited=True)
    if names is None or not settings.access_graph.enabled or not unawaited:
        return None
    if recorded.namespace.get("name") != settings.access_graph.namespace:
        return None  # TAG moves to another Secret, and the former one keeps its names
    going = sorted(set(recorded.certificate_names) - set(names))
    if not going:
        return None
    return (
        f"{_entries(unawaited)}: the stack does not wait for the rollout there, and with this `up` TAG's certificate "
        f"loses {', '.join(going)}; make sure first that auth dials another name, or its calls fail ({DOCUMENT})"
    )


def place_warning(recorded: Ledger, settings: Settings) -> str | None:
    """The access graph in the former namespace goes, with its Service, as the last step of an `up`. Where nobody waits
    for the rollout, no `up` knows whether auth has moved to the new one."""
    graph = settings.access_graph
    suffix = f".{recorded.namespace.get('name')}.svc.{graph.cluster_domain}"
    left = [
        cluster
        for cluster in _calling(recorded, settings, unawaited=True)
        if (host := recorded.endpoints[cluster].rpartition(":")[0]) != graph.service_host and host.endswith(suffix)
    ]
    if not left or not graph.enabled:
        return None
    return (
        f"{_entries(left)}: the stack does not wait for the rollout there, and the end of this `up` removes the access "
        "graph that auth dials; its calls fail from then until auth has restarted with this `up`'s endpoint. With mode "
        f"values, `rollout` waits for that first ({TELEPORT_DOCUMENT})"
    )


def egress_warning(recorded: Ledger, settings: Settings) -> str | None:
    """The network policy changes at the start of an `up`, and TAG's pods are rolled out at its end."""
    before, after, graph = recorded.database, settings.database, settings.access_graph
    moves = before.get("mode") not in (None, after.mode)
    if isinstance(after, RdsDatabaseSettings):
        moves = moves or before.get("port") not in (None, after.port)
    else:
        # Without CIDR blocks the policy opens all calls to an existing database.
        moves = moves and bool(graph.network_policy.database_cidrs)
    if not moves or not graph.enabled or not graph.network_policy.enabled:
        return None
    return (
        "accessGraph.networkPolicy: from the start of this `up` it lets TAG call the database only at its new place, "
        "but TAG's pods call it at the former one until they are rolled; where policies are enforced, first `up` with "
        "enabled false and the former database, and set it back when TAG uses the new one (docs/network.md)"
    )


def _calling(recorded: Ledger, settings: Settings, *, unawaited: bool = False) -> list[str]:
    """Teleports that use the access graph now and did before; with `unawaited`, only those whose rollout nobody
    awaits."""
    return [
        cluster
        for cluster, entry in settings.teleport.items()
        if cluster in recorded.endpoints and entry.connected and not (unawaited and _is_awaited(entry))
    ]


def _entries(clusters: list[str]) -> str:
    return ", ".join(f"teleport.{cluster}" for cluster in clusters)


def _is_awaited(entry: TeleportSettings) -> bool:
    if isinstance(entry, ValuesTeleportSettings):
        return entry.rollout is not None
    return isinstance(entry, ReleaseTeleportSettings)
