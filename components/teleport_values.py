"""The values patch that connects a teleport-cluster release to the access graph, and its merge into a user's own
values.

Pure, no Pulumi. `values_files` reads and merges values files; `teleport` and the release's owner apply the patch.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.settings.secret_texts import may_be_shown
from components.values_files import find_secret_values, merge_values, own_copy

CHECKSUM_ANNOTATION = "checksum/access-graph-ca"

# The authorities of the access graph's certificate: their ConfigMap, its key, and the path in auth's pods.
CA_CONFIG_MAP_NAME = "teleport-access-graph-ca"
CA_KEY = "ca.pem"
CA_VOLUME = "tag-ca"
CA_MOUNT_PATH = "/var/run/access-graph"
CA_PATH = f"{CA_MOUNT_PATH}/{CA_KEY}"

CLUSTER_NAME_PATH = "auth.teleportConfig.auth_service.cluster_name"

_ENDPOINT = re.compile(r"^(?P<host>[^\s:/@]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})$")


class ValuesConflict(ValueError):
    """The user's values contradict the patch. The message has a line for each conflict and names both sides."""

    def __init__(self, conflicts: list[str]) -> None:
        super().__init__("\n".join(conflicts))
        self.conflicts = tuple(conflicts)

    @property
    def places(self) -> list[str]:
        """Where the conflicts are, without any value: for values that are secret."""
        return sorted({conflict.partition(":")[0] for conflict in self.conflicts})


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """`access_graph.audit_log`: whether Teleport's audit log goes to the access graph, from which time (RFC 3339)."""

    enabled: bool
    start_date: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccessGraphPatch:
    """What Teleport's auth needs to reach the access graph. Raises `ValueError` for an invalid endpoint."""

    endpoint: str
    """`host:port`; Teleport verifies the server's certificate against the host."""
    ca_checksum: Any
    """Digest of the ConfigMap's content, or an Output of it. Auth reads the CA once, so a change must roll auth. None
    where Teleport's own trust store covers the endpoint, and auth gets no CA."""
    audit_log: AuditLog | None = None

    def __post_init__(self) -> None:
        match = _ENDPOINT.match(self.endpoint)
        if not match or not 0 < int(match["port"]) < 65536:
            raise ValueError(f"endpoint: {self.endpoint!r} is not host:port")

    @property
    def brings_ca(self) -> bool:
        """Whether auth gets the CA as a file."""
        return self.ca_checksum is not None

    def configuration(self) -> dict[str, Any]:
        """The `access_graph` section of auth's `teleport.yaml`."""
        section: dict[str, Any] = {"enabled": True, "endpoint": self.endpoint}
        if self.brings_ca:
            section["ca"] = CA_PATH
        if self.audit_log is not None:
            section["audit_log"] = {"enabled": self.audit_log.enabled}
            if self.audit_log.start_date is not None:
                section["audit_log"]["start_date"] = self.audit_log.start_date
        return section


def volume_entry() -> dict[str, Any]:
    """The entry of `extraVolumes`: the ConfigMap."""
    return {"name": CA_VOLUME, "configMap": {"name": CA_CONFIG_MAP_NAME}}


def mount_entry() -> dict[str, Any]:
    """The entry of `extraVolumeMounts`."""
    return {"name": CA_VOLUME, "mountPath": CA_MOUNT_PATH, "readOnly": True}


def patch_values(values: Mapping[str, Any], patch: AccessGraphPatch) -> dict[str, Any]:
    """The user's values with the patch in the `auth.` form; the input is not changed.

    In the chart a list under `auth:` replaces the root's. So our entries are appended to the list in effect for auth,
    and the result is written under `auth:`. Maps merge, so only our keys are written. Entries that are already ours
    stay as they are. Raises `ValuesConflict`.
    """
    conflicts: list[str] = []
    result = own_values(values)
    if not isinstance(result.get("auth", {}), dict):
        raise ValuesConflict([_wrong_kind("auth", result["auth"], "a map")])
    before = effective_auth_values(values)
    conflicts += _configuration_conflicts(before, patch)
    conflicts += _hidden_by_null(values, patch)
    volumes = _list_at(before, "extraVolumes", conflicts)
    mounts = _list_at(before, "extraVolumeMounts", conflicts)
    add_volume = add_mount = False
    if patch.brings_ca:
        conflicts += _annotation_conflicts(before)
        add_volume = _volume_is_missing(volumes, conflicts)
        add_mount = _mount_is_missing(mounts, conflicts)
    if conflicts:
        raise ValuesConflict(conflicts)

    auth = result.setdefault("auth", {})
    section = _map_at(auth, "teleportConfig", "access_graph")
    section.update(merge_values(section, patch.configuration()))
    if add_volume:
        auth["extraVolumes"] = [*own_copy(volumes), volume_entry()]
    if add_mount:
        auth["extraVolumeMounts"] = [*own_copy(mounts), mount_entry()]
    if patch.brings_ca:
        _map_at(auth, "annotations", "pod")[CHECKSUM_ANNOTATION] = patch.ca_checksum
    return result


