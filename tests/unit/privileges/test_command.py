"""`python -m operations privileges`: the files to apply, and the rights that the current identity lacks according to
the API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from operations.__main__ import app
from operations.cluster import Cluster
from operations.privileges import held
from operations.privileges.purposes import Purpose
from operations.privileges.rbac import rights
from operations.stack import StackError
from tests.unit.monitor import STACK
from tests.unit.privileges.modes import configured, settings_of

pytestmark = [pytest.mark.unit, pytest.mark.slow]

KEY = "arn:aws:kms:us-east-1:123456789012:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"


class Asked:
    """A cluster that answers who may do what: everything is allowed except `refused`, pairs of verb and resource."""

    def __init__(self, *refused: tuple[str, str]) -> None:
        self.refused = set(refused)
        self.questions: list[tuple[str, str, str, str, str | None]] = []

    def may(self, verb: str, *, group: str, resource: str, name: str = "", namespace: str | None = None) -> bool:
        self.questions.append((verb, group, resource, name, namespace))
        return (verb, resource) not in self.refused


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    """A configuration file of the stack. It names no values file, because such a file is looked up from the program's
    root."""
    config = {**configured("a namespace that exists")}
    entry = {key: value for key, value in config["teleport"]["teleport.example.com"].items() if key != "valuesFiles"}
    config["teleport"] = {"teleport.example.com": entry}
    file = tmp_path / f"Pulumi.{STACK}.yaml"
    file.write_text(
        yaml.safe_dump({"config": {f"teleport-access-graph:{key}": value for key, value in config.items()}})
    )
    return file


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["privileges", "--stack", STACK, *arguments])


def test_files_are_written_for_each_system(stack_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(
        *("--for", "deploy", "--config-file", str(stack_file), "--out", str(out)),
        *("--state-bucket", "states", "--secrets-key", KEY),
    )
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in out.iterdir()) == [
        "dev-deploy-iam-1.json",
        "dev-deploy-iam-2.json",
        "dev-deploy-test.yaml",
    ]
    policy = json.loads((out / "dev-deploy-iam-2.json").read_text())
    actions = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    assert policy["Statement"][-1] == {"Effect": "Allow", "Action": actions, "Resource": KEY}
    kinds = [document["kind"] for document in yaml.safe_load_all((out / "dev-deploy-test.yaml").read_text())]
    assert kinds == ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Role", "RoleBinding"]
    assert "reaches beyond the stack:\n" in done.stderr
    assert "  create clusterrolebindings: RBAC cannot limit" in done.stderr


def test_without_a_directory_they_are_printed(stack_file: Path) -> None:
    done = run("--for", "preview", "--config-file", str(stack_file), "--group", "previewers")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.split("# dev-preview-test.yaml\n")
    assert json.loads(first.removeprefix("# dev-preview-iam-1.json\n"))["Version"] == "2012-10-17"
    bindings = [one for one in yaml.safe_load_all(second) if one["kind"].endswith("Binding")]
    assert [one["subjects"][0]["name"] for one in bindings] == ["previewers"] * 3


def test_what_is_left_out_of_the_state_is_said(stack_file: Path) -> None:
    of = ("--for", "preview", "--config-file", str(stack_file))
    bucket, key = (
        "left out: the rights on the state's S3 bucket; --state-bucket adds them\n",
        "left out: the rights on the secrets provider's KMS key; --secrets-key adds them\n",
    )
    assert run(*of).stderr.startswith(bucket + key)
    assert run(*of, "--state-bucket", "states").stderr.startswith(key)
    assert "left out" not in run(*of, "--state-bucket", "states", "--secrets-key", KEY).stderr


def test_a_consumer_of_a_state_that_is_not_named_is_refused(stack_file: Path) -> None:
    of = ("--for", "consumer", "--config-file", str(stack_file))
    with pytest.raises(StackError, match="name its bucket by --state-bucket and the key by --secrets-key"):
        raise run(*of).exception
    done = run(*of, "--state-bucket", "states")
    assert (done.exit_code, "s3:GetObject" in done.stdout) == (0, True)


def test_an_unknown_purpose_is_refused(stack_file: Path) -> None:
    assert run("--for", "everything", "--config-file", str(stack_file)).exit_code == 2


def test_every_right_is_asked_for_at_its_place() -> None:
    cluster: Any = Asked()
    found = rights(settings_of("a namespace that exists"), Purpose.DEPLOY)
    assert held.missing(found, lambda _: cluster) == []
    assert ("create", "", "secrets", "", "teleport-access-graph") in cluster.questions
    assert ("patch", "apps", "deployments", "", "teleport") in cluster.questions
    assert ("get", "", "namespaces", "kube-system", None) in cluster.questions
    assert ("escalate", "rbac.authorization.k8s.io", "clusterroles", "", None) in cluster.questions
    assert len(cluster.questions) == len(set(cluster.questions)) > 150


def test_what_is_missing_is_said_with_its_place() -> None:
    cluster: Any = Asked(("create", "jobs"), ("get", "namespaces"))
    found = held.missing(rights(settings_of("a namespace that exists"), Purpose.DEPLOY), lambda _: cluster)
    assert [str(one) for one in found] == [
        "test: may not create jobs.batch in namespace teleport",
        "test: may not create jobs.batch in namespace teleport-access-graph",
        "test: may not get namespaces/kube-system",
        "test: may not get namespaces/teleport",
        "test: may not get namespaces/teleport-access-graph",
    ]


def test_the_check_of_a_validated_preview_asks_for_dry_runs_alone(
    stack_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster: Any = Asked(("get", "namespaces"))
    monkeypatch.setattr(Cluster, "connect", lambda context: cluster)
    done = run("--for", "validated-preview", "--config-file", str(stack_file), "--check")
    assert done.exit_code == 0, done.output
    assert {verb for verb, *_ in cluster.questions} == {"create", "patch"}
    number = len(cluster.questions)
    assert done.stderr == f"all {number} dry runs for validated-preview in test are there\n"
    cluster.refused.add(("patch", "configmaps"))
    done = run("--for", "validated-preview", "--config-file", str(stack_file), "--check")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "test: may not patch configmaps in namespace teleport",
        "test: may not patch configmaps in namespace teleport-access-graph",
    ]
    assert done.stderr == f"2 of {number} dry runs for validated-preview in test are missing\n"


def test_a_check_that_has_nothing_to_ask_for_is_refused(stack_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "connect", lambda context: Asked())
    done = run("--for", "consumer", "--config-file", str(stack_file), "--check", "--state-bucket", "states")
    assert isinstance(done.exception, StackError)
    assert "consumer has no rights in Kubernetes" in str(done.exception)


def test_a_check_says_what_it_asked_for(stack_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster: Any = Asked()
    monkeypatch.setattr(Cluster, "connect", lambda context: cluster)
    done = run("--for", "preview", "--config-file", str(stack_file), "--check")
    assert done.stderr == f"all {len(cluster.questions)} Kubernetes rights for preview in test are there\n"
    wrong = run("--for", "preview", "--config-file", str(stack_file), "--check", "--state-bucket", "s3://x/y")
    assert "is no bucket's name" in str(wrong.exception)


def test_the_files_are_of_the_configuration_and_not_of_the_tests(stack_file: Path) -> None:
    """The stack's own values file decides which objects the chart makes, so the command reads it; a missing file is an
    error."""
    document = yaml.safe_load(stack_file.read_text())
    document["config"]["teleport-access-graph:teleport"]["teleport.example.com"]["valuesFiles"] = ["absent.yaml"]
    stack_file.write_text(yaml.safe_dump(document))
    done = run("--for", "deploy", "--config-file", str(stack_file))
    assert done.exit_code == 1
    assert "absent.yaml" in str(done.exception)


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--state-bucket", "s3://states?region=us-east-1", "is no bucket's name"),
        ("--state-bucket", "arn:aws:s3:::states", "is no bucket's name"),
        ("--state-bucket", "*", "is no bucket's name"),
        ("--secrets-key", "alias/pulumi", "is not the ARN of a KMS key"),
        ("--secrets-key", "awskms://alias/pulumi", "is not the ARN of a KMS key"),
        ("--secrets-key", "arn:aws:kms:us-east-1:123456789012:alias/pulumi", "is not the ARN of a KMS key"),
        ("--secrets-key", "*", "is not the ARN of a KMS key"),
    ],
)
def test_no_policy_is_made_of_what_it_cannot_name(stack_file: Path, flag: str, value: str, said: str) -> None:
    done = run("--for", "consumer", "--config-file", str(stack_file), flag, value)
    assert isinstance(done.exception, StackError)
    assert said in str(done.exception)
    assert done.stdout == ""
