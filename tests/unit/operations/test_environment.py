"""A new environment is made from a sample: every id is replaced by the user's own, and all other settings and comments
stay as in the sample."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components.settings import RdsDatabaseSettings, SettingsError
from operations import __main__ as command_line
from operations.environment import (
    QUESTIONS,
    ask,
    questions_of,
    rendered,
    write_environment,
)
from operations.sample import Sample
from operations.stack import StackError, read_stack_file
from tests.unit.shipped_environments import REPOSITORY, as_shipped

pytestmark = [pytest.mark.unit, as_shipped]

ANSWERS = {
    # This answer contains the sample's region: text that comes from an answer must not be replaced again.
    "context": "staging-eu-central-1-b",
    "cluster-identifier": "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0",
    "region": "ap-southeast-2",
    "account-id": "000111222333",
    "oidc-provider-arn": "stack:acme/cluster/staging#oidcProviderArn",
    "vpc-id": "vpc-0011223344556677a",
    "subnet-ids": "subnet-0011223344556677a, subnet-0011223344556677b,subnet-0011223344556677c",
    "client-security-group-ids": "stack:acme/cluster/staging#nodeSecurityGroupId",
    "teleport": "teleport.staging.example.com",
    "owner": "identity",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A writable directory with the samples."""
    for name in ("dev", "prod"):
        shutil.copy(REPOSITORY / f"Pulumi.{name}.yaml", tmp_path)
        shutil.copytree(REPOSITORY / "environments" / name, tmp_path / "environments" / name)
    return tmp_path


def config(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)["config"]
    return loaded


@pytest.mark.parametrize("sample", ["dev", "prod"])
def test_the_program_takes_what_is_written(sample: str, root: Path) -> None:
    written = write_environment(Sample.read(sample, root), "staging", ANSWERS)
    assert written == [Path("environments/staging/teleport.yaml"), Path("Pulumi.staging.yaml")]
    settings = read_stack_file("staging", root=root).settings(root)
    assert settings.kubernetes.context == "staging-eu-central-1-b"
    assert settings.kubernetes.cluster_identifier == ANSWERS["cluster-identifier"]
    assert settings.aws is not None
    assert (settings.aws.region, settings.aws.account_id) == ("ap-southeast-2", "000111222333")
    network = settings.database.network  # type: ignore[union-attr]
    assert network.subnet_ids == tuple(f"subnet-0011223344556677{last}" for last in "abc")
    assert network.client_security_group_ids == ("stack:acme/cluster/staging#nodeSecurityGroupId",)
    assert list(settings.teleport) == ["teleport.staging.example.com"]
    assert settings.tags == {"Environment": "staging", "Owner": "identity"}


@pytest.mark.parametrize("style", ["[10.40.0.0/24]", "\n        - 10.40.0.0/24 # a\n        - 10.40.1.0/24", "[]"])
def test_the_blocks_of_the_samples_subnets_are_not_those_of_another_network(style: str, root: Path) -> None:
    """With the sample's CIDRs, the network policy would let TAG reach only the sample's database."""
    sample = root / "Pulumi.prod.yaml"
    text, count = re.subn(r"(?m)(?<=databaseCidrs: )\[.*$", style, sample.read_text())
    assert count == 1
    sample.write_text(text)
    assert style == "[]" or read_stack_file("prod", root=root).settings(root).access_graph.network_policy.database_cidrs
    write_environment(Sample.read("prod", root), "staging", ANSWERS)
    policy = read_stack_file("staging", root=root).settings(root).access_graph.network_policy
    assert (policy.enabled, policy.database_cidrs) == (True, ())
    assert "\n      # databaseCidrs: the blocks of the subnets below" in (root / "Pulumi.staging.yaml").read_text()


