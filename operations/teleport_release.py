"""What preflight asks of a running Teleport: its version, and whether its values are those of the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.proxy_export import ProxyFetchError, get_from_proxy
from components.settings import ProxyHostAuthorities, Settings
from components.settings.chart_versions import dotted, known_chart, nearest_chart, numbers
from components.teleport_values import AccessGraphPatch, AuditLog, effective_auth_values, unpatch_values
from operations.checks.values import differences, given_again, open_differences
from operations.cluster import Document
from operations.findings import Finding, failed, not_proven, passed
from operations.helm_releases import HelmRelease
from operations.tested_versions import chart_version
from operations.value_at import value_at


def teleport_version(
    live: HelmRelease | None, auth: Document | None, proxy: ProxyHostAuthorities | None, root: Path
) -> tuple[str, str] | None:
    """Teleport's version and where it was read. What runs counts more than what was asked for."""
    for container in ((auth or {}).get("spec", {}).get("template", {}).get("spec", {}).get("containers")) or []:
        name, colon, tag = str(container.get("image", "")).partition("@")[0].rpartition(":")
        if container.get("name") == "teleport" and colon and "/" not in tag and tag[:1].isdigit():
            return tag, f"image {name.rpartition('/')[2]}"
    if live is not None:
        return str(live.values.get("teleportVersionOverride") or live.chart_version), f"chart of {live.name}"
    if proxy is not None:
        try:
            status, text = get_from_proxy(
                proxy.address, "/webapi/ping", None if proxy.ca_file is None else root / proxy.ca_file
            )
            version = json.loads(text).get("server_version") if status == 200 else None
        except (ProxyFetchError, ValueError, AttributeError, RecursionError):
            return None
        return (str(version), f"https://{proxy.address}/webapi/ping") if version else None
    return None


def check_floor(check: str, statement: str, settings: Settings, found: tuple[str, str] | None) -> Finding:
    """Compares Teleport's version (`found`, with its source) with what TAG's version needs."""
    wanted = chart_version(settings)
    row = nearest_chart(wanted)
    if found is None:
        reason = "neither a release, a Deployment nor a proxy tells its version"
        return not_proven(check, statement, f"{reason}; a Teleport that is still to be made takes its chart's")
    version, source = found
    if numbers(version) < row.teleport:
        reason = f"{version} ({source}) is older than {dotted(row.teleport)}, which the access graph "
        reason += f"{dotted(row.version)} needs ({row.teleport_source}); upgrade Teleport first"
        return failed(check, statement, reason)
    if known_chart(wanted) is None:
        reason = f"{version} ({source}), and what the access graph {wanted} needs is not known; {dotted(row.version)} "
        return not_proven(check, statement, f"{reason}needs {dotted(row.teleport)}")
    return passed(check, statement, f"{version} ({source}); the access graph {wanted} needs {dotted(row.teleport)}")


def check_step(name: str, wanted: str, live: HelmRelease) -> Finding:
    """Whether Teleport can go from the release's version to the chart's (`wanted`). Somebody may have upgraded Teleport
    by hand, and an `up` with any change takes it to the chart's version. The rules:
    https://goteleport.com/docs/upgrading/overview/"""
    check, statement = f"teleport.{name}.chart", f"{live.name} can go to the chart's version"
    now, then = numbers(live.chart_version), numbers(wanted)
    seen = f"revision {live.revision} has {live.chart_version}"
    if then[0] < now[0]:
        reason = (
            f"{seen}, the chart of this entry {wanted}: Teleport does not go back a major version; raise chart.version"
        )
        return failed(check, statement, reason)
    if then[0] > now[0] + 1:
        reason = f"{seen}, the chart of this entry {wanted}: Teleport takes one major version at a time"
        return failed(check, statement, f"{reason}; go to {now[0] + 1} first")
    if then < now:
        reason = f"{seen}, the chart of this entry {wanted}: an `up` that changes its values takes it back"
        return not_proven(check, statement, f"{reason}; raise chart.version, unless that is meant")
    return passed(check, statement, seen if then == now else f"{seen}, and goes to {wanted}")


