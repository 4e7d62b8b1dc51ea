"""The whole state of a stack as a version of the program leaves it, without what is specific to one deployment.

`python -m tests.states.recording` deploys the current program on two sandboxes, one after the other, and writes what
their states have in common into the directory of the program's version. A marker replaces every value that differs
between the two (passwords, keys, certificates, times, ports, ids), names a place on this machine, or is secret. A test
fills the markers in from a stack that it has deployed itself.
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
# Replaces the security group's id within URNs too, because a resource is named by that id.
CLIENT = "<client security group>"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
# Where in the program a resource was registered, and when: this differs with every version.
PASSING = {"sourcePosition", "stackTrace", "created", "modified"}
Resource = dict[str, Any]


def without_deployment(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Resource]:
    """What the exports' resources have in common, in the order of `one`. Raises `ValueError` if their URNs differ."""
    first, others = resources(_named(one, _client(one), CLIENT)), resources(_named(other, _client(other), CLIENT))
    if first.keys() != others.keys():
        raise ValueError(f"not the same resources: {sorted(first.keys() ^ others.keys())}")
    return [
        {key: _common(value, others[urn].get(key)) for key, value in resource.items() if key not in PASSING}
        for urn, resource in first.items()
    ]


def resources(export: Mapping[str, Any]) -> dict[str, Resource]:
    """URN -> resource, in the engine's order."""
    return {resource["urn"]: resource for resource in export["deployment"]["resources"]}


def _client(export: Mapping[str, Any]) -> str:
    """Id of the only security group that may reach the database."""
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
    """The export of a deployed stack with the recorded resources in place of its own, and the deployed values in place
    of the markers.

    A recorded resource that is not deployed, or has another name now, takes its values from a resource of its type. A
    deployed resource may depend on one that the recorded version did not have. Such dependencies are left out, because
    the engine refuses to import them.
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
    """`resource` with only those of its dependencies that are in `before`, the URNs that precede it in the state."""
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
        # The resource no longer exists, so any value will do.
        return "unknown" if deployed is None else deployed
    if isinstance(recorded, dict):
        known = deployed if isinstance(deployed, dict) else {}
        return {key: _filled(value, known.get(key)) for key, value in recorded.items()}
    if isinstance(recorded, list):
        if MARKER in recorded and isinstance(deployed, list) and len(deployed) != len(recorded):
            # Which items the markers stand for is unknown. Only lists of dependencies are like this; their order is the
            # engine's.
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
