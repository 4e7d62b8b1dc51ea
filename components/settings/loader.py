"""Turns a plain configuration into `Settings`, or into one error that has everything that is wrong with it.

Pure: it reads the files that settings name, and neither Pulumi nor a network. `project` reads Pulumi's configuration.
"""

from __future__ import annotations

import copy
import datetime
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
from pydantic import ValidationError

from components.settings.access_graph import AccessGraphSettings
from components.settings.clusters import AwsSettings, KubernetesSettings
from components.settings.configuration import SECRET_KEYS, Configuration
from components.settings.database import DatabaseSettings
from components.settings.database_profiles import with_profile_defaults
from components.settings.errors import Problem, SettingsError, join, shown_key
from components.settings.monitoring import MonitoringSettings
from components.settings.names import PROJECT, SERVICE_PORT
from components.settings.places import Place, fields_by_key
from components.settings.relations import (
    Draft,
    access_graph,
    chart_versions,
    charts,
    database,
    database_controls,
    database_origin,
    files,
    platform,
    teleport,
    tls,
)
from components.settings.teleport import TeleportSettings
from components.settings.tls import TlsSettings, certificate_names
from components.settings.wording import misspelt_namespaces, problems_of, suggestion

# Deeper than any setting, and far below what Python's own recursion bears.
DEEPEST = 16

RELATIONS = (
    *access_graph.RULES,
    *charts.RULES,
    *chart_versions.RULES,
    *database.RULES,
    *database_origin.RULES,
    *database_controls.RULES,
    *tls.RULES,
    *teleport.RULES,
    *platform.RULES,
    *files.RULES,
)


@dataclass(frozen=True, kw_only=True)
class SecretSettings:
    """Values of the secret keys: Outputs from the first moment on, so that none is ever printed."""

    database_uri: pulumi.Output[str] | None = None
    teleport_values: pulumi.Output[dict[str, Any]] | None = None
    """Teleport cluster name to secret Helm values."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A configuration that is valid as far as literals and files go."""

    kubernetes: KubernetesSettings
    aws: AwsSettings | None
    access_graph: AccessGraphSettings
    database: DatabaseSettings
    tls: TlsSettings
    teleport: Mapping[str, TeleportSettings]
    """By cluster name, immutable, in the order of the configuration."""

    monitoring: MonitoringSettings
    tags: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    """Of Kubernetes objects, both."""
    stack: str
    root: Path
    """Directory of Pulumi.yaml, where the paths in settings start."""

    secrets: SecretSettings = field(default_factory=SecretSettings)

    def kubernetes_of(self, cluster: str) -> KubernetesSettings:
        """The Kubernetes cluster that a Teleport cluster runs in."""
        return self.teleport[cluster].kubernetes or self.kubernetes

    @property
    def service_host(self) -> str:
        """TAG's DNS name inside its Kubernetes cluster."""
        return self.access_graph.service_host

    @property
    def certificate_names(self) -> tuple[str, ...] | None:
        """The names that TAG's certificate is to have; None where somebody else decides them."""
        return certificate_names(self.tls, self.service_host)

    def connects(self, cluster: str) -> bool:
        """Whether a Teleport cluster uses TAG, and TAG accepts it."""
        return self.access_graph.enabled and self.teleport[cluster].connected

    def endpoint_of(self, cluster: str) -> str:
        """host:port by which a Teleport cluster reaches TAG."""
        return self.teleport[cluster].endpoint or f"{self.service_host}:{SERVICE_PORT}"


def load_settings(
    config: Mapping[str, Any],
    secret_keys: Collection[str],
    *,
    root: Path,
    stack: str,
    strangers: Collection[str] = (),
) -> Settings:
    """Check a configuration and give it types.

    `config` maps the keys of the project's namespace to values, or to their JSON as Pulumi stores objects.
    `secret_keys` names the keys that are stored as secrets; their values are not looked at and need not be in `config`.
    `root` is the directory where paths start, `stack` the name of the stack, part of the default names. `strangers` are
    the keys of other namespaces, these in front.

    Raises `SettingsError` with every problem there is.
    """
    problems, plain, secrets, refused = _sort_keys(config, secret_keys)
    for key, meant in misspelt_namespaces(strangers, (*fields_by_key(Configuration), *SECRET_KEYS)):
        rule = "is in a namespace that nobody reads, so that it would have no effect"
        problems.append(Problem(shown_key(key), rule, f"did you mean {PROJECT}:{meant}?"))
        refused.append(meant)
    plain = _with_stack_defaults(plain, stack)
    configuration, wrong, places = _validate(plain)
    problems += [problem for problem in wrong if problem.key not in refused]
    mended = [*refused, *(join(*place.mendable[0]) for place in places)]
    # A secret that stands among the plain settings is told there, and not that its own key is missing as well.
    mended += [key for place in places if (key := str(place.parts[-1])) in SECRET_KEYS]
    if configuration is None:
        configuration, _, _ = _validate(_mended(plain, places))
    if configuration is not None:
        draft = Draft(configuration, secrets, root)
        problems += [
            found.problem
            for relation in RELATIONS
            for found in relation(draft)
            if not any(_touches(key, other) for key in found.about for other in mended)
        ]
    if problems or configuration is None:
        raise SettingsError(sorted(set(problems)))
    return Settings(
        kubernetes=configuration.kubernetes,
        aws=configuration.aws,
        access_graph=configuration.access_graph,
        database=configuration.database,
        tls=configuration.tls,
        teleport=configuration.teleport,
        monitoring=configuration.monitoring,
        tags=configuration.tags,
        labels=configuration.labels,
        annotations=configuration.annotations,
        stack=stack,
        root=root,
    )


