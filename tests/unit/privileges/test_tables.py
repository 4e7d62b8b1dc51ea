"""Both tables have an entry for every type that the program registers in any mode, and no other entries."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import botocore.session
import pulumi
import pytest

from operations.privileges import chart_objects
from operations.privileges.aws_actions import ACTIONS, Grant
from operations.privileges.kubernetes_objects import OBJECTS, PATCHES, Place
from tests.unit.privileges.modes import MODES, place_of, recorded, settings_of

pytestmark = [pytest.mark.unit, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
RELEASE = "kubernetes:helm.sh/v3:Release"
# Classes that do not determine the type's token: the token of a custom resource depends on its arguments.
_BY_ARGUMENTS = {"CustomResource", "_Certificate"}

# Actions that are not operations of their service's API, with the page that documents them.
NOT_OPERATIONS = {
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    "iam:PassRole",
}


def registered() -> set[str]:
    return {item.type for mode in MODES for item in recorded(mode).custom()}


def constructed() -> set[str]:
    """Type tokens of every resource class of a plugin that a module in `components/` calls anywhere."""
    found = set()
    for file in (ROOT / "components").glob("*.py"):
        module = importlib.import_module(f"components.{file.stem}")
        aliases = dict(vars(module))
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            # SDKs that load late are imported inside functions.
            if isinstance(node, ast.Import):
                aliases |= {
                    name.asname: importlib.import_module(name.name)
                    for name in node.names
                    if name.asname and name.name.startswith("pulumi_")
                }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
                called = _resolved(ast.unparse(node.func), aliases)
                if isinstance(called, type) and issubclass(called, pulumi.CustomResource):
                    if called.__name__ in _BY_ARGUMENTS or issubclass(called, pulumi.StackReference):
                        continue
                    # The program's own class in place of an SDK's has its token in its module.
                    token = getattr(called, "pulumi_type", None) or vars(sys.modules[called.__module__])["TOKEN"]
                    found.add(str(token))
    return {token for token in found if not token.startswith("pulumi:providers:")}


def _resolved(path: str, names: dict[str, object]) -> object:
    first, *rest = path.split(".")
    value = names.get(first)
    for part in rest:
        value = getattr(value, part, None)
    return value


def grants() -> list[Grant]:
    return [grant for actions in ACTIONS.values() for grant in (*actions.read, *actions.write)]


def test_the_modes_make_the_program_register_all_that_its_code_can() -> None:
    assert len(constructed()) > 30
    assert constructed() - registered() == set()


def test_every_aws_type_has_its_actions_and_no_other_type_has() -> None:
    assert set(ACTIONS) == {type_ for type_ in registered() if type_.startswith("aws:")}
    assert len(ACTIONS) == 17
    for type_, actions in ACTIONS.items():
        assert actions.read, type_
        assert actions.write, type_


def test_every_kubernetes_type_has_its_resource_and_places() -> None:
    used: dict[str, set[Place]] = {}
    for mode in MODES:
        for item in recorded(mode).custom():
            if item.type.startswith("kubernetes:") and item.type != RELEASE:
                namespace = item.plain("metadata").get("namespace")
                used.setdefault(item.type, set()).add(place_of(settings_of(mode), namespace))
    assert used == {type_: set(places) for type_, (_, places) in {**OBJECTS, **PATCHES}.items()}


def test_what_needs_no_right_is_of_two_plugins() -> None:
    """Both plugins compute on the machine that runs the engine."""
    others = {type_ for type_ in registered() if not type_.startswith(("aws:", "kubernetes:"))}
    assert {type_.split(":")[0] for type_ in others} == {"random", "tls"}


def test_every_action_exists() -> None:
    session = botocore.session.get_session()
    operations = {
        service: set(session.get_service_model(service).operation_names)
        for service in {action.split(":")[0] for grant in grants() for action in grant.actions}
    }
    missing = {
        action
        for grant in grants()
        for action in grant.actions
        if action.split(":")[1] not in operations[action.split(":")[0]]
    }
    assert missing == NOT_OPERATIONS


def test_no_action_and_no_verb_is_a_pattern() -> None:
    assert not [action for grant in grants() for action in grant.actions if "*" in action or "?" in action]


def test_what_reaches_everything_says_why_and_nothing_else_does() -> None:
    """Without a resource and without a condition, a right applies to the whole account."""
    for grant in grants():
        # A condition that applies only to tagged resources leaves untagged ones open.
        conditional = bool(grant.when) and "StringEqualsIfExists" not in grant.when
        everywhere = not conditional and (not grant.on or all(one.endswith((":*", "/*", "!*")) for one in grant.on))
        limited_by_name = any("{identifier}" in one or "{role_prefix}" in one for one in grant.on)
        limited_by_cluster = any("{eks_cluster}" in one for one in grant.on)
        # `iam` explains the right to a restore's snapshot, because it depends on names in the settings.
        if everywhere and not limited_by_name and not limited_by_cluster and "snapshot:*" not in str(grant.on):
            assert grant.why_everywhere, grant.actions
        if grant.why_everywhere:
            assert everywhere, grant.actions


def test_each_entry_is_read_alphabetically() -> None:
    for grant in grants():
        assert list(grant.actions) == sorted(set(grant.actions))


@pytest.mark.parametrize(
    ("chart", "resources"),
    [
        ("teleport-access-graph", chart_objects.ACCESS_GRAPH),
        (
            "teleport-cluster",
            (*chart_objects.TELEPORT_CLUSTER, chart_objects.CLUSTER_ROLES, chart_objects.CLUSTER_ROLE_BINDINGS),
        ),
    ],
)
def test_what_the_sandboxes_charts_render_is_among_what_the_charts_do(
    chart: str, resources: tuple[chart_objects.Resource, ...]
) -> None:
    kinds = {
        kind.lower()
        for file in (ROOT / "sandbox" / "charts" / chart / "templates").glob("*.yaml")
        for kind in re.findall(r"^kind: (\w+)$", file.read_text(), re.MULTILINE)
    }
    assert len(kinds) >= 5
    assert kinds <= {resource.name.removesuffix("s") for resource in resources}
