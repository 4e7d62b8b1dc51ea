"""Materialises a pod's volumes as directories, and keeps ConfigMaps, Secrets and tokens in them fresh.

Updates are atomic, as on a real node: files are links through `..data`, itself a link that is swapped. A subPath is a
copy made when the container starts and never updated.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.kubelet.api import Object

Lookup = Callable[[str, str], Object | None]

_DEFAULT_MODE = 0o644
_TOKEN_SECONDS = 3600


class MountFailed(Exception):
    """A volume cannot be mounted yet, or not on this node; the text goes into the FailedMount event."""


@dataclass(frozen=True)
class TokenRequest:
    audience: str | None
    expiration_seconds: int


@dataclass
class VolumeSources:
    """Where the contents of volumes come from, all in the pod's namespace."""

    lookup: Lookup
    fields: Mapping[str, str]
    request_token: Callable[[TokenRequest], Awaitable[str]]
    claim_directory: Callable[[str], Path]
    # The shortest lifetime of the issued tokens, in seconds; None if there are none.
    shortest_token: int | None = field(default=None)


def decode_secret(secret: Object) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}


def references(pod: Object) -> set[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the pod mounts."""
    found: set[tuple[str, str]] = set()
    for volume in pod["spec"].get("volumes") or []:
        for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
            if "configMap" in source:
                found.add(("ConfigMap", source["configMap"]["name"]))
            if "secret" in source:
                found.add(("Secret", source["secret"].get("secretName") or source["secret"].get("name")))
    return found


async def materialize(volume: Object, directory: Path, sources: VolumeSources) -> Path:
    """Create the volume's directory or bring it up to date, and return it. Raises MountFailed."""
    (kind,) = (key for key in volume if key != "name")
    source: dict[str, Any] = volume[kind] or {}
    if kind == "emptyDir":
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    if kind == "persistentVolumeClaim":
        return sources.claim_directory(source["claimName"])
    if kind == "configMap":
        files = _config_map_files(source["name"], source, sources)
    elif kind == "secret":
        files = _secret_files(source["secretName"], source, sources)
    elif kind == "downwardAPI":
        files = _downward_files(source, sources)
    elif kind == "projected":
        files = {}
        for part in source.get("sources") or []:
            files |= await _projected_files(part, sources)
    else:
        raise MountFailed(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {kind} is not supported here')
    mode = int(source.get("defaultMode") or _DEFAULT_MODE)
    _write_files(directory, {path: (content, own or mode) for path, (content, own) in files.items()})
    return directory


Files = dict[str, tuple[bytes, int | None]]


async def _projected_files(part: Object, sources: VolumeSources) -> Files:
    if "configMap" in part:
        return _config_map_files(part["configMap"]["name"], part["configMap"], sources)
    if "secret" in part:
        return _secret_files(part["secret"]["name"], part["secret"], sources)
    if "downwardAPI" in part:
        return _downward_files(part["downwardAPI"], sources)
    if "serviceAccountToken" in part:
        wanted = part["serviceAccountToken"]
        seconds = int(wanted.get("expirationSeconds") or _TOKEN_SECONDS)
        sources.shortest_token = min(seconds, sources.shortest_token or seconds)
        token = await sources.request_token(TokenRequest(wanted.get("audience"), seconds))
        return {wanted["path"]: (token.encode(), 0o600)}
    raise MountFailed(f"projected source {', '.join(part)} is not supported here")


def _config_map_files(name: str, source: Object, sources: VolumeSources) -> Files:
    found = sources.lookup("ConfigMap", name)
    if found is None:
        return _absent("configmap", name, source)
    data: dict[str, bytes] = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return _select(data, source, f'configmap "{name}"')


def _secret_files(name: str, source: Object, sources: VolumeSources) -> Files:
    found = sources.lookup("Secret", name)
    if found is None:
        return _absent("secret", name, source)
    return _select(decode_secret(found), source, f'secret "{name}"')


def _absent(kind: str, name: str, source: Object) -> Files:
    if source.get("optional"):
        return {}
    raise MountFailed(f'{kind} "{name}" not found')


def _select(data: Mapping[str, bytes], source: Object, what: str) -> Files:
    items = source.get("items")
    if not items:
        return {key: (value, None) for key, value in data.items()}
    files: Files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = (data[item["key"]], item.get("mode"))
        elif not source.get("optional"):
            raise MountFailed(f"{what}: references non-existent config key: {item['key']}")
    return files


def _downward_files(source: Object, sources: VolumeSources) -> Files:
    files: Files = {}
    for item in source.get("items") or []:
        path = str((item.get("fieldRef") or {}).get("fieldPath"))
        if path not in sources.fields:
            raise MountFailed(f"downwardAPI: unsupported item {item['path']}")
        files[item["path"]] = (sources.fields[path].encode(), item.get("mode"))
    return files


def _write_files(directory: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Replace the content atomically; touches nothing if nothing changed."""
    current = directory / "..data"
    if current.is_symlink() and _same(current, files):
        return
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f"..{secrets.token_hex(6)}"
    for path, (content, mode) in files.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(content)
        target.chmod(mode)
    fresh.mkdir(exist_ok=True)
    older = os.readlink(current) if current.is_symlink() else None
    link = directory / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(current)
    tops = {path.partition("/")[0] for path in files}
    for top in tops:
        if not (directory / top).is_symlink():
            (directory / top).symlink_to(f"..data/{top}")
    for entry in list(directory.iterdir()):
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    if older:
        shutil.rmtree(directory / older, ignore_errors=True)


def _same(current: Path, files: Mapping[str, tuple[bytes, int]]) -> bool:
    root = current.resolve()
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    return found.keys() == files.keys() and all(
        path.read_bytes() == files[name][0] and path.stat().st_mode & 0o777 == files[name][1]
        for name, path in found.items()
    )


def mount(root: Path, mounts: list[Object], volumes: Mapping[str, Path], expanded: Callable[[str], str]) -> None:
    """Lay out a container's mounts below its root directory, parents first. Raises MountFailed."""
    for entry in sorted(mounts, key=lambda one: len(one["mountPath"])):
        source = volumes.get(entry["name"])
        if source is None:
            raise MountFailed(f'volume "{entry["name"]}" is not of this pod')
        sub_path = expanded(entry["subPathExpr"]) if entry.get("subPathExpr") else entry.get("subPath") or ""
        if sub_path.startswith("/") or ".." in Path(sub_path).parts:
            raise MountFailed(f"subPath {sub_path!r} leaves the volume")
        target = root / entry["mountPath"].strip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.is_file():
            target.unlink()
        inner = source / sub_path if sub_path else source
        if sub_path and inner.is_file():
            shutil.copy(inner, target)
            continue
        if sub_path:
            inner.mkdir(parents=True, exist_ok=True)
        target.symlink_to(inner)
