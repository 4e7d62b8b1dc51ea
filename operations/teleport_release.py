"""What preflight has to know of a Teleport that runs: its version, and whether its values are those of the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.proxy_export import ProxyFetchError, get_from_proxy
from components.settings import ProxyHostAuthorities, Settings
from components.teleport import CA_CONFIG_MAP_NAME, CA_PATH
from components.teleport_values import AccessGraphPatch, unpatch_values
from components.values_files import find_secret_values
from operations.checks.values import differences
from operations.cluster import Document
from operations.findings import Finding, failed, not_proven, passed
from operations.helm_releases import HelmRelease


def teleport_version(
    live: HelmRelease | None, auth: Document | None, proxy: ProxyHostAuthorities | None, root: Path
) -> tuple[str, str] | None:
    """Teleport's version and where it was read: what runs says more than what was asked for."""
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
        except (ProxyFetchError, ValueError, AttributeError):
            return None
        return (str(version), f"https://{proxy.address}/webapi/ping") if version else None
    return None


def compare_values(
    settings: Settings, name: str, files: Mapping[str, Any], live: HelmRelease, *, secret_values: bool
) -> Finding:
    """The live release's values against the files', both without the stack's own patch. Values are not shown: a live
    release may have secrets among them."""
    check = f"teleport.{name}.values"
    statement = f"the live values of {live.name} are those of its files"
    patch = AccessGraphPatch(
        endpoint=settings.endpoint_of(name),
        ca_path=CA_PATH,
        config_map=CA_CONFIG_MAP_NAME,
        ca_checksum="",
    )
    in_files, in_live = unpatch_values(files, patch), unpatch_values(live.values, patch)
    unlike = differences(in_files, in_live)
    if not unlike:
        return passed(check, statement, f"revision {live.revision}, no difference")
    secret = [f"+ {path}" for path in find_secret_values(in_live)]
    open_ones = [line for line in unlike if not any(one == line or one.startswith(f"{line}[") for one in secret)]
    if secret_values and not open_ones:
        reason = f"{', '.join(unlike)}: live only, and the secret key teleportSecretValues is to have them"
        return not_proven(check, statement, reason)
    shown = ", ".join(open_ones or unlike)
    return failed(
        check,
        statement,
        f"{shown} (+ live only, - files only, ~ other): an `up` makes the live values those of the files; "
        "`make adopt` writes what runs",
    )