def own_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the user's values that the chart accepts without the patch.

    If `auth:`, or one of its maps that the patch fills, is null, Helm drops the chart's own map and the templates fail.
    Such a null is left out, or a Teleport could get the patch and never lose it.
    """
    result: dict[str, Any] = own_copy(values)
    auth = result.get("auth", {})
    if auth is None:
        del result["auth"]
    elif isinstance(auth, dict):
        for key in ("annotations", "teleportConfig"):
            if auth.get(key, {}) is None:
                del auth[key]
    return result


def unpatch_values(values: Mapping[str, Any], patch: AccessGraphPatch) -> dict[str, Any]:
    """The values without the patch: the input of `patch_values`, except for empty maps under `auth` and lists there
    that only repeat the root's, which the chart ignores. Entries of the patch at the root are removed as well."""
    result = own_values(values)
    ours = patch.configuration()
    for level in (result, result.get("auth")):
        if not isinstance(level, dict):
            continue
        _remove_configuration(level, ours)
        _prune(level, ("annotations", "pod", CHECKSUM_ANNOTATION))
        if not patch.brings_ca:
            continue
        for key, is_ours in (("extraVolumes", _is_our_volume), ("extraVolumeMounts", _is_our_mount)):
            if isinstance(level.get(key), list):
                kept = [entry for entry in level[key] if not is_ours(entry)]
                if len(kept) != len(level[key]):
                    level[key] = kept
    auth = result.get("auth")
    if isinstance(auth, dict):
        for key in ("extraVolumes", "extraVolumeMounts"):
            if key in auth and (auth[key] or []) == (result.get(key) or []):
                del auth[key]
        if not auth:
            del result["auth"]
    return result


def effective_auth_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the chart reads them for auth: the root with `auth` merged over it (maps merge, lists replace)."""
    auth = values.get("auth")
    auth = auth if isinstance(auth, Mapping) else {}
    if auth.get("teleportConfig") is None:
        # For a null here Helm removes only the chart's default, so the root's map stays in effect.
        auth = {key: value for key, value in auth.items() if key != "teleportConfig"}
    return merge_values(values, auth)


def cluster_name(values: Mapping[str, Any]) -> tuple[str, Any]:
    """Where the values name the Teleport cluster, and the name. Auth's own configuration wins over `clusterName`, which
    the chart then uses for the proxies' address alone. None where no name is set, as with `chartMode: scratch`."""
    service = _inner(_inner(effective_auth_values(values), "teleportConfig"), "auth_service")
    own = _inner(service, "cluster_name")
    return ("clusterName", values.get("clusterName")) if own is None else (CLUSTER_NAME_PATH, own)


def access_graph_section(values: Mapping[str, Any]) -> Any:
    """The values for auth's `access_graph`; None where there are none."""
    return _inner(_inner(effective_auth_values(values), "teleportConfig"), "access_graph")


def connected_places(values: Mapping[str, Any], endpoint: str) -> list[str]:
    """Where the user's values themselves connect Teleport to the access graph: an enabled section with `endpoint`, and
    volumes of the CA's ConfigMap, the proxies' too, without which pods do not start."""
    places: list[str] = []
    section = access_graph_section(values)
    if _inner(section, "endpoint") == endpoint and _inner(section, "enabled") is True:
        places.append("auth.teleportConfig.access_graph")
    for level in ("", "auth", "proxy"):
        volumes = _inner(_inner(values, level) if level else values, "extraVolumes")
        for entry in volumes if isinstance(volumes, list) else []:
            if _inner(_inner(entry, "configMap"), "name") == CA_CONFIG_MAP_NAME:
                places.append(f"{level}.extraVolumes".lstrip("."))
    return places


def auth_deployment_name(release: str) -> str:
    """The chart names it after the release alone; no value changes the name (teleport-cluster 18)."""
    return f"{release}-auth"