def _sort_keys(
    config: Mapping[str, Any], secret_keys: Collection[str]
) -> tuple[list[Problem], dict[str, Any], set[str], list[str]]:
    """Problems of the keys themselves, the plain values, the secret keys that are set, and the keys refused already."""
    problems: list[Problem] = []
    plain: dict[str, Any] = {}
    refused: list[str] = []
    known = (*fields_by_key(Configuration), *SECRET_KEYS)
    for key in (*config, *(name for name in secret_keys if name not in config)):
        if key not in known:
            problems.append(Problem(shown_key(key), "is not a setting", _remedy_of_key(str(key), known)))
        elif key in SECRET_KEYS:
            if key not in secret_keys:
                remedy = f"set it with `pulumi config set --secret {key}`, and replace the exposed value"
                problems.append(Problem(key, "is a secret, but is stored in plain text", remedy))
                refused.append(key)
        elif key in secret_keys:
            remedy = f"store it in plain text: only {' and '.join(SECRET_KEYS)} are secret"
            problems.append(Problem(key, "is a plain setting, but it, or a part of it, is stored as a secret", remedy))
            refused.append(key)
        else:
            try:
                plain[key] = _plain_value(config[key], key)
            except _NotPlain as error:
                problems.append(error.problem)
                refused.append(key)
    secrets = {key for key in SECRET_KEYS if key in config or key in secret_keys}
    return problems, plain, secrets, refused


def _remedy_of_key(key: str, known: Collection[str]) -> str:
    if key.partition(".")[0] in known and key.isprintable():
        # As `pulumi config set` stores a path without being told that it is one.
        return (
            f"set it with `pulumi config set --path '{key}' <value>`, and remove this with `pulumi config rm '{key}'`"
        )
    return suggestion(key, known)


class _NotPlain(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _plain_value(value: Any, key: str) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            rule = "is not a map of settings"
            raise _NotPlain(
                Problem(key, rule, f"write it as a YAML map, or set its keys with --path {key}.…")
            ) from None
    return _json_value(value, (key,))


def _json_value(value: Any, path: tuple[str | int, ...]) -> Any:
    """A copy of JSON's own types alone, not too deep."""
    if len(path) > DEEPEST:
        raise _NotPlain(Problem(join(*path[:1]), f"is nested deeper than {DEEPEST} levels", "no setting is that deep"))
    if isinstance(value, Mapping):
        return {str(key): _json_value(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, datetime.date):
        raise _NotPlain(Problem(join(*path), "is not text", "put it in quotes: YAML reads it as a date"))
    raise _NotPlain(
        Problem(join(*path), "is of a type that JSON does not have", "give text, a number, a list or a map")
    )


def _with_stack_defaults(plain: dict[str, Any], stack: str) -> dict[str, Any]:
    """Adds the defaults that depend on the stack or the database's profile, to meet the same rules as others."""
    section = plain.get("database")
    if not isinstance(section, dict) or section.get("mode") != "rds":
        return plain
    section = {"identifier": f"teleport-access-graph-{stack}", **section}
    return {**plain, "database": with_profile_defaults(section)}


def _validate(plain: Mapping[str, Any]) -> tuple[Configuration | None, list[Problem], list[Place]]:
    try:
        return Configuration.model_validate(plain), [], []
    except ValidationError as error:
        problems, places = problems_of(error.errors(include_url=False))
        return None, problems, places


def _mended(plain: Mapping[str, Any], places: Sequence[Place]) -> dict[str, Any]:
    """`plain` with placeholders for what was refused, so that rules between the other settings can still be heard."""
    mended: dict[str, Any] = copy.deepcopy(dict(plain))
    for place in places:
        parts, model_field = place.mendable
        container: Any = mended
        for part in parts[:-1]:
            try:
                container = container[part]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if isinstance(container, dict) and parts:
                if model_field is not None and model_field.is_required() and model_field.examples:
                    container[str(parts[-1])] = copy.deepcopy(model_field.examples[0])
                else:
                    container.pop(str(parts[-1]), None)
    return mended


def _touches(key: str, other: str) -> bool:
    """Whether one of two key paths lies in the other."""
    return key == other or key.startswith((f"{other}.", f"{other}[")) or other.startswith((f"{key}.", f"{key}["))
