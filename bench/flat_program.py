"""The same resources without components or settings: one constructor after the other, written from a deployed stack.

Owns the flat program and its state. Every value that the stack computed is a literal in it; computing nothing is less
work, so the comparison is biased against us. `write` makes a project of it; `adopt_state` gives it the stack's
resources as its own, so that a preview of it finds nothing to do.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"
STACK_TYPE = "pulumi:pulumi:Stack"
_SDK_OF = {"aws": "pulumi_aws", "kubernetes": "pulumi_kubernetes", "random": "pulumi_random", "tls": "pulumi_tls"}

Resource = Mapping[str, Any]


def resources_of_plugins(deployment: Mapping[str, Any]) -> list[Resource]:
    """Providers and their resources, in the order of the state: dependencies come first.

    Leaves out components, and the engine's own references to other stacks with their provider.
    """
    return [one for one in deployment["resources"] if one.get("custom") and _plugin(one["type"]) in _SDK_OF]


def write(deployment: Mapping[str, Any], project: str, environment: Path, directory: Path) -> int:
    """Write a project of that name to `directory`, run by the virtual environment; returns its resource count."""
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(environment)}}
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump({"name": project, "runtime": runtime}))
    resources = resources_of_plugins(deployment)
    (directory / "__main__.py").write_text("\n".join(_program(resources)) + "\n")
    return len([one for one in resources if not is_provider(one)])


def rooted(exported: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The exported state with absolute paths of the charts' files: the flat program runs in another directory."""
    changed: dict[str, Any] = json.loads(json.dumps(exported))
    for one in changed["deployment"]["resources"]:
        for state in (one.get("inputs", {}), one.get("outputs", {})):
            chart = state.get("chart")
            if isinstance(chart, str) and (root / chart).is_file():
                state["chart"] = str((root / chart).resolve())
    return changed


def adopt_state(exported: Mapping[str, Any], stack: str) -> dict[str, Any]:
    """The exported state, as that of a stack of the same project without components around its resources."""
    adopted: dict[str, Any] = json.loads(json.dumps(exported))
    deployment = adopted["deployment"]
    root = next(one["urn"] for one in deployment["resources"] if one["type"] == STACK_TYPE)
    kept = {one["urn"] for one in resources_of_plugins(deployment)} | {root}
    renamed = {urn: _flat_urn(urn, stack) for urn in kept}
    resources = [one for one in deployment["resources"] if one["urn"] in kept]
    for one in resources:
        own = one["urn"]
        one["urn"] = renamed[own]
        if own == root:
            one["outputs"] = {}
            continue
        one["parent"] = renamed[root]
        one["dependencies"] = [renamed[urn] for urn in one.get("dependencies", []) if urn in renamed]
        one["propertyDependencies"] = {
            name: [renamed[urn] for urn in urns if urn in renamed]
            for name, urns in one.get("propertyDependencies", {}).items()
        }
        if one.get("provider"):
            urn, _, identifier = one["provider"].rpartition("::")
            one["provider"] = f"{renamed[urn]}::{identifier}"
    deployment["resources"] = resources
    deployment.pop("pending_operations", None)
    return adopted


def _flat_urn(urn: str, stack: str) -> str:
    """The URN in another stack, with only the resource's own type instead of the path of types."""
    _, _, project, types, name = _parts(urn)
    if types == STACK_TYPE:
        name = f"{project}-{stack}"
    return f"urn:pulumi:{stack}::{project}::{types.rpartition('$')[2]}::{name}"


def _parts(urn: str) -> tuple[str, str, str, str, str]:
    head, project, types, name = urn.split("::", 3)
    return ("urn", head.rpartition(":")[2], project, types, name)


def is_provider(resource: Resource) -> bool:
    return str(resource["type"]).startswith("pulumi:providers:")


def _program(resources: Sequence[Resource]) -> Iterator[str]:
    yield '"""Written by bench/flat_program.py."""'
    yield ""
    yield "import pulumi"
    for sdk in sorted({_sdk(one) for one in resources}):
        yield f"import {sdk}"
    variables = {one["urn"]: f"r{number}" for number, one in enumerate(resources)}
    for one in resources:
        yield ""
        yield f"{variables[one['urn']]} = {_class(one)}("
        yield f"    {_parts(one['urn'])[4]!r},"
        for name, value in _arguments(one):
            yield f"    {name}={value},"
        yield f"    opts=pulumi.ResourceOptions({', '.join(_options(one, variables))}),"
        yield ")"


def _sdk(resource: Resource) -> str:
    return _SDK_OF[_plugin(resource["type"])]


def _plugin(type_: str) -> str:
    return type_.removeprefix("pulumi:providers:").partition(":")[0]


def _class(resource: Resource) -> str:
    """`pulumi_aws.rds.Instance` for `aws:rds/instance:Instance`."""
    if is_provider(resource):
        return f"{_sdk(resource)}.Provider"
    _, module, name = resource["type"].split(":")
    if _sdk(resource) == "pulumi_kubernetes":
        group, _, version = module.partition("/")
        # helm.sh/v3 -> helm.v3, networking.k8s.io/v1 -> networking.v1
        module = f"{group.split('.')[0]}.{version}"
    else:
        module = module.partition("/")[0]
    return f"{_sdk(resource)}.{'' if module == 'index' else f'{module}.'}{name}"


def _arguments(resource: Resource) -> Iterator[tuple[str, str]]:
    """The constructor's arguments, from the recorded inputs; leaves out those that plugins add."""
    sdk, _, path = _class(resource).partition(".")
    found: Any = importlib.import_module(sdk)
    for part in path.split("."):
        found = getattr(found, part)
    taken = inspect.signature(found._internal_init).parameters
    for key, value in resource.get("inputs", {}).items():
        name = snake(key)
        if name in taken and name not in ("api_version", "kind"):
            yield name, _literal(_provider_value(value) if is_provider(resource) else value)


def snake(name: str) -> str:
    """`privateKeyPem` as Python and Terraform write it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _provider_value(value: Any) -> Any:
    """Providers take their lists, maps and switches as JSON."""
    if isinstance(value, str) and (value[:1] in ("[", "{") or value in ("true", "false")):
        return json.loads(value)
    return value


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        if SECRET_SIGNATURE in value:
            return f"pulumi.Output.secret({_literal(json.loads(value['plaintext']))})"
        items = (f"{key!r}: {_literal(item)}" for key, item in value.items() if key != "__defaults")
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def _options(resource: Resource, variables: Mapping[str, str]) -> Iterator[str]:
    if resource.get("provider"):
        yield f"provider={variables[resource['provider'].rpartition('::')[0]]}"
    before = sorted(variables[urn] for urn in resource.get("dependencies", []) if urn in variables)
    if before:
        yield f"depends_on=[{', '.join(before)}]"
    for key, name in (("protect", "protect"), ("retainOnDelete", "retain_on_delete")):
        if resource.get(key):
            yield f"{name}=True"
    if resource.get("ignoreChanges"):
        yield f"ignore_changes={resource['ignoreChanges']!r}"