def check_lists(
    settings: Settings,
    name: str,
    files: Mapping[str, Any],
    live: HelmRelease,
    *,
    recorded: Sequence[Mapping[str, Any]] = (),
) -> Finding:
    """For a release that somebody else owns. Merging values replaces lists, so the lists handed over must contain what
    runs, except entries handed over earlier (`recorded`) that the files no longer have."""
    check = f"teleport.{name}.lists"
    statement = f"the values handed over keep every volume of auth's in {live.name}"
    patch = _patch(settings, name)
    theirs, *known = (
        effective_auth_values(unpatch_values(values, patch)) for values in (live.values, files, *recorded)
    )
    lost = [
        f"{key} {entry.get('name') if isinstance(entry, Mapping) else entry}"
        for key in ("extraVolumes", "extraVolumeMounts")
        for entry in theirs.get(key) or []
        if not any(entry in (mine.get(key) or []) for mine in known)
    ]
    if not lost:
        return passed(check, statement, f"revision {live.revision}")
    reason = (
        f"revision {live.revision} has {', '.join(lost)}, and the valuesFiles of this entry do not: whoever merges the "
    )
    reason += (
        "handed-over values over theirs would lose them; name the files that the owner installs with in valuesFiles"
    )
    return failed(check, statement, reason)


def _patch(settings: Settings, name: str, configuration: Mapping[str, Any] | None = None) -> AccessGraphPatch:
    """The stack's own patch, so that it can be removed from values: as the entry is now and as the last `up` had it."""
    # As long as the entry sets no audit log, the user's own files may.
    exports = settings.teleport[name].audit_log is not None or value_at(configuration, "access_graph", "audit_log")
    return AccessGraphPatch(
        endpoint=settings.endpoint_of(name),
        ca_checksum="",
        audit_log=AuditLog(enabled=True, start_date="") if exports else None,
    )


def compare_values(
    settings: Settings,
    name: str,
    files: Mapping[str, Any],
    live: HelmRelease,
    *,
    configuration: Mapping[str, Any] | None = None,
    recorded: Sequence[Mapping[str, Any]] = (),
    untouched: bool = False,
    secret_values: bool = False,
) -> Finding:
    """Compares the live release's values with the files', both without the stack's patch. Values are not shown: some
    may be secret.

    A value that differs from the files but equals one of `recorded`, the values of earlier `up`s, is nobody else's
    change: the files have changed since, and the next `up` applies that. `untouched`: the running revision is the
    engine's last. `configuration`: the last `up`'s output `teleportConfig` of this Teleport.
    """
    check = f"teleport.{name}.values"
    statement = f"the live values of {live.name} are those of its files"
    patch = _patch(settings, name, configuration)
    in_files, in_live = unpatch_values(files, patch), unpatch_values(live.values, patch)
    unlike = differences(in_files, in_live)
    if not unlike:
        return passed(check, statement, f"revision {live.revision}, no difference")
    foreign = unlike
    for values in recorded:
        since = {line[2:] for line in differences(unpatch_values(values, patch), in_live)}
        foreign = [line for line in foreign if line[2:] in since]
    if not foreign:
        reason = f"revision {live.revision} has what the last `up` gave it, and the files have changed since: "
        return passed(check, statement, f"{reason}{', '.join(unlike)} (+ live only, - files only, ~ other)")
    open_ones = open_differences(foreign, in_live)
    if secret_values and untouched:
        # The secret key's values are not in the recorded plain ones, and need not look like secrets.
        open_ones = [line for line in open_ones if line.startswith("- ")]
    if secret_values and not open_ones:
        reason = f"{', '.join(foreign)}: live only, or other; teleportSecretValues, a secret key, should have them"
        return not_proven(check, statement, reason)
    shown = ", ".join(open_ones or foreign)
    return failed(
        check,
        statement,
        f"{shown} (+ live only, - files only, ~ other): to keep what runs, `adopt` writes it to the files; to have the "
        f"files' values, adopt the release with an `up`, or for a release of the stack's own use "
        f"{given_again(f'teleport.{name}')}",
    )