def proxy_deployment_name(release: str) -> str:
    """As `auth_deployment_name`."""
    return f"{release}-proxy"


def _configuration_conflicts(effective: Mapping[str, Any], patch: AccessGraphPatch) -> list[str]:
    """The user's values that the patch would override, or that defeat its purpose."""
    path = "auth.teleportConfig"
    configuration = effective.get("teleportConfig")
    if configuration is None:
        return []
    if not isinstance(configuration, Mapping):
        return [_wrong_kind(path, configuration, "a map")]
    path += ".access_graph"
    section = configuration.get("access_graph")
    if section is None:
        return []
    if not isinstance(section, Mapping):
        return [_wrong_kind(path, section, "a map")]
    conflicts: list[str] = []
    ours = patch.configuration()
    for key in ("enabled", "endpoint", "ca"):
        if key not in section or section[key] is None:
            continue
        if key not in ours:
            conflicts.append(
                f"{path}.{key}: the values say {_said(section[key])}, the patch sets none (Teleport's own trust store "
                "is to cover the access graph, and with `ca` Teleport trusts that file alone); remove the key from the "
                "values"
            )
        elif section[key] != ours[key] or isinstance(section[key], bool) != isinstance(ours[key], bool):
            conflicts.append(
                f"{path}.{key}: the values say {_said(section[key])}, the patch {_said(ours[key])}; "
                "remove the key from the values"
            )
    if section.get("insecure") not in (None, False):
        conflicts.append(
            f"{path}.insecure: the values say {_said(section['insecure'])}, the patch verifies the server"
            f"{' with ' + repr(CA_PATH) if patch.brings_ca else ''}; remove the key from the values"
        )
    audit_log = section.get("audit_log")
    if "audit_log" in ours and audit_log is not None:
        if not isinstance(audit_log, Mapping):
            return [*conflicts, _wrong_kind(f"{path}.audit_log", audit_log, "a map")]
        for key, value in ours["audit_log"].items():
            if audit_log.get(key) is not None and audit_log[key] != value:
                conflicts.append(
                    f"{path}.audit_log.{key}: the values say {_said(audit_log[key])}, the patch {_said(value)}; "
                    "remove the key from the values"
                )
    return conflicts


def _hidden_by_null(values: Mapping[str, Any], patch: AccessGraphPatch) -> list[str]:
    """Maps of the root that a null under `auth` hides, where the patch must write: Helm would merge them back in."""
    section = ("teleportConfig", "access_graph")
    written: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [(section, patch.configuration())]
    if patch.audit_log is not None:
        written.append(((*section, "audit_log"), patch.configuration()["audit_log"]))
    if patch.brings_ca:
        written += [(("annotations",), {}), (("annotations", "pod"), {CHECKSUM_ANNOTATION: ""})]
    conflicts: list[str] = []
    for path, ours in written:
        root, auth = values, values.get("auth")
        for key in path[:-1]:
            root, auth = _inner(root, key), _inner(auth, key)
        hidden = _inner(root, path[-1])
        if _inner(auth, path[-1], missing={}) is None and isinstance(hidden, Mapping) and hidden.keys() - ours.keys():
            where = ".".join(path)
            conflicts.append(
                f"auth.{where}: is null, which hides the root's {where} from auth, but the patch has to write there "
                f"and would bring it back ({', '.join(sorted(map(str, hidden.keys() - ours.keys())))}); move the "
                f"root's {where} to proxy.{where}, and remove the null"
            )
    return conflicts


def _inner(value: Any, key: str, missing: Any = None) -> Any:
    return value.get(key, missing) if isinstance(value, Mapping) else missing


def _said(value: Any) -> str:
    """A single value as written, unless it may be a secret."""
    if isinstance(value, (Mapping, list)):
        return "a map" if isinstance(value, Mapping) else "a list"
    return repr(value) if may_be_shown(str(value)) else "a text that is not shown"


def _entry_said(entry: Mapping[str, Any]) -> str:
    """An entry of a list as written, unless something in it may be a secret (a CSI driver's attribute)."""
    hidden = not may_be_shown(str(entry)) or find_secret_values({"entry": entry})
    return f"an entry {entry.get('name')!r} that is not shown" if hidden else repr(entry)


