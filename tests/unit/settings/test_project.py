"""The stack's own configuration: plain keys become settings; secret keys become Outputs that no error shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import config as engine

from components.nesting import DEEPEST_VALUES
from components.settings import SettingsError, load_settings, read_settings
from components.settings.project import secret_values
from components.values_files import parse_values
from tests.samples import STACK, TELEPORT_CLUSTER, existing_configuration, minimal_configuration

pytestmark = pytest.mark.unit

PROJECT = "teleport-access-graph"


class _NoResources(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise AssertionError(f"reading settings must register nothing, and registered {args.name}")

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"reading settings must call nothing, and called {args.token}")


@pytest.fixture(autouse=True)
def stack() -> Iterator[None]:
    pulumi.runtime.set_mocks(_NoResources(), project=PROJECT, stack=STACK)
    yield
    engine.set_all_config({}, [])


def nested_values(levels: int) -> str:
    """JSON of Helm values nested `levels` deep, counting the innermost text."""
    return '{"a": ' * (levels - 1) + '"canary"' + "}" * (levels - 1)


def configure(plain: dict[str, Any], **secrets: str) -> None:
    """Do what the engine's language host does: every value is text, and secret keys are listed separately."""
    values = {
        f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in plain.items()
    }
    values |= {f"{PROJECT}:{key}": value for key, value in secrets.items()}
    engine.set_all_config({**values, "pulumi:tags": "{}", "aws:region": "x"}, [f"{PROJECT}:{key}" for key in secrets])


def test_the_stacks_configuration_is_what_load_settings_reads() -> None:
    configure(minimal_configuration())
    root = Path(__file__).parent
    assert read_settings(root) == load_settings(minimal_configuration(), (), root=root, stack=STACK)


def test_a_renamed_project_is_told_that_its_settings_are_the_former_ones() -> None:
    """All settings are still there, but in the namespace of the former name; an error that each is missing would be
    true but useless."""
    configure(minimal_configuration())
    engine.set_config("renamed:tags", "{}")  # declared with a default in Pulumi.yaml
    pulumi.runtime.set_mocks(_NoResources(), project="renamed", stack=STACK)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert str(refused.value) == (
        "The configuration has 1 problem:\n"
        "  Pulumi.yaml: name: renamed is another project than that of the settings, which are "
        "teleport-access-graph:...; set name: teleport-access-graph in it again"
    )


@pytest.mark.parametrize(
    ("stranger", "problem"),
    [
        ("teleport-acess-graph:tls", "did you mean teleport-access-graph:tls?"),
        ("teleport_access_graph:labels", "did you mean teleport-access-graph:labels?"),
        ("Teleport-Access-Graph:databaseUri", "did you mean teleport-access-graph:databaseUri?"),
        ("teleport-acess-graph:region", None),
        ("teleport-access-graph-consumer:tags", None),
        ("access-graph:tls", None),
    ],
)
def test_a_setting_in_a_namespace_that_nobody_reads_is_refused(stranger: str, problem: str | None) -> None:
    """The engine ignores such a key and the default would apply: for example an authority of the stack's own instead of
    the intended Secret."""
    configure(minimal_configuration())
    engine.set_config(stranger, '{"mode": "canary"}')
    if problem is None:
        assert read_settings(Path(__file__).parent).tls.mode == "generated"
        return
    with pytest.raises(SettingsError) as refused:
        read_settings(Path(__file__).parent)
    assert str(refused.value) == (
        "The configuration has 1 problem:\n"
        f"  {stranger}: is in a namespace that nobody reads, so that it would have no effect; {problem}"
    )


def test_a_required_setting_in_a_misspelt_namespace_is_not_said_to_be_missing_too() -> None:
    configure({key: value for key, value in minimal_configuration().items() if key != "kubernetes"})
    engine.set_config("teleport-acess-graph:kubernetes", "{}")
    with pytest.raises(SettingsError) as refused:
        read_settings(Path(__file__).parent)
    assert [problem.key for problem in refused.value.problems] == ["teleport-acess-graph:kubernetes"]


def test_paths_start_where_the_engine_starts_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    configure(minimal_configuration())
    assert read_settings().root == tmp_path


@pulumi.runtime.test
def test_the_database_uri_is_a_secret_output() -> Any:
    configure(existing_configuration(database={"mode": "existing"}), databaseUri="postgres://canary")
    uri = read_settings().secrets.database_uri
    assert uri is not None

    async def check() -> None:
        assert await uri.is_secret()
        assert await uri.future() == "postgres://canary"

    return check()


@pulumi.runtime.test
def test_secret_helm_values_are_a_secret_output() -> Any:
    values = {TELEPORT_CLUSTER: {"auth": {"key": "canary"}}}
    configure(minimal_configuration(), teleportSecretValues=json.dumps(values))
    output = read_settings().secrets.teleport_values
    assert output is not None

    async def check() -> None:
        assert await output.is_secret()
        assert await output.future() == values

    return check()


def test_a_plain_object_with_a_secret_in_it_is_refused_without_showing_it() -> None:
    plain = minimal_configuration()
    database = json.dumps({**plain.pop("database"), "databaseName": "canary"})
    configure(plain, database=database)
    with pytest.raises(
        SettingsError, match="database: is a plain setting, but it, or a part of it, is stored as a secret"
    ) as caught:
        read_settings()
    assert "canary" not in str(caught.value)


def test_a_secret_stored_in_plain_is_refused_without_showing_it() -> None:
    configure(existing_configuration(databaseUri="postgres://canary"))
    with pytest.raises(SettingsError, match="databaseUri: is a secret, but is stored in plain text") as caught:
        read_settings()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "rule"),
    [
        ("canary", "teleportSecretValues", "is not an object of Teleport cluster name to values"),
        ('["canary"]', "teleportSecretValues", "is not an object of Teleport cluster name to values"),
        (
            '{"teleport.example.com": {"canary": NaN}}',
            "teleportSecretValues",
            "is not an object of Teleport cluster name",
        ),
        ('{"teleport.example.com": {"a": "canary\\ud800"}}', "teleportSecretValues", "is not an object of Teleport"),
        ("[" * 100_000, "teleportSecretValues", "is not an object of Teleport cluster name to values"),
        ('{"other": {"a": "canary"}}', "teleportSecretValues.other", "is no Teleport cluster with Helm values"),
        (
            f'{{"{TELEPORT_CLUSTER}": "canary"}}',
            f"teleportSecretValues.{TELEPORT_CLUSTER}",
            "is not a map of Helm values",
        ),
        (
            # Python can read this, but the merge would end in a RecursionError.
            f'{{"{TELEPORT_CLUSTER}": {nested_values(101)}}}',
            f"teleportSecretValues.{TELEPORT_CLUSTER}",
            "goes deeper than 100 levels",
        ),
    ],
)
def test_secret_helm_values_are_checked_without_showing_them(text: str, key: str, rule: str) -> None:
    settings = load_settings(minimal_configuration(), (), root=Path(), stack=STACK)
    with pytest.raises(SettingsError, match=rule) as caught:
        secret_values(text, settings)
    assert [problem.key for problem in caught.value.problems] == [key]
    assert "canary" not in str(caught.value)


def test_secret_helm_values_go_as_deep_as_a_file_may() -> None:
    settings = load_settings(minimal_configuration(), (), root=Path(), stack=STACK)
    text = nested_values(DEEPEST_VALUES)
    assert secret_values(f'{{"{TELEPORT_CLUSTER}": {text}}}', settings) == {TELEPORT_CLUSTER: parse_values(text)}
