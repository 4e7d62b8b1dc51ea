"""The inputs of a Helm release: which exist, their defaults, and the Helm flags they translate to.

Owns that table; `release.py` decides which command runs when.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.protocol import CheckFailure
from sandbox.plugins.values import UNKNOWN

DEFAULT_TIMEOUT_SECONDS: Final = 300
FLAGS: Final = (
    "allowNullValues",
    "atomic",
    "cleanupOnFail",
    "createNamespace",
    "dependencyUpdate",
    "devel",
    "disableCRDHooks",
    "disableOpenapiValidation",
    "disableWebhooks",
    "forceUpdate",
    "lint",
    "recreatePods",
    "renderSubchartNotes",
    "replace",
    "resetValues",
    "reuseValues",
    "skipAwait",
    "skipCrds",
    "verify",
    "waitForJobs",
)
TEXTS: Final = ("chart", "description", "keyring", "name", "namespace", "postrender", "version")
REPOSITORY: Final = ("caFile", "certFile", "keyFile", "password", "repo", "username")
# `compat` and `manifest` are the SDK's own; `checksum`, `resourceNames` and `status` are outputs of older versions.
DROPPED: Final = ("compat", "manifest", "checksum", "resourceNames", "status")
OTHERS: Final = ("maxHistory", "repositoryOpts", "timeout", "values")
KNOWN: Final = frozenset((*FLAGS, *TEXTS, *OTHERS, *DROPPED))
INSTALL_FLAGS: Final = {
    "atomic": "--atomic",
    "createNamespace": "--create-namespace",
    "dependencyUpdate": "--dependency-update",
    "devel": "--devel",
    "disableOpenapiValidation": "--disable-openapi-validation",
    "disableWebhooks": "--no-hooks",
    "renderSubchartNotes": "--render-subchart-notes",
    "replace": "--replace",
    "skipCrds": "--skip-crds",
    "verify": "--verify",
}
UPGRADE_FLAGS: Final = {
    "atomic": "--atomic",
    "cleanupOnFail": "--cleanup-on-fail",
    "dependencyUpdate": "--dependency-update",
    "devel": "--devel",
    "disableCRDHooks": "--no-hooks",
    "forceUpdate": "--force",
    "recreatePods": "--recreate-pods",
    "renderSubchartNotes": "--render-subchart-notes",
    "resetValues": "--reset-values",
    "reuseValues": "--reuse-values",
    "verify": "--verify",
}
REPOSITORY_FLAGS: Final = {"repo": "--repo", "caFile": "--ca-file", "certFile": "--cert-file", "keyFile": "--key-file"}


def failures(inputs: Mapping[str, Any]) -> list[CheckFailure]:
    """One for each unknown property and each value of the wrong type."""
    found = []
    for key, value in inputs.items():
        if key not in KNOWN:
            near = difflib.get_close_matches(key, KNOWN - set(DROPPED), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            if key == "valueYamlFiles":
                hint = ": the stand-in takes values only; read the files in the program"
            found.append(CheckFailure(key, f"unknown property {key!r} of a Helm release{hint}"))
        elif value is None or value is UNKNOWN or key in DROPPED:
            continue
        elif key in FLAGS and not isinstance(value, bool):
            found.append(CheckFailure(key, f"{key}: expected a boolean, got {type(value).__name__}"))
        elif key in TEXTS and not isinstance(value, str):
            found.append(CheckFailure(key, f"{key}: expected a string, got {type(value).__name__}"))
        elif key in ("timeout", "maxHistory") and (isinstance(value, bool) or not isinstance(value, int)):
            found.append(CheckFailure(key, f"{key}: expected a whole number, got {type(value).__name__}"))
        elif key in ("values", "repositoryOpts") and not isinstance(value, Mapping):
            found.append(CheckFailure(key, f"{key}: expected an object, got {type(value).__name__}"))
        elif key == "repositoryOpts":
            found += [
                CheckFailure(f"{key}.{name}", f"unknown property {name!r} of repositoryOpts")
                for name in value
                if name not in REPOSITORY
            ]
            if value.get("username") or value.get("password"):
                found.append(
                    CheckFailure(
                        key, "the stand-in gives Helm no repository credentials; add the repository by `helm repo add`"
                    )
                )
    if not inputs.get("chart"):
        found.append(CheckFailure("chart", "chart is required"))
    return found


def with_defaults(given: Mapping[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """Every property that the state keeps, with the official plugin's defaults."""
    inputs: dict[str, Any] = dict.fromkeys(FLAGS, False) | dict.fromkeys(TEXTS, "") | {"values": {}}
    inputs |= {key: value for key, value in given.items() if value is not None and key not in DROPPED}
    inputs["name"] = given.get("name") or name
    inputs["namespace"] = given.get("namespace") or namespace
    if "timeout" not in inputs:
        inputs["timeout"] = 0 if inputs["skipAwait"] is True else DEFAULT_TIMEOUT_SECONDS
    if inputs["verify"] is True and not inputs["keyring"]:
        inputs["keyring"] = os.path.expandvars("$HOME/.gnupg/pubring.gpg")
    if isinstance(inputs.get("repositoryOpts"), Mapping):
        inputs["repositoryOpts"] = dict.fromkeys(REPOSITORY, "") | dict(inputs["repositoryOpts"])
    return inputs


def install_arguments(inputs: Mapping[str, Any]) -> list[str]:
    return ["install", str(inputs["name"]), str(inputs["chart"]), *_common(inputs, INSTALL_FLAGS)]


def upgrade_arguments(inputs: Mapping[str, Any]) -> list[str]:
    # Helm's own command keeps ten revisions; the official plugin keeps all unless told otherwise.
    history = ["--history-max", str(inputs.get("maxHistory") or 0)]
    return ["upgrade", str(inputs["name"]), str(inputs["chart"]), *_common(inputs, UPGRADE_FLAGS), *history]


def uninstall_arguments(outputs: Mapping[str, Any]) -> list[str]:
    arguments = ["uninstall", str(outputs["name"]), "--namespace", str(outputs["namespace"])]
    if outputs.get("atomic") or not outputs.get("skipAwait"):
        arguments += ["--wait", "--timeout", _timeout(outputs)]
    return arguments


def chart_arguments(inputs: Mapping[str, Any]) -> list[str]:
    """The flags for a chart's source, shared by `helm show chart` and the other commands."""
    arguments = []
    if inputs.get("version"):
        arguments += ["--version", str(inputs["version"])]
    repository = inputs.get("repositoryOpts") or {}
    for key, flag in REPOSITORY_FLAGS.items():
        if repository.get(key):
            arguments += [flag, str(repository[key])]
    if inputs.get("keyring") and inputs.get("verify"):
        arguments += ["--keyring", str(inputs["keyring"])]
    return arguments


def _common(inputs: Mapping[str, Any], flags: Mapping[str, str]) -> list[str]:
    arguments = ["--namespace", str(inputs["namespace"]), "--timeout", _timeout(inputs)]
    arguments += [flag for key, flag in flags.items() if inputs.get(key)]
    if not inputs.get("skipAwait"):
        arguments += ["--wait", *(["--wait-for-jobs"] if inputs.get("waitForJobs") else [])]
    if inputs.get("description"):
        arguments += ["--description", str(inputs["description"])]
    if inputs.get("postrender"):
        arguments += ["--post-renderer", str(inputs["postrender"])]
    return [*arguments, *chart_arguments(inputs)]


def _timeout(inputs: Mapping[str, Any]) -> str:
    return f"{inputs.get('timeout') or DEFAULT_TIMEOUT_SECONDS}s"