def _wrong_kind(path: str, value: Any, wanted: str) -> str:
    """Does not show the value: text in place of a map may contain everything below it, join tokens too."""
    kinds: dict[type, str] = {dict: "a map", list: "a list", str: "text"}
    kind = kinds.get(type(value), "a single value")
    remedy = "remove the `|` or the quotes" if isinstance(value, str) and "\n" in value else "write its keys below it"
    if wanted == "a list":
        remedy = "write each entry on a line that begins with '- '"
    return f"{path}: is {kind}, and the chart needs {wanted} there; {remedy}, or remove the key"


def _annotation_conflicts(effective: Mapping[str, Any]) -> list[str]:
    annotations = effective.get("annotations")
    if annotations is not None and not isinstance(annotations, Mapping):
        return [_wrong_kind("auth.annotations", annotations, "a map")]
    pod = (annotations or {}).get("pod")
    if pod is not None and not isinstance(pod, Mapping):
        return [_wrong_kind("auth.annotations.pod", pod, "a map")]
    return []


def _list_at(effective: Mapping[str, Any], key: str, conflicts: list[str]) -> list[Any]:
    entries = effective.get(key)
    if entries is None:
        return []
    if not isinstance(entries, list):
        conflicts.append(_wrong_kind(f"auth.{key}", entries, "a list"))
        return []
    return entries


def _volume_is_missing(volumes: list[Any], conflicts: list[str]) -> bool:
    named = [entry for entry in volumes if isinstance(entry, Mapping) and entry.get("name") == CA_VOLUME]
    strangers = [entry for entry in named if not _is_our_volume(entry)]
    if strangers:
        conflicts.append(
            f"extraVolumes: the values have {_entry_said(strangers[0])}, the patch {volume_entry()!r}; "
            f"two volumes cannot be called {CA_VOLUME!r}, rename the first"
        )
    return not named


def _mount_is_missing(mounts: list[Any], conflicts: list[str]) -> bool:
    missing = True
    for entry in mounts:
        path = _mount_path(entry)
        if _is_our_mount(entry):
            missing = False
        elif path == CA_MOUNT_PATH or path.startswith(f"{CA_MOUNT_PATH}/"):
            conflicts.append(
                f"extraVolumeMounts: the values have {_entry_said(entry)}, the patch {mount_entry()!r}; "
                f"two volumes cannot be mounted at {CA_MOUNT_PATH!r} or below it, move the first"
            )
    return missing


def _is_our_volume(entry: Any) -> bool:
    """The same file from the same ConfigMap under our name, however written (for example by hand, from Teleport's
    guide)."""
    if not isinstance(entry, Mapping) or entry.get("name") != CA_VOLUME:
        return False
    source = entry.get("configMap")
    if (
        not isinstance(source, Mapping)
        or source.get("name") != CA_CONFIG_MAP_NAME
        or set(entry) != {"name", "configMap"}
    ):
        return False
    items = source.get("items")
    return not items or any(
        isinstance(item, Mapping) and item.get("path") == CA_KEY == item.get("key") for item in items
    )


def _is_our_mount(entry: Any) -> bool:
    # A ConfigMap is read-only with or without `readOnly`.
    return (
        isinstance(entry, Mapping)
        and entry.get("name") == CA_VOLUME
        and _mount_path(entry) == CA_MOUNT_PATH
        and set(entry) <= {"name", "mountPath", "readOnly"}
    )


def _mount_path(entry: Any) -> str:
    path = entry.get("mountPath") if isinstance(entry, Mapping) else None
    return _clean(path) if isinstance(path, str) else ""


def _clean(path: str) -> str:
    """The path as Kubernetes mounts it: without double slashes, dots or a trailing slash."""
    return "/" + posixpath.normpath(path).lstrip("/")


def _map_at(root: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The map at the keys, created where there is none (a null counts as none)."""
    for key in keys:
        if root.get(key) is None:
            root[key] = {}
        root = root[key]
    return root


def _remove_configuration(level: dict[str, Any], ours: Mapping[str, Any]) -> None:
    for key, value in ours.items():
        if isinstance(value, Mapping):
            for inner in value:
                _prune(level, ("teleportConfig", "access_graph", key, inner))
        else:
            _prune(level, ("teleportConfig", "access_graph", key))


def _prune(root: dict[str, Any], path: tuple[str, ...]) -> None:
    """Removes the key at the path, and every map that becomes empty by that."""
    key, *rest = path
    if key not in root:
        return
    if not rest:
        del root[key]
        return
    if isinstance(root[key], dict):
        had = bool(root[key])
        _prune(root[key], tuple(rest))
        if had and not root[key]:
            del root[key]
