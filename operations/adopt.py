"""`adopt`: writes the values files of a running Teleport release, so that a stack can take the release over.

Reads Helm's record of the release; changes nothing in the cluster. Values that look like secrets get a file of their
own.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.teleport_values import CA_PATH, AccessGraphPatch, cluster_name, unpatch_values
from components.values_files import ValuesFileError, find_secret_values, join_path, merge_values, parse_values
from operations.cluster import Cluster
from operations.helm_releases import HelmRelease, deployed_release
from operations.value_at import value_at
from operations.whole_file import write_whole

SECRET_KEY = "teleportSecretValues"


class AdoptError(Exception):
    """The release cannot be adopted as it is; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What was found of a release. Merging plain and secret values again gives the release's values."""

    cluster: str
    release: HelmRelease
    context: str
    identifier: str
    values: dict[str, Any]
    secret_values: dict[str, Any]
    secret_paths: list[str]
    has_access_graph: bool  # the values already connect Teleport to an access graph


def read_adoption(
    cluster: Cluster, *, namespace: str, release: str, teleport: str, without_access_graph: bool = False
) -> Adoption:
    """Read the deployed revision of a release. `teleport` is Teleport's cluster name.

    `without_access_graph` removes the settings of an earlier access graph; the stack's own then take their place.
    Raises `AdoptError`, `ClusterError`.
    """
    found = deployed_release(cluster, namespace, release)
    if found is None:
        raise AdoptError(
            f"{cluster.context}: Helm has no deployed release {release} in {namespace}; `helm list -A` shows "
            "those there are, and one that is pending or failed wants `helm rollback` first"
        )
    if found.chart != "teleport-cluster":
        raise AdoptError(f"{release}: is a release of the chart {found.chart}, not of teleport-cluster; name another")
    place, name = cluster_name(found.values)
    # With `chartMode: scratch` the values need not contain the name.
    if name != teleport and (name is not None or found.values.get("chartMode") != "scratch"):
        raise AdoptError(f"{release}: its {place} is {name!r}, not {teleport!r}; name the release of that cluster")
    values = found.values
    section = _access_graph(values)
    if section and without_access_graph:
        values = _without_access_graph(values, section)
    paths = find_secret_values(values)
    plain, secret = split_values(values, paths)
    if merge_values(plain, secret) != values:
        raise AdoptError(f"{release}: its values cannot be divided into plain and secret ones; write the files by hand")
    return Adoption(
        cluster=teleport,
        release=found,
        context=cluster.context,
        identifier=cluster.identifier(),
        values=plain,
        secret_values=secret,
        secret_paths=paths,
        has_access_graph=bool(_access_graph(values)),
    )


