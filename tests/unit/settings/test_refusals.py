"""Each rule refuses what it should, at the right key, with the rule and the remedy, in the project's own words."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from components.settings import SettingsError, load_settings, loader
from components.settings.configuration import Configuration
from components.settings.places import fields_by_key, is_section, plain_type, rules_of, union_members
from components.settings.relations import Draft, Finding
from components.settings.rules import Rule, Section
from tests.samples import STACK, minimal_configuration
from tests.unit.settings import cases, cases_platform, cases_surprises, cases_tls
from tests.unit.settings.cases import Refusal

pytestmark = pytest.mark.unit

REFUSALS = [*cases.REFUSALS, *cases_tls.TLS, *cases_platform.PLATFORM, *cases_surprises.SURPRISES]

# Phrases of a validator's own messages.
JARGON = re.compile(
    r"pydantic|input_|errors\.dev|validation error|Extra inputs|valid (string|integer|dictionary)|\[type=", re.I
)


def put(configuration: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split("/")
    container = configuration
    for part in parents:
        container = container.setdefault(part, {})
    if value is ...:
        container.pop(last, None)
    else:
        container[last] = copy.deepcopy(value)


def configuration_of(case: Refusal) -> dict[str, Any]:
    configuration = case.base()
    put(configuration, case.path, case.value)
    for path, value in case.also.items():
        put(configuration, path, value)
    return configuration


def name_of(case: Refusal) -> str:
    return f"{case.expected_key}-{case.rule[:30]}"


@pytest.mark.parametrize("case", REFUSALS, ids=name_of)
def test_a_setting_that_breaks_a_rule_is_refused(case: Refusal, root: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(configuration_of(case), case.secret_keys, root=root, stack=STACK)
    problems = caught.value.problems
    assert [problem.key for problem in problems] == [case.expected_key], "one change makes one problem, at its key"
    (problem,) = problems
    assert case.rule in f"{problem.value or ''} {problem.rule}"
    assert case.remedy in problem.remedy
    assert f"\n  {case.expected_key}: " in str(caught.value), "the text has a line for the problem"
    assert len(str(caught.value).splitlines()) == 2, "the problem is one line"
    assert not JARGON.search(str(caught.value))
    if case.shows_value:
        # Invisible characters are written as escapes.
        written = json.dumps(case.value, ensure_ascii=not str(case.value).isprintable())
        assert problem.value == (written if len(written) <= 60 else f'{written[:56]}..."')


def rules_of_all_settings(section: type[Section] = Configuration) -> Iterator[Rule]:
    for field in fields_by_key(section).values():
        yield from rules_of(field.annotation, field.metadata)
        yield from rules_under(field.annotation)


def rules_under(annotation: Any) -> Iterator[Rule]:
    inner = plain_type(annotation)
    members = union_members(inner)
    if members:
        for member in members.values():
            yield from rules_of_all_settings(member)
    elif is_section(inner):
        yield from rules_of_all_settings(inner)
    else:
        for argument in get_args(inner):
            yield from rules_under(argument)


@pytest.mark.slow
def test_every_rule_refuses_something_in_the_cases(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no case breaks a rule, the rule itself could break unnoticed."""
    used: set[str] = set()
    rules = {id(rule): rule for rule in rules_of_all_settings()}.values()

    def recorded(rule: Rule, accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def accepted(value: Any) -> bool:
            answer = accepts(value)
            used.update(() if answer else {rule.statement})
            return answer

        return accepted

    def recording(relation: Callable[[Draft], Iterator[Finding]]) -> Callable[[Draft], list[Finding]]:
        def found(draft: Draft) -> list[Finding]:
            findings = list(relation(draft))
            used.update({relation.__name__} if findings else ())
            return findings

        found.__name__ = relation.__name__
        return found

    for rule in rules:
        monkeypatch.setitem(rule.__dict__, "accepts", recorded(rule, rule.accepts))
    monkeypatch.setattr(loader, "RELATIONS", [recording(relation) for relation in loader.RELATIONS])
    for case in REFUSALS:
        with pytest.raises(SettingsError):
            load_settings(configuration_of(case), case.secret_keys, root=root, stack=STACK)
    wanted = {rule.statement for rule in rules} | {relation.__name__ for relation in loader.RELATIONS}
    assert len(wanted) > 80
    assert wanted - used == set()


def test_every_problem_is_said_at_once(root: Path) -> None:
    configuration = minimal_configuration(kubernetes={"context": "x"}, bogus=1)
    configuration["aws"]["accountId"] = 12345
    configuration["database"].update(port=80, allocatedStorageGib=200, secret={}, backupWindow="04:30-05:00")
    configuration["database"]["network"]["subnetIds"] = []
    configuration["accessGraph"]["chart"]["version"] = "18.1.0"
    configuration["teleport"]["second"] = {"mode": "value"}
    configuration["teleport"]["third"] = {"mode": "values", "namespace": "third"}
    with pytest.raises(SettingsError) as caught:
        load_settings(configuration, {"tags"}, root=root, stack=STACK)
    assert [problem.key for problem in caught.value.problems] == [
        "accessGraph.chart.version",
        "aws.accountId",
        "bogus",
        "database.maintenanceWindow",
        "database.maxAllocatedStorageGib",
        "database.network.subnetIds",
        "database.port",
        "database.secret",
        "kubernetes.clusterIdentifier",
        "tags",
        "teleport.second.mode",
        "teleport.third.hostAuthorities",
    ]
    assert str(caught.value).startswith("The configuration has 12 problems:\n")


def test_a_rule_between_settings_is_silent_where_one_of_them_is_refused_itself(root: Path) -> None:
    configuration = minimal_configuration()
    configuration["database"].update(allocatedStorageGib="much", maxAllocatedStorageGib=20)
    with pytest.raises(SettingsError) as caught:
        load_settings(configuration, (), root=root, stack=STACK)
    assert [problem.key for problem in caught.value.problems] == ["database.allocatedStorageGib"]


def test_the_error_ends_the_program_without_a_traceback() -> None:
    import pulumi

    assert issubclass(SettingsError, pulumi.RunError)


@pytest.mark.parametrize(
    "value",
    [
        "postgres://graph:hunter2@db.example.com/graph",
        "graph:hunter2@db.example.com:5432",
        "password=hunter2",
        "AKIAIOSFODNN7EXAMPLE",
        "token: hunter2",
    ]
    # Assembled, so that no secret scanner takes it for one.
    + ["https://" + f"{user}@example.com/charts" for user in ("someone", "user:pa/ssword")]
    + ["ghp" + "-" + "a" * 36],
)
def test_a_value_that_looks_like_a_credential_is_not_shown(value: str, root: Path) -> None:
    configuration = minimal_configuration()
    configuration["database"]["databaseName"] = value
    with pytest.raises(SettingsError, match=r"database\.databaseName: is not a database name") as caught:
        load_settings(configuration, (), root=root, stack=STACK)
    assert value not in str(caught.value)


def test_a_secret_given_in_plain_is_not_shown(root: Path) -> None:
    configuration = minimal_configuration(
        databaseUri="postgres://graph:hunter2@db/graph", teleportSecretValues="hunter2"
    )
    configuration["database"] = "hunter2"
    with pytest.raises(SettingsError) as caught:
        load_settings(configuration, (), root=root, stack=STACK)
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.problems) == 3


def test_a_key_cannot_break_the_line(root: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(minimal_configuration(**{"a\nb": 1}), (), root=root, stack=STACK)
    assert '"a\\nb": is not a setting' in str(caught.value)


def test_a_stack_whose_name_makes_no_identifier_must_set_one(root: Path) -> None:
    with pytest.raises(SettingsError, match=r'database\.identifier: "teleport-access-graph-Dev_1" is not'):
        load_settings(minimal_configuration(), (), root=root, stack="Dev_1")
