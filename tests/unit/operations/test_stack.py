"""What a stack says about itself, and how findings are printed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.settings import SettingsError
from operations.__main__ import app
from operations.engine_record import EngineRecord, GivenRelease, read_record
from operations.findings import exit_code, failed, not_proven, passed, print_findings
from operations.recover import Recovery
from operations.stack import StackError, read_outputs, read_stack_file, run_engine
from tests.unit.operations.world import settings

FILE = """\
encryptionsalt: v1:x
config:
  aws:region: eu-central-1
  teleport-access-graph:kubernetes: {context: test, clusterIdentifier: x}
  teleport-access-graph:databaseUri: {secure: v1:x}
  teleport-access-graph:teleportSecretValues: {teleport: {auth: {secure: v1:x}}}
"""


def test_keys_are_sorted_into_plain_and_secret(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(FILE, encoding="utf-8")
    file = read_stack_file("organization/project/dev", root=tmp_path)
    assert file.name == "dev"
    assert file.plain == {"kubernetes": {"context": "test", "clusterIdentifier": "x"}}
    assert file.secret_keys == {"databaseUri", "teleportSecretValues"}


def test_one_ciphertext_anywhere_makes_all_of_a_key_a_secret_and_a_key_called_secure_none(tmp_path: Path) -> None:
    """As `pulumi config set --secret --path` leaves it inside a list."""
    text = (
        "config:\n"
        "  teleport-access-graph:teleportSecretValues: {t: {auth: {extraEnv: [{name: A, value: {secure: v1:x}}]}}}\n"
        "  teleport-access-graph:labels: {secure: yes, team: platform}\n"
    )
    (tmp_path / "Pulumi.dev.yaml").write_text(text, encoding="utf-8")
    file = read_stack_file("dev", root=tmp_path)
    assert file.secret_keys == {"teleportSecretValues"}
    assert list(file.plain) == ["labels"]


def test_the_stack_of_the_environment_is_the_selected_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PULUMI_STACK decides, as in the engine itself; no engine is asked."""
    (tmp_path / "Pulumi.dev.yaml").write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("PULUMI_STACK", "acme/graph/dev")
    monkeypatch.setenv("PATH", "")
    assert read_stack_file(None, root=tmp_path).name == "dev"


def test_a_key_without_a_namespace_is_the_projects_as_the_engine_has_it(tmp_path: Path) -> None:
    """If `preflight` skipped such a key, it would pass with the default, and the `up` would use the key's value."""
    (tmp_path / "Pulumi.dev.yaml").write_text(
        FILE + "  tls: {mode: existingSecret}\n  databaseCa: {secure: v1:x}\n  teleport-acess-graph:labels: {a: b}\n"
    )
    file = read_stack_file("dev", root=tmp_path)
    assert file.plain["tls"] == {"mode": "existingSecret"}
    assert file.secret_keys == {"databaseUri", "teleportSecretValues", "databaseCa"}
    with pytest.raises(SettingsError, match=r"teleport-acess-graph:labels: .* did you mean teleport-access-graph:"):
        file.settings(tmp_path)


def test_what_pulumi_yaml_gives_every_stack_is_read_with_it(tmp_path: Path) -> None:
    """A stack's own value, secret or not, replaces the whole value of Pulumi.yaml. A declaration without a value gives
    none."""
    (tmp_path / "Pulumi.dev.yaml").write_text(FILE + "  teleport-access-graph:labels: {own: yes}\n")
    (tmp_path / "Pulumi.yaml").write_text(
        "name: teleport-access-graph\n"
        "config:\n"
        "  tags: {type: object, default: {team: platform}}\n"
        "  teleport-access-graph:annotations: {value: {a: b}}\n"
        "  notice: text\n"
        "  labels: {type: object, default: {team: platform}}\n"
        "  databaseUri: {type: string, default: other}\n"
        "  monitoring: {type: object}\n"
        "  teleport-acess-graph:tls: {value: {mode: existingSecret}}\n"
    )
    file = read_stack_file("dev", root=tmp_path)
    assert file.plain == {
        "kubernetes": {"context": "test", "clusterIdentifier": "x"},
        "labels": {"own": "yes"},
        "tags": {"team": "platform"},
        "annotations": {"a": "b"},
        "notice": "text",
    }
    assert file.secret_keys == {"databaseUri", "teleportSecretValues"}
    assert file.strangers == ("aws:region", "teleport-acess-graph:tls")
    (tmp_path / "Pulumi.yaml").write_text("config: [")
    with pytest.raises(StackError, match=r"Pulumi\.yaml: cannot be read"):
        read_stack_file("dev", root=tmp_path)