def split_values(values: Mapping[str, Any], secret_paths: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split `values` into plain and secret ones; Helm's merge of both gives `values` again. A list with a secret
    anywhere is secret as a whole, because merging values replaces lists."""
    plain: dict[str, Any] = {}
    secret: dict[str, Any] = {}
    _split(values, "", tuple(secret_paths), plain, secret)
    return plain, secret


def _split(
    values: Mapping[str, Any], path: str, secret_paths: tuple[str, ...], plain: dict[str, Any], secret: dict[str, Any]
) -> None:
    for key, value in values.items():
        here = join_path(path, key)
        if isinstance(value, Mapping):
            inner_plain: dict[str, Any] = {}
            inner_secret: dict[str, Any] = {}
            _split(value, here, secret_paths, inner_plain, inner_secret)
            if inner_plain or not value:
                plain[key] = inner_plain
            if inner_secret:
                secret[key] = inner_secret
        elif any(one == here or one.startswith(f"{here}[") for one in secret_paths):
            secret[key] = value
        else:
            plain[key] = value


def write_adoption(adoption: Adoption, directory: Path, *, force: bool = False) -> tuple[Path, Path | None]:
    """Write `<cluster>.yaml` and, when there are secrets, `<cluster>.secret.json` (mode 0600, one JSON object).

    An existing file with the same content stays; one with other content is refused, unless `force`. Raises
    `AdoptError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    plain = directory / f"{adoption.cluster}.yaml"
    release = adoption.release
    heading = (
        f"# Values of the Helm release {release.name} in the namespace {release.namespace} "
        f"({release.chart} {release.chart_version}).\n# Helm merges them with the chart's defaults; lists replace.\n"
    )
    text = heading + _dump(adoption.values)
    outputs = [(plain, text, 0o644)]
    secret: Path | None = None
    if adoption.secret_values:
        secret = directory / f"{adoption.cluster}.secret.json"
        document = {adoption.cluster: adoption.secret_values}
        outputs.append((secret, json.dumps(document, indent=2) + "\n", 0o600))
    unlike = [path for path, content, _ in outputs if path.exists() and not _says_the_same(path, content)]
    if unlike and not force:
        names = ", ".join(map(str, unlike))
        raise AdoptError(f"{names}: says something else than the release; compare, then pass --force to overwrite it")
    for path, content, mode in outputs:
        if path.exists() and _says_the_same(path, content):
            path.chmod(mode)
            continue
        write_whole(path, content, mode=mode)
    return plain, secret


def snippet(adoption: Adoption, plain: Path, secret: Path | None, root: Path) -> str:
    """Text for the user: what to add to the stack's file, and which commands to run."""
    release = adoption.release
    entry = {
        "teleport-access-graph:teleport": {
            adoption.cluster: {
                "mode": "release",
                "adopt": True,
                "kubernetes": {"context": adoption.context, "clusterIdentifier": adoption.identifier},
                "namespace": release.namespace,
                "release": release.name,
                "chart": {
                    "repository": "https://charts.releases.teleport.dev",
                    "name": release.chart,
                    "version": release.chart_version,
                },
                "valuesFiles": [_relative(plain, root)],
            }
        }
    }
    lines = ["# into the stack's file, under `config:` (host CAs are still to be added):", _dump(entry).rstrip()]
    if not _is_within(plain, root):
        lines += [
            "",
            f"# {plain.parent} is outside {root}, where no path of a configuration may begin: write the files there,",
            "# such as --output environments/<environment>, and delete these.",
        ]
    if secret is not None:
        stack = _environment_of(plain, root)
        lines += [
            "",
            f"# Values that look like secrets ({', '.join(adoption.secret_paths)}): set them, then delete the file.",
            f"# The key holds every cluster's: add to the file what `pulumi config get {SECRET_KEY}",
            f"# --stack {stack}` has of others.",
            # By stdin, so that the values appear in no process list and no shell history.
            f"pulumi config set --secret {SECRET_KEY} --stack {stack} < {shlex.quote(_relative(secret, root))}",
            f"# What is no secret: move it into {plain.name}, and name its path in allowSecretPaths.",
        ]
    if adoption.has_access_graph:
        lines += [
            "",
            "# The values connect Teleport to an access graph already. Kept, they stay when accessGraph.enabled is",
            "# turned off; --without-access-graph leaves them out, and the stack puts its own in their place.",
        ]
    return "\n".join(lines) + "\n"


def _environment_of(plain: Path, root: Path) -> str:
    """The stack that the file is for, by its directory; elsewhere the placeholder STACK."""
    parts = Path(_relative(plain, root)).parts
    return parts[1] if len(parts) == 3 and parts[0] == "environments" else "STACK"


def _access_graph(values: Mapping[str, Any]) -> Mapping[str, Any]:
    for level in (values.get("auth"), values):
        section = value_at(level, "teleportConfig", "access_graph")
        if isinstance(section, Mapping) and section:
            return section
    return {}


def _without_access_graph(values: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """The values without the parts that the stack brings itself, and without those that only served the former
    connection."""
    result = unpatch_values(values, _patch_in(section))
    for level in (result, result.get("auth")):
        configuration: Any = level.get("teleportConfig") if isinstance(level, dict) else None
        left = configuration.get("access_graph") if isinstance(configuration, dict) else None
        if isinstance(left, dict):
            for key in ("ca", "insecure"):
                left.pop(key, None)
            if not left:
                del configuration["access_graph"]
    return result


def _patch_in(section: Mapping[str, Any]) -> AccessGraphPatch:
    """The patch that would have made the section, to recognise its parts. Its endpoint plays no role, and need not be a
    valid one."""
    return AccessGraphPatch(endpoint="unknown:443", ca_checksum="" if section.get("ca") == CA_PATH else None)


class _Dumper(yaml.SafeDumper):
    """Multi-line texts as blocks; no aliases, because two equal values are still two settings."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    if "\n" in text:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    # Quote plain words that Helm reads differently than PyYAML (`y`, `1e3`).
    try:
        is_plain = parse_values(f"key: {text}") == {"key": text}
    except ValuesFileError:
        is_plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)


def _dump(values: Mapping[str, Any]) -> str:
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    if parse_values(text) != values:
        raise AdoptError("the release has values that YAML cannot carry; write its values file by `helm get values`")
    return text


def _says_the_same(path: Path, content: str) -> bool:
    try:
        return parse_values(path.read_text(encoding="utf-8")) == parse_values(content)
    except (OSError, ValueError):
        return False


def _is_within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _relative(path: Path, root: Path) -> str:
    return str(path.resolve().relative_to(root.resolve())) if _is_within(path, root) else str(path)