@pytest.mark.parametrize("sample", ["dev", "prod"])
def test_nothing_of_the_samples_ids_is_left_and_every_comment_of_a_line_is(sample: str, root: Path) -> None:
    before = (root / f"Pulumi.{sample}.yaml").read_text()
    after, values = rendered(Sample.read(sample, root), "staging", ANSWERS).values()
    ids = r"(vpc|subnet|sg)-\w+|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9]{12}\b|[A-Z0-9]{32}|teleport(\.dev)?\.example\.com"
    for found in re.finditer(ids, before):
        assert found[0] not in after + values
    comments = [line for line in re.findall(r"(?m)^ *# .*$", after) if "databaseCidrs" not in line]
    assert comments == [
        line.replace(f"{sample}-eu-central-1", ANSWERS["context"]) for line in re.findall(r"(?m)^ *# .*$", before)
    ]
    assert f"release of {sample}:" not in values
    assert "clusterName: teleport.staging.example.com\n" in values


@pytest.mark.parametrize("sample", ["dev", "prod"])
def test_it_differs_from_the_sample_where_it_was_asked_and_nowhere_else(sample: str, root: Path) -> None:
    before = config((root / f"Pulumi.{sample}.yaml").read_text())
    after = config(rendered(Sample.read(sample, root), "staging", ANSWERS)[Path("Pulumi.staging.yaml")])
    before["teleport-access-graph:accessGraph"].get("networkPolicy", {}).pop("databaseCidrs", None)
    for section in ("accessGraph", "tls"):
        assert after[f"teleport-access-graph:{section}"] == before[f"teleport-access-graph:{section}"]
    databases = [dict(one["teleport-access-graph:database"]) for one in (before, after)]
    for database in databases:
        del database["network"]
    assert databases[0] == databases[1]


@pytest.mark.parametrize(
    ("flag", "word"),
    [("context", "prod"), ("context", "teleport-access-graph"), ("owner", "me"), ("teleport", "teleport")],
)
def test_a_word_that_a_filled_in_sample_has_is_replaced_where_it_is_meant_alone(
    flag: str, word: str, root: Path
) -> None:
    """`prod` also occurs in `production`, and `me` in `name`."""
    for path, text in rendered(Sample.read("prod", root), "prod", {**ANSWERS, flag: word}).items():
        (root / path).write_text(text)
    before = config((root / "Pulumi.prod.yaml").read_text())
    answers = {**ANSWERS, flag: "acme-1"}
    write_environment(Sample.read("prod", root), "staging", answers)
    after = config((root / "Pulumi.staging.yaml").read_text())
    for section in ("accessGraph", "database", "aws", "tls", "monitoring"):
        assert after[f"teleport-access-graph:{section}"] == before[f"teleport-access-graph:{section}"]
    assert after["teleport-access-graph:kubernetes"]["context"] == answers["context"]
    assert after["teleport-access-graph:labels"] == {"example.com/team": answers["owner"]}
    assert after["teleport-access-graph:tags"] == {"Environment": "staging", "Owner": answers["owner"]}
    ((teleport, entry),) = after["teleport-access-graph:teleport"].items()
    assert (teleport, entry["hostAuthorities"]["address"]) == (answers["teleport"], f"{answers['teleport']}:443")
    values = yaml.safe_load((root / "environments/staging/teleport.yaml").read_text())
    assert values["clusterName"] == answers["teleport"]


def test_the_sample_gives_itself_when_it_is_answered_with_its_own_ids(root: Path) -> None:
    before = (root / "Pulumi.dev.yaml").read_text()
    own = config(before)
    network = own["teleport-access-graph:database"]["network"]
    answers = {
        **ANSWERS,
        "context": "dev-eu-central-1",
        "cluster-identifier": own["teleport-access-graph:kubernetes"]["clusterIdentifier"],
        "region": "eu-central-1",
        "account-id": "123456789012",
        "oidc-provider-arn": own["teleport-access-graph:aws"]["workloadIdentity"]["oidcProviderArn"],
        "vpc-id": network["vpcId"],
        "subnet-ids": ",".join(network["subnetIds"]),
        "client-security-group-ids": ",".join(network["clientSecurityGroupIds"]),
        "teleport": "teleport.dev.example.com",
        "owner": "platform",
    }
    assert config(rendered(Sample.read("dev", root), "dev", answers)[Path("Pulumi.dev.yaml")]) == own


