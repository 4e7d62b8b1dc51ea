"""The configuration that `make up` writes, and the environment that the engine gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from components.settings import load_settings
from sandbox.home import CHECKOUT, Home
from sandbox.stack import CloudFacts, Stack, StackFacts
from sandbox.supervisor import SandboxError
from tests.unit.settings.conftest import package

pytestmark = pytest.mark.unit


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.create()
    (home.stack / "salt").write_text("v1:salt")
    return home


@pytest.fixture
def facts(home: Home) -> StackFacts:
    cloud = CloudFacts(
        url="http://127.93.201.1:4566",
        account="123456789012",
        region="us-east-1",
        oidc_provider_arn="arn:aws:iam::123456789012:oidc-provider/kubernetes.default.svc",
        vpc_id="vpc-0123456789abcdef0",
        subnet_ids=("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
        client_security_group_ids=("sg-0123456789abcdef0",),
        rds_authorities=home.cloud / "rds-ca-bundle.pem",
    )
    facts = StackFacts(
        cluster_identifier="3b1fbb2e-0c5e-4f7a-9d0a-0d3a5b0f6c11",
        cloud=cloud,
        access_graph_chart=home.charts / "teleport-access-graph-1.30.2.tgz",
        teleport_chart=home.charts / "teleport-cluster-18.10.3.tgz",
        teleport_values=home.stack / "values" / "teleport.example.com.yaml",
        host_authorities=home.stack / "host-authorities.pem",
    )
    for file in (cloud.rds_authorities, facts.access_graph_chart, facts.teleport_chart, facts.teleport_values):
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    facts.host_authorities.write_text("{}")
    for chart, name, version in (
        (facts.access_graph_chart, "teleport-access-graph", "1.30.2"),
        (facts.teleport_chart, "teleport-cluster", "18.10.3"),
    ):
        package(chart, {f"{name}/Chart.yaml": f"apiVersion: v2\nname: {name}\nversion: {version}\n"})
    return facts


def test_the_program_accepts_the_configuration_as_it_is_written(home: Home, facts: StackFacts, tmp_path: Path) -> None:
    stack = Stack(home, tmp_path / "Pulumi.sandbox.yaml")

    stack.write_configuration(facts)

    document = yaml.safe_load(stack.configuration.read_text())
    assert document["encryptionsalt"] == "v1:salt"
    prefix = "teleport-access-graph:"
    assert all(key.startswith(prefix) for key in document["config"])
    plain = {key.removeprefix(prefix): value for key, value in document["config"].items()}
    settings = load_settings(plain, (), root=CHECKOUT, stack="sandbox")
    assert settings.kubernetes.cluster_identifier == facts.cluster_identifier
    assert (CHECKOUT / settings.access_graph.chart.path).resolve() == facts.access_graph_chart
    assert list(settings.teleport) == ["teleport.example.com"]


def test_edits_are_kept_while_the_facts_stand(home: Home, facts: StackFacts, tmp_path: Path) -> None:
    stack = Stack(home, tmp_path / "Pulumi.sandbox.yaml")
    assert stack.write_configuration(facts) is True
    edited = stack.configuration.read_text().replace("timeoutSeconds: 300", "timeoutSeconds: 301")
    stack.configuration.write_text(edited)

    assert stack.write_configuration(facts) is False
    assert stack.configuration.read_text() == edited

    moved = replace(facts, cloud=replace(facts.cloud, url="http://127.93.201.1:4567"))
    assert stack.write_configuration(moved) is True
    assert "http://127.93.201.1:4567" in stack.configuration.read_text()


def test_another_sandboxes_configuration_is_not_taken(home: Home, facts: StackFacts, tmp_path: Path) -> None:
    other = Home.at(tmp_path / "other")
    other.create()
    (other.stack / "salt").write_text("v1:other")
    configuration = tmp_path / "Pulumi.sandbox.yaml"
    Stack(other, configuration).write_configuration(facts)

    with pytest.raises(SandboxError, match=rf"written by the sandbox in {other.root}; `make down` there"):
        Stack(home, configuration).write_configuration(facts)


def test_a_file_that_no_sandbox_wrote_is_not_overwritten(home: Home, facts: StackFacts, tmp_path: Path) -> None:
    configuration = tmp_path / "Pulumi.sandbox.yaml"
    configuration.write_text("config: {}\n")

    with pytest.raises(SandboxError, match="written by somebody else"):
        Stack(home, configuration).write_configuration(facts)
    assert configuration.read_text() == "config: {}\n"


def test_the_backend_writes_nothing_beside_a_checkpoint_that_the_program_reads_meanwhile(
    home: Home, tmp_path: Path
) -> None:
    exports = Stack(home, tmp_path / "Pulumi.sandbox.yaml").exports(None)
    assert exports["PULUMI_BACKEND_URL"] == f"file://{home.state}?metadata=skip"


def test_nothing_of_the_callers_accounts_and_clusters_reaches_the_engine(
    home: Home, facts: StackFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "token",
        "KUBECONFIG": "/elsewhere/config",
        "PGHOST": "db.example.com",
        "PULUMI_ACCESS_TOKEN": "pul-1",
        "PULUMI_CONFIG_PASSPHRASE": "another",
        "HTTPS_PROXY": "http://proxy.example.com",
        "HELM_KUBECONTEXT": "production",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)

    environment = Stack(home).environment(facts.cloud)

    assert not {name for name, value in foreign.items() if environment.get(name) == value}
    assert environment["KUBECONFIG"] == str(home.kubeconfig)
    assert environment["KUBECACHEDIR"] == str(home.root / "kube-cache"), "not ~/.kube/cache"
    assert environment["AWS_ENDPOINT_URL"] == facts.cloud.url
    assert environment["PATH"].split(":")[0] == str(home.bin)


def test_the_shell_lines_take_the_same_away(home: Home, facts: StackFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")

    lines = Stack(home).shell_lines(facts.cloud)

    assert "unset AWS_PROFILE" in lines
    assert f"export KUBECONFIG={home.kubeconfig}" in lines
    assert f"export KUBECACHEDIR={home.root / 'kube-cache'}" in lines
    assert lines[-1].startswith(f"export PATH={home.bin}:")
    assert lines[-1].endswith(':"$PATH"')


@pytest.mark.parametrize(
    ("arguments", "is_told"),
    [
        (("up", "--yes"), True),
        (("preview",), True),
        (("config", "set", "a", "b"), True),
        (("stack", "output"), False),
        (("cancel",), False),
    ],
)
def test_a_configuration_elsewhere_is_named_to_the_commands_that_read_it(
    home: Home, tmp_path: Path, arguments: tuple[str, ...], is_told: bool
) -> None:
    configuration = tmp_path / "elsewhere.yaml"

    command = Stack(home, configuration).command(*arguments)

    assert ("--config-file" in command) is is_told
    assert "--config-file" not in Stack(home).command(*arguments)


def test_a_state_that_a_kill_cut_off_is_mended_from_its_backup(home: Home) -> None:
    stacks = home.state / ".pulumi" / "stacks" / "teleport-access-graph"
    stacks.mkdir(parents=True)
    (stacks / "sandbox.json").write_text('{"version": 3, "checkp')
    (stacks / "sandbox.json.attrs").write_text("")
    (stacks / "sandbox.json.bak").write_text('{"version": 3}')
    (stacks / "sandbox.json.bak.attrs").write_text("{}")

    assert Stack(home).repair_state() is True

    assert (stacks / "sandbox.json").read_text() == '{"version": 3}'
    assert sorted(file.name for file in stacks.iterdir()) == [
        "sandbox.json",
        "sandbox.json.bak",
        "sandbox.json.bak.attrs",
        "sandbox.json.cut-off",
    ]
    assert Stack(home).repair_state() is False
