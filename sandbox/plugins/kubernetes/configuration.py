"""The provider's own configuration: which keys exist, what they mean, and when a change replaces everything.

Owns the reading of values; `kubeconfig.py` resolves the cluster they refer to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.plugins.kubernetes import kubeconfig
from sandbox.plugins.kubernetes.kubeconfig import KubeconfigError
from sandbox.plugins.protocol import CheckFailure, DiffResult
from sandbox.plugins.values import UNKNOWN, Properties, unwrap

# Keys that the engine itself keeps in a provider resource.
ENGINE_KEYS: Final = frozenset({"version", "pluginDownloadURL", "pluginChecksums", "__internal"})
TEXTS: Final = frozenset({"kubeconfig", "context", "cluster", "namespace", "clusterIdentifier"})
# Each switch with its default and the environment variable that the official plugin falls back to.
SWITCHES: Final = {
    "deleteUnreachable": ("PULUMI_K8S_DELETE_UNREACHABLE", False),
    "enableConfigMapMutable": ("PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE", False),
    "enablePatchForce": ("PULUMI_K8S_ENABLE_PATCH_FORCE", False),
    "enableSecretMutable": ("PULUMI_K8S_ENABLE_SECRET_MUTABLE", False),
    "enableServerSideApply": ("PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", True),
    "skipUpdateUnreachable": ("PULUMI_K8S_SKIP_UPDATE_UNREACHABLE", False),
    "suppressDeprecationWarnings": ("PULUMI_K8S_SUPPRESS_DEPRECATION_WARNINGS", False),
    "suppressHelmHookWarnings": ("PULUMI_K8S_SUPPRESS_HELM_HOOK_WARNINGS", False),
    "upsertExistingObjects": ("PULUMI_K8S_UPSERT_EXISTING_OBJECTS", False),
}
HELM_ENVIRONMENT: Final = {
    "driver": "HELM_DRIVER",
    "pluginsPath": "HELM_PLUGINS",
    "registryConfigPath": "HELM_REGISTRY_CONFIG",
    "repositoryConfigPath": "HELM_REPOSITORY_CONFIG",
    "repositoryCache": "HELM_REPOSITORY_CACHE",
}
REFUSED: Final = {
    "renderYamlToDirectory": "it renders instead of applying",
    "alwaysRender": "it renders instead of applying",
    "kubeClientSettings": "its rate limits are those of another client",
}


@dataclass(frozen=True)
class Options:
    """`helm` holds the environment variables that correspond to the Helm settings."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    delete_unreachable: bool = False
    config_map_mutable: bool = False
    patch_force: bool = False
    secret_mutable: bool = False
    server_side_apply: bool = True
    skip_update_unreachable: bool = False
    upsert: bool = False
    helm: dict[str, str] = field(default_factory=dict)


def read(properties: Mapping[str, Any], environment: Mapping[str, str]) -> Options:
    values = unwrap(properties)
    switches = {key: _switch(values, key, environment) for key in SWITCHES}
    contents = values.get("kubeconfig")
    if isinstance(contents, Mapping):
        contents = json.dumps(contents)
    return Options(
        kubeconfig=contents or None,
        context=values.get("context") or None,
        cluster=values.get("cluster") or None,
        namespace=values.get("namespace") or None,
        delete_unreachable=switches["deleteUnreachable"],
        config_map_mutable=switches["enableConfigMapMutable"],
        patch_force=switches["enablePatchForce"],
        secret_mutable=switches["enableSecretMutable"],
        server_side_apply=switches["enableServerSideApply"],
        skip_update_unreachable=switches["skipUpdateUnreachable"],
        upsert=switches["upsertExistingObjects"],
        helm={
            HELM_ENVIRONMENT[key]: str(value)
            for key, value in _helm_settings(values).items()
            if key in HELM_ENVIRONMENT
        },
    )


def check(news: Properties) -> list[CheckFailure]:
    failures = []
    for key, value in unwrap(news).items():
        if key in ENGINE_KEYS or value is UNKNOWN or value is None:
            continue
        if key in REFUSED:
            failures.append(
                CheckFailure(key, f"the stand-in for kubernetes does not take {key} ({REFUSED[key]}); leave it out")
            )
        elif key == "helmReleaseSettings":
            unknown = sorted(set(_helm_settings({key: value})) - set(HELM_ENVIRONMENT) - {"suppressBetaWarning"})
            failures += [CheckFailure(f"{key}.{name}", f"helmReleaseSettings has no {name}") for name in unknown]
        elif key in SWITCHES:
            if value not in (True, False, "true", "false"):
                failures.append(CheckFailure(key, f"{key} must be true or false"))
        elif key not in TEXTS:
            failures.append(CheckFailure(key, f"the stand-in for kubernetes has no configuration {key!r}"))
    return failures


def diff(olds: Properties, news: Properties) -> DiffResult:
    """A changed cluster identifier replaces the provider and everything it made; an unchanged one prevents that.

    Without an identifier, the cluster entry of the kubeconfig's context decides.
    """
    old, new = unwrap(olds), unwrap(news)
    changed = sorted(key for key in {*old, *new} - ENGINE_KEYS if old.get(key) != new.get(key))
    if not changed:
        return DiffResult(changes=False)
    identifiers = (old.get("clusterIdentifier"), new.get("clusterIdentifier"))
    if all(identifiers):
        return DiffResult(changes=True, replaces=["clusterIdentifier"] if identifiers[0] != identifiers[1] else [])
    place = ("kubeconfig", "context", "cluster")
    unknown = [key for key in place if new.get(key) is UNKNOWN]
    if unknown:
        return DiffResult(changes=True, replaces=unknown[:1])
    before, after = _active_cluster(old), _active_cluster(new)
    return DiffResult(changes=True, replaces=[key for key in place if key in changed] if before != after else [])


def _active_cluster(values: Mapping[str, Any]) -> dict[str, Any]:
    """{} if the kubeconfig is the ambient one: a provider cannot tell such clusters apart."""
    contents = values.get("kubeconfig")
    if not contents:
        return {}
    try:
        config = kubeconfig.parse(contents) if isinstance(contents, str) else dict(contents)
    except KubeconfigError:
        return {}
    return kubeconfig.active_cluster(config, values.get("context"), values.get("cluster"))


def _switch(values: Mapping[str, Any], key: str, environment: Mapping[str, str]) -> bool:
    variable, default = SWITCHES[key]
    value = values.get(key, environment.get(variable))
    return default if value is None else value in (True, "true")


def _helm_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    settings = values.get("helmReleaseSettings") or {}
    # Provider configuration other than strings travels as JSON text.
    parsed: dict[str, Any] = json.loads(settings) if isinstance(settings, str) else settings
    return {key: value for key, value in parsed.items() if value is not None}


def ambient() -> dict[str, str]:
    return dict(os.environ)