ENCRYPTION = "secretsprovider: awskms://alias/prod?region=eu-central-1\nencryptedkey: AQIDAHh0000\n"
SECRET = "  teleport-access-graph:teleportSecretValues:\n    secure: v1:abc:def\n"
ITSELF = {**ANSWERS, "teleport": "teleport.example.com"}  # `teleport` as in the sample's own values files


def test_another_environment_has_neither_the_samples_secrets_nor_their_key(root: Path) -> None:
    """Anybody who may decrypt with that key could read the secrets of both environments."""
    sample = root / "Pulumi.prod.yaml"
    sample.write_text(f"{ENCRYPTION}{sample.read_text()}{SECRET}  aws:secretKey:\n    secure: v1:ghi:jkl\n")
    assert Sample.read("prod", root).secrets == ["teleport-access-graph:teleportSecretValues", "aws:secretKey"]
    write_environment(Sample.read("prod", root), "staging", ANSWERS)
    text = (root / "Pulumi.staging.yaml").read_text()
    assert "v1:" not in text
    assert list(yaml.safe_load(text)) == ["config"]
    # Here the sample itself is rewritten: everything in it is its own, so its key and secrets stay.
    write_environment(Sample.read("prod", root), "prod", ITSELF, force=True)
    assert sample.read_text().startswith(ENCRYPTION)
    assert SECRET in sample.read_text()
    assert read_stack_file("prod", root=root).secret_keys == {"teleportSecretValues"}


def test_another_environment_has_one_teleport_for_no_more_are_asked_about(root: Path) -> None:
    """The further Teleports run in the sample's clusters."""
    sample = root / "Pulumi.prod.yaml"
    other = "    {}:\n      mode: manual\n      hostAuthorities:\n        mode: proxy\n        address: {}:443\n"
    further = "".join(other.format(name, name) for name in ("a.example.com", "b.example.com"))
    text = sample.read_text()
    after = "\n  # For a cluster with the Prometheus Operator"
    assert after in text
    sample.write_text(text.replace(after, further + after))
    assert Sample.read("prod", root).further_teleports == ["a.example.com", "b.example.com"]
    write_environment(Sample.read("prod", root), "staging", ANSWERS)
    assert list(read_stack_file("staging", root=root).settings(root).teleport) == ["teleport.staging.example.com"]
    assert "a.example.com" not in (root / "Pulumi.staging.yaml").read_text()
    write_environment(Sample.read("prod", root), "prod", ITSELF, force=True)
    assert len(read_stack_file("prod", root=root).settings(root).teleport) == 3


ADOPTED = """\
    identifier: graph-prod
    adopt: true # it was there
    kmsKeyArn: arn:aws:kms:eu-central-1:210987654321:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d
"""
RESTORED = """\
    identifier: graph-prod
    restore:
      mode: pointInTime
      sourceIdentifier: graph-prod-of-before
      # The hour before.
      time: "2026-11-01T10:00:00Z"
"""