def test_a_file_that_is_no_stacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"Pulumi\.dev\.yaml: does not exist"):
        read_stack_file("dev", root=tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text("a: 1", encoding="utf-8")
    with pytest.raises(StackError, match="has no `config` map"):
        read_stack_file("dev", root=tmp_path)


def test_a_file_of_ones_own_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "Pulumi.dev.yaml"
    with pytest.raises(StackError, match=f"{file}: does not exist"):
        read_stack_file("dev", file, tmp_path)
    file.parent.mkdir()
    file.write_text("config: [")
    with pytest.raises(StackError, match=f"{file}: cannot be read"):
        read_stack_file("dev", file, tmp_path)


def test_the_engine_is_given_a_file_of_ones_own_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine runs in the program's directory, where a relative path may lead nowhere. `graph` and `recover` name
    the file by its full path too."""
    engine = tmp_path / "pulumi"
    engine.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 1\n')
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["graph", "--stack", "dev", "--config-file", "own.yaml"])
    recovery = Recovery(settings=settings(tmp_path), stack="dev", config_file=Path("own.yaml"))
    with pytest.raises(StackError):
        recovery._forget(["urn"])
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [f"--config-file {tmp_path}/own.yaml" in one for one in asked] == [True, True]


def test_outputs_come_from_a_file_or_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outputs.json").write_text('{"endpoint": "x"}', encoding="utf-8")
    assert read_outputs(None, tmp_path / "outputs.json") == {"endpoint": "x"}
    engine = tmp_path / "pulumi"
    engine.write_text(
        '#!/bin/sh\ntest "$4" = --stack && echo \'{"endpoint": "y"}\' || { echo "error: no stack" >&2; exit 1; }\n'
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert read_outputs("dev", root=tmp_path) == {"endpoint": "y"}
    with pytest.raises(StackError, match="pulumi stack output: no stack"):
        read_outputs(None, root=tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(StackError, match="pulumi: is not on PATH"):
        run_engine(["version"], tmp_path)


def test_what_the_engine_has_begun_to_make_is_in_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urn = "urn:pulumi:dev::p::random:index/randomPassword:RandomPassword::login"
    operations = [{"type": kind, "resource": {"urn": urn}} for kind in ("creating", "updating", "deleting")]
    put_state(tmp_path, monkeypatch, {"pending_operations": operations})
    assert read_record("dev", tmp_path).begun == ["login"], "what was there before is there to be looked at again"
    put_state(tmp_path, monkeypatch, None)
    assert read_record("dev", tmp_path) == EngineRecord(begun=[], releases={}, ids={})


def test_what_the_engine_has_made_is_in_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replaced resource that is still to be deleted, and one that was deleted to be replaced, have the name of their
    successor."""
    urn = "urn:pulumi:dev::p::teleport-access-graph:index:X$kubernetes:core/v1:Namespace::namespace-namespace"
    there = {"urn": urn, "type": "kubernetes:core/v1:Namespace", "id": "graph"}
    component = {"urn": urn.replace("-namespace", ""), "type": "teleport-access-graph:index:X"}
    former = [{**there, "id": "former", "delete": True}, {**there, "id": "former", "pendingReplacement": True}]
    put_state(tmp_path, monkeypatch, {"resources": [component, there, *former]})
    assert read_record("dev", tmp_path).ids == {"namespace-namespace": "graph"}


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ({"log": {"level": "INFO"}}, {"log": {"level": "INFO"}}),
        ({"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}, None),
        (None, None),
    ],
)
def test_what_the_engine_last_gave_to_helm_is_in_its_state(
    values: Any, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urn = "urn:pulumi:dev::p::teleport-access-graph:index:X$kubernetes:helm.sh/v3:Release::teleport-x-release"
    release = {"urn": urn, "type": "kubernetes:helm.sh/v3:Release", "inputs": {"values": values}}
    put_state(tmp_path, monkeypatch, {"resources": [{**release, "outputs": {"status": {"revision": 7}}}]})
    assert read_record("dev", tmp_path).releases == {"teleport-x-release": GivenRelease(values=read, revision=7)}
    put_state(tmp_path, monkeypatch, {"resources": [release, {"urn": urn, "type": "pulumi:pulumi:Stack"}]})
    assert read_record("dev", tmp_path).releases == {"teleport-x-release": GivenRelease(values=read, revision=None)}


def put_state(root: Path, monkeypatch: pytest.MonkeyPatch, deployment: dict[str, Any] | None) -> None:
    """Make the engine print this deployment as the state of stack `dev`."""
    document = {} if deployment is None else {"deployment": deployment}
    (root / "state").write_text(json.dumps(document), encoding="utf-8")
    engine = root / "pulumi"
    engine.write_text(f'#!/bin/sh\ntest "$*" = "stack export --stack dev --non-interactive" && cat {root}/state\n')
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{root}{os.pathsep}{os.environ['PATH']}")


def test_an_exit_code_tells_failure_from_what_is_not_proven() -> None:
    good, bad, open_one = passed("a", "A", "x"), failed("b", "B", "x"), not_proven("c", "C", "x")
    assert exit_code([good]) == 0
    assert exit_code([good, open_one, bad]) == 1
    assert exit_code([good, open_one]) == 3
    assert exit_code([good, open_one], allow_unproven=True) == 0
    assert exit_code([]) == 1


def test_each_finding_is_one_line_and_one_object() -> None:
    findings = [passed("a", "A holds", "seen " * 40), failed("b", "B holds", "[not markup]")]
    lines, objects = io.StringIO(), io.StringIO()
    print_findings(findings, as_json=False, stream=lines)
    assert lines.getvalue().splitlines() == [
        f"pass       A holds: {'seen ' * 40}",
        "fail       B holds: [not markup]",
        "2 checks, 1 failed, 0 not proven",
    ]
    print_findings(findings, as_json=True, stream=objects)
    assert json.loads(objects.getvalue())["counts"] == {"pass": 1, "fail": 1, "not proven": 0}
    assert json.loads(objects.getvalue())["findings"][1] == {
        "check": "b",
        "outcome": "fail",
        "statement": "B holds",
        "reason": "[not markup]",
    }


def test_what_others_wrote_stays_within_its_line_and_does_not_move_the_terminal() -> None:
    """The text may be, for example, a certificate's issuer in a Secret that somebody else fills."""
    lines = io.StringIO()
    forged = "CN=x\r\n\x1b[1A\x1b[2Kpass       A holds: \u202eall is well"
    print_findings([failed("a", "A holds", f"its issuer is {forged}")], as_json=False, stream=lines)
    assert lines.getvalue() == (
        r"fail       A holds: its issuer is CN=x  \x1b[1A\x1b[2Kpass       A holds: \u202eall is well"
        "\n1 checks, 1 failed, 0 not proven\n"
    )
