"""The samples for engines of many environments: complete, of the right shape, and consistent with this program."""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from components.package import VERSION
from operations.__main__ import app
from operations.preview.environments import touched
from tests.unit.components.component_schema import faults as program_faults
from tests.unit.examples.object_schemas import DEPLOYMENT_SETTINGS, OBJECTS, faults
from tests.unit.shipped_environments import as_shipped

pytestmark = [pytest.mark.unit, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
FLEET = ROOT / "examples" / "fleet"
SETTINGS = FLEET / "deployments" / "Pulumi.prod.deploy.yaml"
WORKFLOW = FLEET / "actions" / "fleet.yaml"
ENGINE = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["requiredPulumiVersion"].removeprefix(">=")


def prod() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    return config


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FLEET / "operator" / name).read_text()))


def of_kind(name: str, kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents(name) if document["kind"] == kind]
    return found


def settings() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(SETTINGS.read_text())
    return parsed


def workflow() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return parsed


def changed(document: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    broken = copy.deepcopy(dict(document))
    place = broken
    *way, last = path.split(".")
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return broken


@pytest.mark.parametrize("name", ["stack.yaml", "program.yaml"])
def test_the_operators_objects_are_of_its_schemas(name: str) -> None:
    for document in documents(name):
        assert faults(document, OBJECTS[document["apiVersion"], document["kind"]]) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.stack", None, "spec.stack: is required"),
        ("spec.secretProvider", "awskms://", "spec.secretProvider: no such field"),
        ("spec.refresh", "yes", "spec.refresh: is no boolean"),
        ("spec.resyncFrequencySeconds", True, "spec.resyncFrequencySeconds: is no integer"),
        (
            "spec.envRefs.KUBECONFIG.type",
            "literal",
            "spec.envRefs.KUBECONFIG.type: is none of Env, FS, Secret, Literal",
        ),
        ("spec.gitAuth.accessToken.secret.key", None, "spec.gitAuth.accessToken.secret.key: is required"),
        ("spec.workspaceReclaimPolicy", "Keep", "spec.workspaceReclaimPolicy: is none of Retain, Delete"),
        (
            "spec.workspaceTemplate.spec.podTemplate.spec.volume",
            [],
            "spec.workspaceTemplate.spec.podTemplate.spec.volume: no such field",
        ),
        (
            "spec.workspaceTemplate.spec.resources.requests.cpu",
            1,
            "spec.workspaceTemplate.spec.resources.requests.cpu: is no string",
        ),
    ],
)
def test_and_would_be_caught_if_they_were_not(path: str, value: Any, said: str) -> None:
    assert faults(changed(of_kind("stack.yaml", "Stack"), path, value), OBJECTS["pulumi.com/v1", "Stack"]) == [said]


@pytest.mark.parametrize(("kind", "path"), [("ClusterRoleBinding", "roleRef"), ("ClusterRoleBinding", "roleRef.name")])
def test_what_kubernetes_requires_is_known(kind: str, path: str) -> None:
    binding = next(document for document in documents("stack.yaml") if document["kind"] == kind)
    schema = OBJECTS[binding["apiVersion"], kind]
    assert faults(changed(binding, path, None), schema) == [f"{path}: is required"]


@as_shipped
def test_the_stack_is_the_environment_that_the_repository_has() -> None:
    spec = of_kind("stack.yaml", "Stack")["spec"]
    assert spec["stack"] == "prod"
    assert "config" not in spec
    (kubeconfig,) = [yaml.safe_load(one["data"]["config"]) for one in documents("stack.yaml") if "data" in one]
    assert kubeconfig["current-context"] == prod()["teleport-access-graph:kubernetes"]["context"]
    account = of_kind("stack.yaml", "ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert account.split(":")[4] == prod()["teleport-access-graph:aws"]["accountId"]
    assert spec["workspaceTemplate"]["spec"]["image"] == f"pulumi/pulumi:{ENGINE}-nonroot"


def test_what_the_stacks_objects_name_is_there() -> None:
    stack = of_kind("stack.yaml", "Stack")["spec"]
    pod = stack["workspaceTemplate"]["spec"]["podTemplate"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    (mount,) = container["volumeMounts"]
    # The operator's own container, into which the patch is merged.
    assert container["name"] == "pulumi"
    assert mount["name"] == volume["name"]
    assert volume["configMap"]["name"] == of_kind("stack.yaml", "ConfigMap")["metadata"]["name"]
    assert stack["envRefs"]["KUBECONFIG"]["literal"]["value"] == f"{mount['mountPath']}/config"
    account = of_kind("stack.yaml", "ServiceAccount")["metadata"]["name"]
    small = of_kind("program.yaml", "Stack")["spec"]
    assert stack["serviceAccountName"] == small["serviceAccountName"] == account
    (binding,) = [one for one in documents("stack.yaml") if one["kind"] == "ClusterRoleBinding"]
    assert [subject["name"] for subject in binding["subjects"]] == [account]


def test_the_operators_rights_are_those_of_the_stack() -> None:
    """The sample grants only the cluster's right to ask who a caller is; an existing command writes the other
    rights."""
    (binding,) = [one for one in documents("stack.yaml") if "roleRef" in one]
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    text = (FLEET / "operator" / "stack.yaml").read_text()
    (options,) = re.findall(r"# +python -m operations privileges (.*)", text)
    words = shlex.split(options)
    known = {option for one in get_command(app).commands["privileges"].params for option in one.opts}  # type: ignore[attr-defined]
    assert {word for word in words if word.startswith("--")} <= known
    namespace = of_kind("stack.yaml", "ServiceAccount")["metadata"]["namespace"]
    assert words[words.index("--group") + 1] == f"system:serviceaccounts:{namespace}"


def test_no_code_of_a_pull_request_runs_with_the_role_that_deploys() -> None:
    given = settings()["settings"]
    assert given["operationContext"]["oidc"]["aws"]["roleArn"].endswith("-deploy")
    assert given["gitHub"]["previewPullRequests"] is False


@pytest.mark.parametrize("name", ["stack.yaml", "program.yaml"])
def test_a_stack_runs_again_without_a_change_for_its_certificates(name: str) -> None:
    spec = of_kind(name, "Stack")["spec"]
    assert spec["continueResyncOnCommitMatch"] is True
    assert spec["resyncFrequencySeconds"] <= 24 * 3600


def test_an_object_that_is_deleted_takes_no_database_along() -> None:
    for name in ("stack.yaml", "program.yaml"):
        assert of_kind(name, "Stack")["spec"]["destroyOnFinalize"] is False


def test_the_program_is_one_of_the_component_provider() -> None:
    program = of_kind("program.yaml", "Program")["program"]
    assert program_faults(program) == []
    assert program["packages"]["teleport-access-graph"].endswith(f"/provider@v{VERSION}")
    stack = of_kind("program.yaml", "Stack")["spec"]
    assert stack["programRef"]["name"] == of_kind("program.yaml", "Program")["metadata"]["name"]
    assert {*stack["configRef"], *stack["secretsRef"]} == set(program["configuration"])


def test_deployment_settings_are_of_the_clis_own_types() -> None:
    assert faults(settings(), DEPLOYMENT_SETTINGS) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("settings.github", {}, "settings.github: no such field"),
        ("settings.gitHub.deployCommits", "true", "settings.gitHub.deployCommits: is no boolean"),
        ("settings.operationContext.oidc.aws.roleArn", None, "settings.operationContext.oidc.aws.roleArn: is required"),
        (
            "settings.operationContext.oidc.aws.roleARN",
            "x",
            "settings.operationContext.oidc.aws.roleARN: no such field",
        ),
    ],
)
def test_and_what_the_cli_would_drop_is_caught(path: str, value: Any, said: str) -> None:
    assert faults(changed(settings(), path, value), DEPLOYMENT_SETTINGS) == [said]


