"""A whole state of a version, as an operator of that version has it, without what only one deployment has.

`python -m tests.states.recording` deploys the present program on two sandboxes, one after the other, and writes what
their states have in common into the directory of its version. What is not the same in both (passwords, keys,
certificates, times, ports, ids), what names a place on this machine, and every secret, becomes a marker. A test takes
those from a stack that it has deployed itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.home import CHECKOUT, Cache
from sandbox.plugins.values import SECRET_SIGNATURE, SIGNATURE_KEY
from tests.engine.conftest import started_sandbox
from tests.states.inputs import STATES, VERSION

FILE = "state.json"
MARKER = "<of the deployment>"
# A resource is named by it, so that it stands within URNs.
CLIENT = "<client security group>"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
# Where in the program it was asked for, and when: every version says something else.
PASSING = {"sourcePosition", "stackTrace", "created", "modified"}
Resource = dict[str, Any]


def without_deployment(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Resource]:
    """The resources of both exports, in the order of the first. Raises `ValueError` when they are not the same ones."""
    first, others = resources(_named(one, _client(one), CLIENT)), resources(_named(other, _client(other), CLIENT))
    if first.keys() != others.keys():
        raise ValueError(f"not the same resources: {sorted(first.keys() ^ others.keys())}")
    return [
        {key: _common(value, others[urn].get(key)) for key, value in resource.items() if key not in PASSING}
        for urn, resource in first.items()
    ]


def resources(export: Mapping[str, Any]) -> dict[str, Resource]:
    """URN -> resource; the engine's order."""
    return {resource["urn"]: resource for resource in export["deployment"]["resources"]}


def _client(export: Mapping[str, Any]) -> str:
    """The one security group that may reach the database."""
    (rule,) = [one for one in export["deployment"]["resources"] if one["type"] == RULE]
    client: str = rule["inputs"]["referencedSecurityGroupId"]
    return client


def _named(value: Any, name: str, other: str) -> Any:
    return json.loads(json.dumps(value).replace(name, other))


def _common(one: Any, other: Any) -> Any:
    if _is_secret(one) or type(one) is not type(other):
        return MARKER
    if isinstance(one, dict):
        return {key: _common(value, other.get(key)) for key, value in one.items()}
    if isinstance(one, list) and len(one) == len(other):
        return [_common(*pair) for pair in zip(one, other, strict=True)]
    return one if one == other and not _is_of_this_machine(one) else MARKER


def _is_of_this_machine(value: Any) -> bool:
    places = (CHECKOUT, Path.home(), Cache.from_environment().root)
    return isinstance(value, str) and any(str(place) in value for place in places)


def _is_secret(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get(SIGNATURE_KEY) == SECRET_SIGNATURE


def with_deployment(recorded: list[Resource], export: Mapping[str, Any]) -> dict[str, Any]:
    """The export of a deployed stack with the recorded resources in place of its own; what is marked stays as deployed.

    A resource that is not deployed, or has another name now, takes it from one of its type. What is deployed may depend
    on what the recorded version did not have; the engine imports no such dependency, and it is left out.
    """
    deployed = resources(export)
    recorded = _named(recorded, CLIENT, _client(export))
    alike = {resource["type"]: resource for resource in deployed.values()}
    filled: list[Resource] = []
    before: set[str] = set()
    for resource in recorded:
        alike_or_same = deployed.get(resource["urn"], alike.get(resource["type"]))
        filled.append(_depending_on(before, _filled(resource, alike_or_same)))
        before.add(resource["urn"])
    return {**export, "deployment": {**export["deployment"], "resources": filled}}


def _depending_on(before: set[str], resource: Resource) -> Resource:
    """The resource with the dependencies of its that stand before it in its state."""
    known = dict(resource)
    if "dependencies" in resource:
        known["dependencies"] = [urn for urn in resource["dependencies"] if urn in before]
    if "propertyDependencies" in resource:
        known["propertyDependencies"] = {
            name: [urn for urn in urns or () if urn in before]
            for name, urns in resource["propertyDependencies"].items()
        }
    return known


def _filled(recorded: Any, deployed: Any) -> Any:
    if recorded == MARKER:
        # What no longer exists had some value.
        return "unknown" if deployed is None else deployed
    if isinstance(recorded, dict):
        known = deployed if isinstance(deployed, dict) else {}
        return {key: _filled(value, known.get(key)) for key, value in recorded.items()}
    if isinstance(recorded, list):
        if MARKER in recorded and isinstance(deployed, list) and len(deployed) != len(recorded):
            # Which of them the marks stand for is not known. Such are dependencies, whose order is the engine's.
            return deployed
        items = deployed if isinstance(deployed, list) and len(deployed) == len(recorded) else [None] * len(recorded)
        return [_filled(*pair) for pair in zip(recorded, items, strict=True)]
    return recorded


def main() -> None:
    exports = []
    for _ in range(2):
        with started_sandbox() as sandbox:
            sandbox.pulumi("up")
            exports.append(json.loads(sandbox.pulumi("stack", "export", "--show-secrets").stdout))
    (STATES / VERSION / FILE).write_text(json.dumps(without_deployment(*exports), indent=1) + "\n")


if __name__ == "__main__":
    main()
