"""What a container is started with: its variables, its command, and its own paths translated to this machine's.

Pure, except for the lookups that are passed in. `containers` starts the processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sandbox.kubelet.api import Object

# (kind, name) -> the object in the pod's namespace, or None.
Lookup = Callable[[str, str], Object | None]
DecodeSecret = Callable[[Object], Mapping[str, bytes]]

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class ConfigurationError(Exception):
    """The cluster's objects do not allow this container; a real node reports CreateContainerConfigError."""


class PathMapping:
    """Maps the mount paths of one container to the same paths below its root directory on this machine."""

    def __init__(self, root: Path, mount_paths: Iterable[str]) -> None:
        self.root = root
        paths = sorted({path.rstrip("/") for path in mount_paths} - {""}, key=len, reverse=True)
        # Only whole path prefixes: neither /etc/teleport in /etc/teleport-tls, nor /tmp in /var/tmp.
        alternatives = "|".join(re.escape(path) for path in paths)
        self._pattern = re.compile(rf"(?<![\w.\-/])(?:{alternatives})(?=/|[^\w.\-]|$)") if paths else None

    def rewrite(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"{self.root}{found.group()}", text)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces `$(NAME)` of known variables and `$$` by `$`; an unknown name stays as written."""

    def replaced(found: re.Match[str]) -> str:
        name = found.group(1)
        return "$" if name is None else variables.get(name, found.group())

    return _REFERENCE.sub(replaced, text)


def variables_of(container: Object, fields: Mapping[str, str], lookup: Lookup, decode: DecodeSecret) -> dict[str, str]:
    """`envFrom`, then `env` in order, where each entry may use earlier ones. Raises ConfigurationError."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in source:
                reference = source[field]
                obj = _object(kind, reference, lookup)
                values = {} if obj is None else _values(kind, obj, decode)
                found |= {f"{source.get('prefix', '')}{key}": value for key, value in values.items()}
    for entry in container.get("env") or []:
        if "valueFrom" in entry:
            value = _value_from(container, entry, fields, lookup, decode)
            if value is not None:
                found[entry["name"]] = value
        else:
            found[entry["name"]] = expand(entry.get("value", ""), found)
    return found


def _value_from(
    container: Object, entry: Object, fields: Mapping[str, str], lookup: Lookup, decode: DecodeSecret
) -> str | None:
    source: dict[str, Any] = entry["valueFrom"]
    for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if field in source:
            reference = source[field]
            obj = _object(kind, reference, lookup)
            values = {} if obj is None else _values(kind, obj, decode)
            if reference["key"] in values:
                return values[reference["key"]]
            if reference.get("optional"):
                return None
            raise ConfigurationError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    if "fieldRef" in source:
        path = source["fieldRef"]["fieldPath"]
        if path not in fields:
            raise ConfigurationError(f"env {entry['name']}: unsupported fieldPath {path}")
        return fields[path]
    if "resourceFieldRef" in source:
        resource = source["resourceFieldRef"]["resource"]
        kind, _, name = resource.partition(".")
        amount = ((container.get("resources") or {}).get(kind) or {}).get(name)
        return "0" if amount is None else str(amount)
    raise ConfigurationError(f"env {entry['name']}: unsupported valueFrom {', '.join(source)}")


def pod_fields(pod: Object, pod_ip: str, host_ip: str, node: str) -> dict[str, str]:
    """The fields that `fieldRef` can name."""
    metadata, spec = pod["metadata"], pod["spec"]
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": node,
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }
    for kind in ("labels", "annotations"):
        values = metadata.get(kind) or {}
        fields |= {f"metadata.{kind}['{key}']": value for key, value in values.items()}
        fields[f"metadata.{kind}"] = "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    return fields


def _object(kind: str, reference: Object, lookup: Lookup) -> Object | None:
    obj = lookup(kind, reference["name"])
    if obj is None and not reference.get("optional"):
        raise ConfigurationError(f'{kind.lower()} "{reference["name"]}" not found')
    return obj


def _values(kind: str, obj: Object, decode: DecodeSecret) -> dict[str, str]:
    if kind == "ConfigMap":
        return dict(obj.get("data") or {})
    return {key: value.decode(errors="replace") for key, value in decode(obj).items()}