@as_shipped
def test_deployments_begin_with_what_reaches_the_environment() -> None:
    configurations = {"prod": (ROOT / "Pulumi.prod.yaml").read_text()}
    for path in settings()["settings"]["gitHub"]["paths"]:
        assert touched([path.replace("**", "any.py")], configurations) == ["prod"], path
    command = settings()["settings"]["operationContext"]["preRunCommands"][0]
    assert command.endswith(f"--alias {prod()['teleport-access-graph:kubernetes']['context']}")
    role = settings()["settings"]["operationContext"]["oidc"]["aws"]["roleArn"]
    assert role.split(":")[4] == prod()["teleport-access-graph:aws"]["accountId"]


def test_the_matrix_goes_in_two_waves_and_breaks_none_off() -> None:
    jobs = workflow()["jobs"]
    assert list(jobs) == ["environments", "first", "others"]
    assert jobs["others"]["needs"] == ["environments", "first"]
    assert jobs["others"]["strategy"]["max-parallel"] == 4
    assert jobs["others"]["strategy"]["fail-fast"] is False
    for name in ("first", "others"):
        assert jobs[name]["concurrency"] == {"group": "deploy-${{ matrix.stack }}", "cancel-in-progress": False}
        assert jobs[name]["environment"] == {"name": "${{ matrix.stack }}"}
    deploy = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yaml").read_text())["jobs"]["deploy"]
    assert deploy["concurrency"]["group"] == jobs["others"]["concurrency"]["group"]
    assert jobs["first"]["steps"] == jobs["others"]["steps"]
    # The steps are those of a deployment after a merge, except for the AWS session's name and the commit that is
    # checked out.
    (merged, *others), (newest, *same) = (
        [step for step in steps if not step.get("uses", "").startswith("aws-actions/configure-aws-credentials")]
        for steps in (deploy["steps"], jobs["first"]["steps"])
    )
    assert others == same
    assert merged["with"] == {"persist-credentials": False}
    # While this job waited, a later merge may have been deployed to the environment. The starting commit would undo
    # that, so the newest one is checked out.
    assert newest == {**merged, "with": {**merged["with"], "ref": "${{ github.ref }}"}}


def scripts() -> Iterator[str]:
    for job in workflow()["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"]


def test_the_matrixs_commands_exist_and_nothing_of_the_event_is_pasted_into_them() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    called = [re.search(r"-m operations (\w+)(.*)", line) for script in scripts() for line in script.splitlines()]
    found = [match for match in called if match is not None]
    assert {match[1] for match in found} == {"preflight", "verify"}
    for match in found:
        options = {option for parameter in known[match[1]].params for option in parameter.opts}
        assert {word for word in shlex.split(match[2]) if word.startswith("--")} <= options
    assert [script for script in scripts() if "${{" in script] == []
    assert workflow()["permissions"] == {}


def test_the_matrix_takes_the_actions_that_the_other_workflows_take() -> None:
    pins = set(re.findall(r"uses: ([\w./-]+@[0-9a-f]{40} # \S+)", WORKFLOW.read_text()))
    theirs = "\n".join(file.read_text() for file in (ROOT / ".github" / "workflows").glob("*.yaml"))
    assert pins <= set(re.findall(r"uses: ([\w./-]+@[0-9a-f]{40} # \S+)", theirs))
    assert len(re.findall(r"(?m)^\s+(?:- )?uses:", WORKFLOW.read_text())) == len(
        re.findall(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n", WORKFLOW.read_text())
    )