@pytest.mark.parametrize(("lines", "left_out"), [(ADOPTED, "adopt"), (RESTORED, "restore")])
def test_another_environment_has_a_database_of_its_own(
    lines: str, left_out: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copied `adopt` would take the instance over from the environment that has it."""
    sample = root / "Pulumi.prod.yaml"
    text = sample.read_text().replace("    mode: rds\n", f"    mode: rds\n{lines}", 1)
    if left_out == "adopt":  # an adopted instance stays in its subnet group
        text = re.sub(r"      subnetIds:\n(?:        - .*\n)+", "      subnetGroupName: graph\n", text)
    sample.write_text(text)
    answers = {flag: answer for flag, answer in ANSWERS.items() if left_out != "adopt" or flag != "subnet-ids"}
    assert Sample.read("prod", root).settings_of_its_instance == ["database.identifier", f"database.{left_out}"]
    write_environment(Sample.read("prod", root), "staging", answers)
    database = read_stack_file("staging", root=root).settings(root).database
    assert isinstance(database, RdsDatabaseSettings)
    assert (database.identifier, database.adopt, database.restore) == ("teleport-access-graph-staging", False, None)
    assert "graph-prod" not in (root / "Pulumi.staging.yaml").read_text()
    monkeypatch.setattr(command_line, "ROOT", root)
    flags = [part for flag, answer in answers.items() for part in (f"--{flag}", answer)]
    told = CliRunner().invoke(command_line.app, ["environment", "staging", "--like", "prod", "--force", *flags]).output
    assert f"left out database.{left_out}: of the database that prod has" in told
    write_environment(Sample.read("prod", root), "prod", {**answers, "teleport": ITSELF["teleport"]}, force=True)
    assert "    identifier: graph-prod\n" in sample.read_text()


@pytest.mark.parametrize("items", ["[subnet-0f1e2d3c4b5a69788, subnet-0f1e2d3c4b5a69789] # two", "stack:a/b/c#ids"])
def test_a_list_may_be_written_in_any_way(items: str, root: Path) -> None:
    sample = root / "Pulumi.prod.yaml"
    sample.write_text(re.sub(r"(?<=subnetIds:)(\n +- .*)+", f" {items}", sample.read_text()))
    written = rendered(Sample.read("prod", root), "staging", ANSWERS)[Path("Pulumi.staging.yaml")]
    assert config(written)["teleport-access-graph:database"]["network"] == {
        "vpcId": ANSWERS["vpc-id"],
        "subnetIds": [f"subnet-0011223344556677{last}" for last in "abc"],
        "clientSecurityGroupIds": [ANSWERS["client-security-group-ids"]],
    }
    assert " # two" not in items or "c] # two\n" in written


def test_a_section_on_one_line_is_refused_where_it_would_have_to_be_changed(root: Path) -> None:
    sample = root / "Pulumi.prod.yaml"
    policy = "networkPolicy: {enabled: true, databaseCidrs: [10.40.0.0/24]}\n"
    sample.write_text(re.sub(r"networkPolicy:\n(      .*\n)+", policy, sample.read_text()))
    with pytest.raises(StackError, match=r"^accessGraph\.networkPolicy: is in braces in the sample"):
        write_environment(Sample.read("prod", root), "staging", ANSWERS)


def test_a_secret_that_the_sample_needs_is_one_to_be_set(root: Path) -> None:
    sample = root / "Pulumi.prod.yaml"
    text = re.sub(r"(?m)^  teleport-access-graph:database:\n(    .*\n|\n)+", "", sample.read_text())
    text = re.sub(r"(?m)^  teleport-access-graph:aws:\n(    .*\n)+", "", text)
    uri = "  teleport-access-graph:databaseUri: {secure: 'v1:AAAA:BBBB'}\n"
    existing = "  teleport-access-graph:database: {mode: existing}\n"
    sample.write_text(text.replace("config:\n", f"config:\n{uri}{existing}", 1))
    questions = {question.flag for question in questions_of(Sample.read("prod", root))}
    write_environment(Sample.read("prod", root), "staging", {flag: ANSWERS[flag] for flag in questions})
    assert "databaseUri" not in (root / "Pulumi.staging.yaml").read_text()


def test_a_sample_with_an_alias_is_refused(root: Path) -> None:
    """The alias may refer to an anchor in the part that is left out."""
    sample = root / "Pulumi.prod.yaml"
    text = sample.read_text()
    after = "\n  # For a cluster with the Prometheus Operator"
    entry = "    {}.example.com:\n      mode: manual\n      hostAuthorities: {}\n"
    entries = entry.format("b", "&shared {mode: proxy, address: b:443}") + entry.format("c", "*shared")
    sample.write_text(text.replace(after, entries + after))
    with pytest.raises(StackError, match=r"^Pulumi\.prod\.yaml: has the alias \*shared in line \d+; write out there"):
        write_environment(Sample.read("prod", root), "staging", ANSWERS)
    assert not (root / "Pulumi.staging.yaml").exists()


@pytest.mark.parametrize(
    ("region", "partition"), [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("eu-west-1", "aws")]
)
def test_the_samples_own_arns_are_of_the_regions_partition(region: str, partition: str, root: Path) -> None:
    write_environment(Sample.read("prod", root), "staging", {**ANSWERS, "region": region})
    cloud = read_stack_file("staging", root=root).settings(root).aws
    assert cloud is not None
    assert cloud.assume_role is not None
    assert cloud.assume_role.role_arn == f"arn:{partition}:iam::000111222333:role/teleport-access-graph-deploy"


@pytest.mark.parametrize(
    ("flag", "answer", "key"),
    [
        ("vpc-id", "vpc-1", "database.network.vpcId"),
        ("account-id", "12", "aws.accountId"),
        ("subnet-ids", "subnet-0011223344556677a", "database.network.subnetIds"),
        ("owner", "true", "tags.Owner"),
        ("owner", "1e3", "tags.Owner"),  # a number to the engine, but text to YAML 1.1
        ("context", "1e3", "kubernetes.context"),
    ],
)
def test_an_answer_that_the_program_would_refuse_is_refused_and_nothing_is_written(
    flag: str, answer: str, key: str, root: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        write_environment(Sample.read("dev", root), "staging", {**ANSWERS, flag: answer})
    assert {problem.key for problem in refused.value.problems} == {key}
    assert not list(root.glob("**/*staging*"))


@pytest.mark.parametrize("owner", ["no", "on", "1:30"])
def test_an_answer_that_the_program_would_take_is_taken(owner: str, root: Path) -> None:
    """The engine reads these answers as text."""
    write_environment(Sample.read("dev", root), "staging", {**ANSWERS, "owner": owner})
    assert read_stack_file("staging", root=root).settings(root).tags["Owner"] == owner


@pytest.mark.parametrize(
    ("flag", "answer"),
    [
        ("owner", "a: b"),
        ("owner", "x # y"),
        ("vpc-id", ""),
        ("context", "a\nb"),
        ("subnet-ids", "a,,b"),
        ("owner", "{a}"),
    ],
)
def test_an_answer_that_would_be_something_else_in_yaml_is_refused(flag: str, answer: str, root: Path) -> None:
    with pytest.raises(StackError, match=f"^--{flag}: is empty, or has characters"):
        write_environment(Sample.read("dev", root), "staging", {**ANSWERS, flag: answer})
    assert not list(root.glob("**/*staging*"))


def test_what_is_there_is_kept(root: Path) -> None:
    values = root / "environments/staging/teleport.yaml"
    values.parent.mkdir()
    mine = f"clusterName: {ANSWERS['teleport']}\n# mine\n"
    values.write_text(mine)
    assert write_environment(Sample.read("dev", root), "staging", ANSWERS) == [Path("Pulumi.staging.yaml")]
    assert values.read_text() == mine
    with pytest.raises(StackError, match=r"Pulumi\.staging\.yaml: exists; edit it, or write it anew with --force"):
        write_environment(Sample.read("prod", root), "staging", ANSWERS)
    write_environment(Sample.read("prod", root), "staging", ANSWERS, force=True)
    assert "profile: production" in (root / "Pulumi.staging.yaml").read_text()


def test_values_of_another_teleport_are_not_left_to_the_program(root: Path) -> None:
    write_environment(Sample.read("dev", root), "staging", ANSWERS)
    before = (root / "Pulumi.staging.yaml").read_text()
    other = {**ANSWERS, "teleport": "other.example.org"}
    with pytest.raises(
        StackError,
        match=r"^environments/staging/teleport\.yaml: exists, and its clusterName is teleport\.staging\.example\.com, "
        r"not other\.example\.org",
    ):
        write_environment(Sample.read("dev", root), "staging", other, force=True)
    assert (root / "Pulumi.staging.yaml").read_text() == before


def test_the_local_environments_name_is_refused(root: Path) -> None:
    with pytest.raises(StackError, match="sandbox: is the local one's, which Git ignores and nothing deploys"):
        write_environment(Sample.read("dev", root), "sandbox", ANSWERS)


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "'': is no name of an environment"), ("dev", "Pulumi.dev.yaml: exists"), ("sandbox", "the local one's")],
)
def test_the_name_is_looked_at_before_all_that_is_missing(
    name: str, said: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "ROOT", root)
    result = CliRunner().invoke(command_line.app, ["environment", name, "--like", "nosuch"])
    assert isinstance(result.exception, StackError)
    assert said in str(result.exception)


@pytest.mark.parametrize("name", ["", "Staging", "a/b", "../x", "1", "s" * 33])
def test_a_name_that_would_be_no_stacks_is_refused(name: str, root: Path) -> None:
    with pytest.raises(StackError, match="is no name of an environment"):
        write_environment(Sample.read("dev", root), name, ANSWERS)


def test_every_question_has_something_to_replace_in_both_samples() -> None:
    assert questions_of(Sample.read("dev", REPOSITORY)) == questions_of(Sample.read("prod", REPOSITORY)) == QUESTIONS


def test_without_a_terminal_all_that_is_missing_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "ROOT", root)
    result = CliRunner().invoke(command_line.app, ["environment", "staging", "--region", "eu-west-1", "--owner", "x"])
    assert isinstance(result.exception, StackError)
    missing = [f"--{question.flag}" for question in QUESTIONS if question.flag not in ("region", "owner")]
    assert str(result.exception).startswith(f"{', '.join(missing)}: missing")


@pytest.mark.parametrize(("says", "asked"), [("0f1e", False), (None, True)])
def test_on_a_terminal_the_cluster_is_asked_who_it_is_before_the_person(says: str | None, asked: bool) -> None:
    prompts: list[str] = []

    def prompt(text: str) -> str:
        prompts.append(text)
        return "mine"

    answers = ask({"owner": "me"}, QUESTIONS, prompt, {"mine": says}.get)
    assert list(answers) == [question.flag for question in QUESTIONS]
    assert (answers["context"], answers["cluster-identifier"]) == ("mine", says or "mine")
    assert ("UID of its namespace kube-system" in prompts) is asked
    assert not any(prompt.startswith("who answers for it") for prompt in prompts)


@pytest.mark.slow
def test_the_command_writes_it_and_says_what_comes_next(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "ROOT", root)
    flags = [part for flag, answer in ANSWERS.items() for part in (f"--{flag}", answer)]
    result = CliRunner().invoke(command_line.app, ["environment", "staging", "--like", "prod", *flags])
    assert result.exit_code == 0, result.output
    assert "wrote Pulumi.staging.yaml" in result.output
    assert "pulumi stack init staging" in result.output
    again = CliRunner().invoke(command_line.app, ["environment", "staging", "--force", *flags])
    assert again.output.splitlines()[:2] == ["wrote Pulumi.staging.yaml", "kept environments/staging/teleport.yaml"]
    assert read_stack_file("staging", root=root).settings(root).stack == "staging"
    assert "left out" not in result.output
    with (root / "Pulumi.prod.yaml").open("a") as sample:
        sample.write(SECRET)
    again = CliRunner().invoke(command_line.app, ["environment", "staging", "--like", "prod", "--force", *flags])
    assert "left out teleport-access-graph:teleportSecretValues: a secret of prod's" in again.output


def test_a_full_disk_leaves_the_configuration_that_was_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = root / "Pulumi.prod.yaml"
    text = configuration.read_text() + "# by hand\n"
    configuration.write_text(text)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*Pulumi\.prod\.yaml'"):
        write_environment(Sample.read("prod", root), "prod", ITSELF, force=True)
    assert configuration.read_text() == text
    assert [*root.glob(".*")] == []
