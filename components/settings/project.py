"""Reads the configuration of the stack that the engine runs, secrets as Outputs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import config as engine

from components.nesting import DEEPEST_VALUES, is_deeper
from components.settings.errors import Problem, SettingsError, join
from components.settings.loader import SecretSettings, Settings, load_settings
from components.settings.names import PROJECT
from components.settings.teleport import ManualTeleportSettings


def read_settings(root: Path | None = None) -> Settings:
    """The settings of the running stack.

    `root` is the directory of Pulumi.yaml; the engine starts the program there. Raises `SettingsError`.
    """
    prefix = f"{pulumi.get_project()}:"
    everything = {**engine.get_config_env(), **engine.CONFIG.get()}
    values = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}
    # By one that every stack has: what Pulumi.yaml declares, the engine gives the new name's defaults.
    if "kubernetes" not in values and f"{PROJECT}:kubernetes" in everything:
        rule = f"is another project than that of the settings, which are {PROJECT}:..."
        remedy = f"set name: {PROJECT} in it again"
        raise SettingsError([Problem("Pulumi.yaml", rule, remedy, f"name: {pulumi.get_project()}")])
    secret_keys = {key for key in values if engine.is_config_secret(prefix + key)}
    plain = {key: value if key not in secret_keys else None for key, value in values.items()}
    settings = load_settings(
        plain,
        secret_keys,
        root=root or Path.cwd(),
        stack=pulumi.get_stack(),
        strangers=[key for key in everything if not key.startswith(prefix)],
    )
    return dataclasses.replace(settings, secrets=_secrets(settings))


def _secrets(settings: Settings) -> SecretSettings:
    config = pulumi.Config()
    teleport_values = config.get_secret("teleportSecretValues")
    return SecretSettings(
        database_uri=config.get_secret("databaseUri"),
        # Not `get_secret_object`: its error for text that is no JSON shows the text.
        teleport_values=None
        if teleport_values is None
        else teleport_values.apply(lambda text: secret_values(text, settings)),
    )


def secret_values(text: str, settings: Settings) -> dict[str, Any]:
    """Secret Helm values by Teleport cluster. Raises `SettingsError`, whose text has nothing of the values."""
    key = "teleportSecretValues"
    try:
        values = json.loads(text)
        # Python takes more than JSON has (NaN, half a surrogate pair), and the engine would fail with a traceback.
        json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, Mapping):
        remedy = f"set it with `pulumi config set --secret --path '{key}[\"<cluster>\"].<value>'`"
        raise SettingsError([Problem(key, "is not an object of Teleport cluster name to values", remedy)])
    charted = [name for name, entry in settings.teleport.items() if not isinstance(entry, ManualTeleportSettings)]
    problems = []
    for cluster, part in values.items():
        if cluster not in charted:
            rule = "is no Teleport cluster with Helm values in `teleport`"
            problems.append(Problem(join(key, cluster), rule, f"use one of {', '.join(charted) or 'those'}"))
        elif not isinstance(part, Mapping):
            problems.append(Problem(join(key, cluster), "is not a map of Helm values", "give the values as a map"))
        elif is_deeper(part, DEEPEST_VALUES):
            rule = f"goes deeper than {DEEPEST_VALUES} levels"
            problems.append(Problem(join(key, cluster), rule, "take out what is that deep: Helm takes no such values"))
    if problems:
        raise SettingsError(problems)
    return dict(values)
