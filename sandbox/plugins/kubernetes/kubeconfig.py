"""Which cluster, as which user and in which namespace: reads kubeconfig files as kubectl does.

Owns merging, the choice of context and the credentials; `connection.py` talks to the server.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

EXEC_SECONDS: Final = 60  # a cloud's token helper may wait for a browser or a metadata server, but not forever


class KubeconfigError(Exception):
    """The kubeconfig cannot be read or names no usable cluster."""


@dataclass(frozen=True)
class Credentials:
    """PEM bytes of the client's certificate and key, or a bearer token; all None for anonymous access."""

    certificate: bytes | None = None
    key: bytes | None = None
    token: str | None = None
    basic: str | None = None


@dataclass(frozen=True)
class Cluster:
    """`server` is a URL; `authority` is PEM bytes, or None for the system's trust store; `namespace` is the context's
    own."""

    server: str
    authority: bytes | None
    insecure: bool
    server_name: str | None
    namespace: str
    credentials: Credentials


def load(contents: str | None, environment: Mapping[str, str]) -> tuple[dict[str, Any], Path]:
    """The merged kubeconfig, and the directory that its relative paths refer to.

    `contents` is a path, YAML or JSON text, or None for the ambient kubeconfig (KUBECONFIG, `~/.kube/config`).
    """
    if contents:
        path = Path(os.path.expanduser(contents))
        # Kubeconfig text may contain newlines and exceed the longest path: `is_file` would raise for it.
        if "\n" not in contents and len(contents) < 4096 and path.is_file():
            return _parse(path.read_text(), str(path)), path.parent
        return _parse(contents, "the provider's kubeconfig"), Path.cwd()
    listed = environment.get("KUBECONFIG", "")
    paths = [Path(entry) for entry in listed.split(os.pathsep) if entry] or [Path.home() / ".kube" / "config"]
    present = [path for path in paths if path.is_file()]
    if not present:
        raise KubeconfigError(f"no kubeconfig at {os.pathsep.join(map(str, paths))}; set KUBECONFIG")
    merged: dict[str, Any] = {}
    for path in present:
        merged = _merge(merged, _absolute(_parse(path.read_text(), str(path)), path.parent))
    return merged, present[0].parent


def resolve(config: dict[str, Any], directory: Path, context: str | None, cluster: str | None) -> Cluster:
    """Raises `KubeconfigError` naming the missing context, cluster or user."""
    name = context or config.get("current-context") or ""
    chosen = _named(config, "contexts", "context", name)
    cluster_name = cluster or str(chosen.get("cluster", ""))
    server = _named(config, "clusters", "cluster", cluster_name)
    user = _named(config, "users", "user", str(chosen["user"])) if chosen.get("user") else {}
    if "proxy-url" in server:
        raise KubeconfigError(f"cluster {cluster_name!r}: the stand-in knows no proxy-url; install the official plugin")
    if not server.get("server"):
        raise KubeconfigError(f"cluster {cluster_name!r} has no server")
    return Cluster(
        server=str(server["server"]).rstrip("/"),
        authority=_bytes(server, "certificate-authority", directory),
        insecure=bool(server.get("insecure-skip-tls-verify", False)),
        server_name=server.get("tls-server-name"),
        namespace=str(chosen.get("namespace") or ""),
        credentials=_credentials(user, directory),
    )


def active_cluster(config: dict[str, Any], context: str | None, cluster: str | None) -> dict[str, Any]:
    """The cluster entry of a context, {} if there is none; comparing entries shows whether the cluster changed."""
    name = context or config.get("current-context") or ""
    try:
        chosen = _named(config, "contexts", "context", name)
        return _named(config, "clusters", "cluster", cluster or str(chosen.get("cluster", "")))
    except KubeconfigError:
        return {}


def parse(contents: str) -> dict[str, Any]:
    return _parse(contents, "the provider's kubeconfig")


def _parse(text: str, origin: str) -> dict[str, Any]:
    try:
        # The C loader parses a kubeconfig in a tenth of the time, but not every PyYAML has it.
        parsed = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{origin} is not YAML: {error}") from None
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise KubeconfigError(f"{origin} is neither the path of a file nor a kubeconfig")
    return parsed


def _merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """As kubectl merges several files: the first one to set a name or a value wins."""
    merged = {**second, **{key: value for key, value in first.items() if value}}
    for section in ("clusters", "contexts", "users"):
        entries = {entry["name"]: entry for entry in [*(second.get(section) or []), *(first.get(section) or [])]}
        merged[section] = list(entries.values())
    return merged


def _absolute(config: dict[str, Any], directory: Path) -> dict[str, Any]:
    for section, entry_key, fields in (
        ("clusters", "cluster", ("certificate-authority",)),
        ("users", "user", ("client-certificate", "client-key", "tokenFile")),
    ):
        for entry in config.get(section) or []:
            values = entry.get(entry_key) or {}
            for field in fields:
                if values.get(field):
                    values[field] = str(directory / values[field])
    return config


def _named(config: dict[str, Any], section: str, key: str, name: str) -> dict[str, Any]:
    for entry in config.get(section) or []:
        if entry.get("name") == name:
            return entry.get(key) or {}
    known = ", ".join(sorted(str(entry.get("name")) for entry in config.get(section) or [])) or "none"
    raise KubeconfigError(f"{key} {name!r} does not exist in the kubeconfig; it has {known}")


def _bytes(entry: dict[str, Any], field: str, directory: Path) -> bytes | None:
    if entry.get(f"{field}-data"):
        return base64.b64decode(entry[f"{field}-data"])
    if entry.get(field):
        try:
            return Path(directory, str(entry[field])).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"{field}: {error}") from None
    return None


def _credentials(user: dict[str, Any], directory: Path) -> Credentials:
    certificate, key = _bytes(user, "client-certificate", directory), _bytes(user, "client-key", directory)
    if "auth-provider" in user:
        raise KubeconfigError("the stand-in knows no auth-provider users; use exec, a token or a client certificate")
    token = user.get("token")
    if user.get("tokenFile"):
        token = (directory / user["tokenFile"]).read_text().strip()
    if user.get("exec"):
        return _exec_credentials(user["exec"])
    basic = None
    if user.get("username"):
        basic = base64.b64encode(f"{user['username']}:{user.get('password', '')}".encode()).decode()
    return Credentials(certificate, key, token, basic)


def _exec_credentials(helper: dict[str, Any]) -> Credentials:
    """Runs a credential helper, such as `aws eks get-token`."""
    environment = {**os.environ, **{entry["name"]: entry["value"] for entry in helper.get("env") or []}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(
        {"apiVersion": helper.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    )
    command = [helper["command"], *(helper.get("args") or [])]
    try:
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=EXEC_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KubeconfigError(f"credential helper {command[0]}: {error}") from None
    if finished.returncode != 0:
        raise KubeconfigError(f"credential helper {command[0]} failed: {finished.stderr.strip()}")
    status = json.loads(finished.stdout).get("status") or {}
    certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    return Credentials(
        certificate.encode() if certificate else None, key.encode() if key else None, status.get("token")
    )
