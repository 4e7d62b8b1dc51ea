"""What one `up` may change about a Teleport, given what the last complete one left.

Pure. `teleport` owns the order within an `up`.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.ledger import Ledger, teleport_record
from components.settings import ManualTeleportSettings, ReleaseTeleportSettings, Settings
from components.settings.errors import Problem, shown
from components.teleport_values import CA_CONFIG_MAP_NAME

DOCUMENT = "docs/teleport.md"


def teleport_problems(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """Everything in the Teleports' settings that may not follow `recorded`."""
    yield from _audit_log(recorded, settings)
    yield from _release(recorded, settings)
    yield from _taken_names(recorded, settings)


def _audit_log(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    for cluster, entry in settings.teleport.items():
        before = recorded.audit_log.get(cluster)
        after = None if entry.audit_log is None else entry.audit_log.start_date
        if before == "" and after is not None:
            yield Problem(
                f"teleport.{cluster}.auditLog.startDate",
                "is set, but the export began without a start date: Teleport took its own default and does not change "
                "it",
                "remove it",
                shown(after),
            )
        elif before is not None and after is not None and after != before:
            yield Problem(
                f"teleport.{cluster}.auditLog.startDate",
                f"differs from {before}, which Teleport has taken and does not change",
                f"set {before} again",
                shown(after),
            )


def _release(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """Refuses what would uninstall a Teleport. The engine deletes a release along with its entry."""
    for cluster, before in recorded.teleport.items():
        if before.get("mode") != "release":
            continue
        release = f"the release {before.get('release')} in {before.get('namespace')}"
        entry = settings.teleport.get(cluster)
        key = f"teleport.{cluster}"
        if not isinstance(entry, ReleaseTeleportSettings):
            if not before.get("adopted"):
                yield Problem(
                    key if entry is None else f"{key}.mode",
                    f"would uninstall {release}, which this stack owns",
                    f"set teleport.{cluster}.adopt to true and `up` first: then the release is kept, whoever owns it "
                    f"next ({DOCUMENT})",
                    None if entry is None else shown(entry.mode),
                )
            continue
        after = teleport_record(settings, cluster)
        for field, setting in (
            ("namespace", "namespace"),
            ("release", "release"),
            ("clusterIdentifier", "kubernetes.clusterIdentifier"),
        ):
            if before.get(field) != after[field]:
                yield Problem(
                    f"{key}.{setting}",
                    f"differs from {before.get(field)}: it names another release, and {release} would be uninstalled "
                    "or abandoned",
                    f"first hand over {release} by mode values and an `up`, then take over the other one with adopt "
                    f"({DOCUMENT})",
                    shown(after[field]),
                )
        if before.get("adopted") and not entry.adopt:
            yield Problem(
                f"{key}.adopt",
                f"would let a `destroy` uninstall {release}, which was there before this stack",
                "set it to true again, and leave it so for as long as the stack has the release",
                shown(entry.adopt),
            )


def _taken_names(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """The stack's objects in a Teleport's namespace have fixed names, and for an entry with another name the engine
    makes the new ones before it deletes the old ones."""
    places = {
        (before.get("clusterIdentifier"), before.get("namespace")): cluster
        for cluster, before in recorded.teleport.items()
        if before.get("mode") != "manual"
    }
    for cluster, entry in settings.teleport.items():
        if isinstance(entry, ManualTeleportSettings):
            continue
        before = places.get((settings.kubernetes_of(cluster).cluster_identifier, entry.namespace), cluster)
        if before != cluster:
            # With several entries only this one is switched off; the others keep their access graph.
            switch = f"teleport.{before}.connected" if len(recorded.teleport) > 1 else "accessGraph.enabled"
            # It is not known whether the release's owner has rolled out the change, so that auth no longer mounts it.
            left = (
                f" and run `recover` before its `up`: the ConfigMap {CA_CONFIG_MAP_NAME} may still be there, for an "
                "auth that mounts it"
                if recorded.teleport[before].get("mode") == "values"
                else ""
            )
            yield Problem(
                f"teleport.{cluster}",
                f"takes the place of {before} in the namespace {entry.namespace}: the stack would make its objects "
                "there again, under the same names, before it deletes the former ones",
                f"set {switch} to false and `up`, remove teleport.{before} and `up`, and then add this one{left} "
                f"({DOCUMENT})",
            )
