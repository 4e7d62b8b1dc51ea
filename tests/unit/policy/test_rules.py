"""Every rule of the policy pack accepts what is right and reports each thing that is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pulumi_policy import PolicyCustomTimeouts, PolicyResourceOptions, ResourceValidationArgs, ResourceValidationPolicy
from pulumi_policy.proxy import UnknownValueError, unknown_checking_proxy

from policy.legible import REDACTED, legible
from policy.pack import policies
from policy.rules import Resource, ResourceRule, StackRule, certificates, database, releases, stack

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]
RULES = (*database.RULES, *releases.RULES, *certificates.RULES, *stack.RULES)
RESOURCE_RULES = {rule.name: rule for rule in RULES if isinstance(rule, ResourceRule)}
STACK_RULES = {rule.name: rule for rule in RULES if isinstance(rule, StackRule)}

INSTANCE: dict[str, Any] = {
    "instanceClass": "db.t4g.small",
    "parameterGroupName": "graph-postgres17",
    "publiclyAccessible": False,
    "storageEncrypted": True,
    "kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/0",
    "deletionProtection": True,
    "skipFinalSnapshot": False,
    "backupRetentionPeriod": 7.0,
    "multiAz": True,
    "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
    "autoMinorVersionUpgrade": True,
    "username": "tag_admin",
    "manageMasterUserPassword": True,
}
REPLICA: dict[str, Any] = {
    "instanceClass": "db.t4g.small",
    "parameterGroupName": "graph-postgres17",
    "replicateSourceDb": "arn:aws:rds:us-east-1:123456789012:db:graph",
    "publiclyAccessible": False,
    "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
}
# What the AWS plugin's state has for inputs that an instance was not given.
UNTOLD = {"replicateSourceDb": "", "snapshotIdentifier": "", "restoreToPointInTime": None, "kmsKeyId": ""}
FORCED = {"parameters": [{"name": "rds.force_ssl", "value": "1"}, {"name": "work_mem", "value": "8MB"}]}
RELEASE: dict[str, Any] = {
    "chart": "teleport-access-graph",
    "version": "1.30.2",
    "atomic": True,
    "values": {"postgres": {"secretName": "database"}, "clusterHostCAs": ["-----BEGIN CERTIFICATE-----\nMIIB"]},
}
LEAF: dict[str, Any] = {"validityPeriodHours": 9528.0, "earlyRenewalHours": 720.0}
PRIVATE = f"-----BEGIN EC {'PRIVATE'} KEY-----"

GOOD: list[tuple[str, dict[str, Any]]] = [
    *((rule.name, INSTANCE) for rule in database.RULES if rule.types >= database.INSTANCE),
    ("database-master-password-is-no-state", {**INSTANCE, "password": ""}),
    *((rule.name, REPLICA) for rule in database.RULES if rule.types >= database.INSTANCE),
    ("database-transport-is-encrypted", FORCED),
    ("network-is-closed-to-the-world", {"referencedSecurityGroupId": "sg-0"}),
    ("network-is-closed-to-the-world", {"cidrIpv4": "10.0.0.0/16"}),
    ("network-is-closed-to-the-world", {"cidrIpv4": "10.0.0.0/8"}),
    ("network-is-closed-to-the-world", {"cidrIpv6": "fd00::/8"}),
    ("network-is-closed-to-the-world", {"cidrIpv6": "2600:1f14::/35"}),
    ("network-is-closed-to-the-world", {"type": "ingress", "cidrBlocks": ["10.0.0.0/16"], "ipv6CidrBlocks": []}),
    ("database-begins-no-connection", {"type": "ingress", "cidrBlocks": ["10.0.0.0/16"]}),
    ("network-rules-stand-alone", {"vpcId": "vpc-0", "ingress": [], "egress": []}),
    ("release-is-pinned", RELEASE),
    ("release-is-pinned", {"chart": "charts/teleport-access-graph-1.30.2.tgz"}),
    ("release-is-rolled-back", RELEASE),
    ("release-values-hold-no-secrets", RELEASE),
    ("release-values-hold-no-secrets", {**RELEASE, "values": {"uri": "host=db.example.com user=graph passfile=/x"}}),
    ("release-values-hold-no-secrets", {"chart": "teleport-cluster", "values": {"key": PRIVATE}}),
    ("certificate-is-short-lived", LEAF),
    # An authority lives for years, whoever signs it.
    ("certificate-is-short-lived", {**LEAF, "validityPeriodHours": 87600.0, "isCaCertificate": True}),
    ("certificate-is-renewed-in-time", LEAF),
    ("key-is-strong", {"algorithm": "ECDSA", "ecdsaCurve": "P256"}),
    # The provider's own default is 2048.
    ("key-is-strong", {"algorithm": "RSA"}),
    ("key-is-strong", {"algorithm": "RSA", "rsaBits": 2048.0}),
]

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("database-is-private", {**INSTANCE, "publiclyAccessible": True}, "publiclyAccessible is not false"),
    ("database-is-private", {}, "publiclyAccessible is not false"),
    ("database-is-encrypted", {**INSTANCE, "storageEncrypted": False}, "storageEncrypted is not true"),
    ("database-is-encrypted", {"storageEncrypted": True}, "kmsKeyId is missing"),
    ("database-is-encrypted", {**INSTANCE, **UNTOLD}, "kmsKeyId is missing"),
    ("database-is-hard-to-delete", {**INSTANCE, "deletionProtection": False}, "deletionProtection is not true"),
    ("database-is-hard-to-delete", {**INSTANCE, "skipFinalSnapshot": True}, "skipFinalSnapshot is true"),
    ("database-has-backups", {**INSTANCE, "backupRetentionPeriod": 6.0}, "backupRetentionPeriod is 6 days"),
    ("database-has-backups", {}, "backupRetentionPeriod is 1 days"),
    ("database-has-a-standby", {**INSTANCE, "multiAz": False}, "multiAz is not true"),
    ("database-logs-are-kept", {**INSTANCE, "enabledCloudwatchLogsExports": ["postgresql"]}, "lacks upgrade"),
    ("database-logs-are-kept", {**INSTANCE, "enabledCloudwatchLogsExports": ["upgrade"]}, "lacks postgresql"),
    ("database-logs-are-kept", {}, "lacks postgresql, upgrade"),
    ("database-is-patched", {**INSTANCE, "autoMinorVersionUpgrade": False}, "autoMinorVersionUpgrade is false"),
    ("database-master-is-no-usual-name", {**INSTANCE, "username": "postgres"}, "username is postgres"),
    *(
        ("database-master-is-no-usual-name", {**INSTANCE, "username": user}, f"username is {user}")
        for user in ("admin", "administrator", "root", "master")
    ),
    ("database-master-password-is-no-state", {**INSTANCE, "password": "x"}, "the master password is in the state"),
    ("database-master-password-is-no-state", {**INSTANCE, "passwordWo": "x"}, "the master password is in the state"),
    ("database-transport-is-encrypted", {"parameters": [{"name": "rds.force_ssl", "value": "0"}]}, "is not 1"),
    ("database-transport-is-encrypted", {}, "rds.force_ssl is not 1"),
    ("database-transport-is-encrypted", {"instanceClass": "db.t4g.small"}, "parameterGroupName is missing"),
    ("network-is-closed-to-the-world", {"cidrIpv4": "0.0.0.0/0"}, "cidrIpv4 is 0.0.0.0/0"),
    # The address has host bits set; AWS takes it for the block that contains it.
    ("network-is-closed-to-the-world", {"cidrIpv4": "10.1.2.3/0"}, "cidrIpv4 is 10.1.2.3/0"),
    ("network-is-closed-to-the-world", {"cidrIpv4": "10.0.0.0/7"}, "cidrIpv4 is 10.0.0.0/7"),
    ("network-is-closed-to-the-world", {"cidrIpv6": "::/0"}, "cidrIpv6 is ::/0"),
    ("network-is-closed-to-the-world", {"cidrIpv6": "0:0:0:0:0:0:0:0/0"}, "cidrIpv6 is 0:0:0:0:0:0:0:0/0"),
    ("network-is-closed-to-the-world", {"cidrIpv6": "2000::/3"}, "cidrIpv6 is 2000::/3"),
    ("network-is-closed-to-the-world", {"cidrIpv6": "2600::/12"}, "cidrIpv6 is 2600::/12"),
    ("network-is-closed-to-the-world", {"cidrIpv6": "fc00::/7"}, "cidrIpv6 is fc00::/7"),
    ("network-is-closed-to-the-world", {"cidrBlocks": ["128.0.0.0/1"]}, "cidrBlocks is 128.0.0.0/1"),
    ("network-is-closed-to-the-world", {"type": "ingress", "cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"]}, "is 0.0.0.0/0"),
    ("network-is-closed-to-the-world", {"type": "ingress", "ipv6CidrBlocks": ["::/0"]}, "ipv6CidrBlocks is ::/0"),
    ("database-begins-no-connection", {"cidrIpv4": "10.0.0.0/16"}, "begins no connection"),
    ("database-begins-no-connection", {"type": "egress", "cidrBlocks": ["10.0.0.0/16"]}, "begins no connection"),
    ("network-rules-stand-alone", {"egress": [{"fromPort": 0}]}, "egress is given inline"),
    ("network-rules-stand-alone", {"ingress": [{"fromPort": 0}]}, "ingress is given inline"),
    ("release-is-pinned", {**RELEASE, "version": "1.x"}, "version is 1.x"),
    ("release-is-pinned", {**RELEASE, "version": "^1.30.2"}, "version is ^1.30.2"),
    ("release-is-pinned", {"chart": "charts/teleport-access-graph"}, "version is missing"),
    ("release-is-pinned", {"chart": "https://charts.example.com/teleport-access-graph.tgz"}, "version is missing"),
    ("release-is-rolled-back", {**RELEASE, "atomic": False}, "atomic is not true"),
    ("release-is-rolled-back", {**RELEASE, "skipAwait": True}, "skipAwait is true"),
    (
        "release-values-hold-no-secrets",
        {**RELEASE, "values": {"postgres": {"connectionString": "postgres://graph:secret@db.example.com/graph"}}},
        "values.postgres.connectionString holds a database URI with a password",
    ),
    (
        "release-values-hold-no-secrets",
        {**RELEASE, "values": {"postgres": {"connectionString": "postgres://:secret@db.example.com/graph"}}},
        "holds a database URI with a password",
    ),
    (
        "release-values-hold-no-secrets",
        {**RELEASE, "values": {"postgres": {"connectionString": "host=db.example.com user=graph password = 'secret'"}}},
        "values.postgres.connectionString holds a database connection string with a password",
    ),
    (
        "release-values-hold-no-secrets",
        {"chart": "charts/graph.tgz", "values": {"clusterHostCAs": ["x"], "uri": "postgres://db/graph?password=x"}},
        "values.uri holds a database URI with a password",
    ),
    (
        "release-values-hold-no-secrets",
        {**RELEASE, "values": {"extraEnv": [{"name": "KEY", "value": f"\n{PRIVATE}\n"}]}},
        "values.extraEnv[0].value holds a private key",
    ),
    ("certificate-is-short-lived", {**LEAF, "validityPeriodHours": 9529.0}, "validityPeriodHours is 9529"),
    ("certificate-is-short-lived", {"validityPeriodHours": 87600.0, "isCaCertificate": False}, "is 87600"),
    ("certificate-is-renewed-in-time", {"validityPeriodHours": 9528.0}, "earlyRenewalHours is not set"),
    ("certificate-is-renewed-in-time", {**LEAF, "earlyRenewalHours": 9528.0}, "its whole life"),
    ("key-is-strong", {"algorithm": "RSA", "rsaBits": 2047.0}, "rsaBits is 2047"),
    ("key-is-strong", {"algorithm": "ECDSA", "ecdsaCurve": "P224"}, "ecdsaCurve is P224"),
    # The plugin's own default, which it does not add to the inputs.
    ("key-is-strong", {"algorithm": "ECDSA"}, "ecdsaCurve is not set, and the plugin takes P224"),
]


def resource(type_: str, name: str = "it", **changes: Any) -> Resource:
    values: dict[str, Any] = {"properties": {}, **changes}
    return Resource(urn=f"urn:pulumi:prod::graph::{type_}::{name}", type=type_, name=name, **values)


INSTANCE_TYPE, KEY_TYPE = "aws:rds/instance:Instance", "tls:index/privateKey:PrivateKey"
OLD_KEY, NEW_KEY = resource(KEY_TYPE, "ca-1-key"), resource(KEY_TYPE, "ca-2-key")
SIGNED_BY_THE_OLD = resource(
    "tls:index/locallySignedCert:LocallySignedCert",
    "server",
    properties=LEAF,
    made_from={"caPrivateKeyPem": frozenset({OLD_KEY.urn}), "certRequestPem": frozenset({NEW_KEY.urn})},
)
TAGGED = {"tags": {stack.STACK_TAG: "organization/graph/prod"}}

GOOD_STACKS: list[tuple[str, list[Resource]]] = [
    ("stateful-resources-are-protected", [resource(INSTANCE_TYPE, protect=True), resource(KEY_TYPE)]),
    ("stateful-resources-are-protected", [resource(INSTANCE_TYPE, properties=REPLICA)]),
    ("authority-keys-are-protected", [SIGNED_BY_THE_OLD, replace(OLD_KEY, protect=True), NEW_KEY]),
    ("authority-keys-are-protected", [resource("tls:index/selfSignedCert:SelfSignedCert", "ca-2"), NEW_KEY]),
    ("aws-objects-are-tagged", [resource(INSTANCE_TYPE, properties=TAGGED), resource(KEY_TYPE)]),
    ("providers-are-explicit", [resource(INSTANCE_TYPE, provider="aws"), resource(KEY_TYPE, provider="default_5_6_2")]),
    (
        "providers-are-explicit",
        [
            resource("pulumi:providers:aws", properties={"allowedAccountIds": '["123456789012"]'}),
            resource("pulumi:providers:kubernetes", properties={"clusterIdentifier": "0b1c2d3e"}),
            resource("pulumi:providers:aws", "default_7_51_1"),
        ],
    ),
    ("providers-are-explicit", [resource(INSTANCE_TYPE, provider="default-eu")]),
]
BAD_STACKS: list[tuple[str, list[Resource], str]] = [
    ("stateful-resources-are-protected", [resource(INSTANCE_TYPE)], "is not protected"),
    # `up` and `policy analyze` give a rule the plugin's outputs for the instance.
    ("stateful-resources-are-protected", [resource(INSTANCE_TYPE, properties={**INSTANCE, **UNTOLD})], "not protected"),
    ("stateful-resources-are-protected", [resource("aws:kms/key:Key")], "is not protected"),
    ("authority-keys-are-protected", [SIGNED_BY_THE_OLD, OLD_KEY], "is not protected"),
    ("authority-keys-are-protected", [replace(NEW_KEY, protect=True), OLD_KEY, SIGNED_BY_THE_OLD], "is not protected"),
    ("aws-objects-are-tagged", [resource(INSTANCE_TYPE, properties={"tags": {"team": "x"}})], "has no tag"),
    ("aws-objects-are-tagged", [resource("aws:sns/topic:Topic")], "has no tag"),
    ("aws-objects-are-tagged", [resource("aws:eks/podIdentityAssociation:PodIdentityAssociation")], "has no tag"),
    ("providers-are-explicit", [resource(INSTANCE_TYPE, provider="default_7_51_1")], "uses a default provider"),
    (
        "providers-are-explicit",
        [resource("kubernetes:core/v1:Secret", provider="default_4_34_1")],
        "uses a default provider",
    ),
    ("providers-are-explicit", [resource(INSTANCE_TYPE, provider="default")], "uses a default provider"),
    ("providers-are-explicit", [resource("pulumi:providers:aws")], "has no allowedAccountIds"),
    ("providers-are-explicit", [resource("pulumi:providers:aws", "default-eu")], "has no allowedAccountIds"),
    ("providers-are-explicit", [resource("pulumi:providers:kubernetes")], "has no clusterIdentifier"),
    *(
        ("providers-are-explicit", [resource("pulumi:providers:aws", properties={"allowedAccountIds": none})], "has no")
        for none in ("", "[]")
    ),
]


@pytest.mark.parametrize(("name", "properties"), GOOD)
def test_what_is_right_is_let_through(name: str, properties: dict[str, Any]) -> None:
    assert list(RESOURCE_RULES[name].violations(properties)) == []


@pytest.mark.parametrize(("name", "properties", "said"), BAD)
def test_what_is_wrong_is_named(name: str, properties: dict[str, Any], said: str) -> None:
    (violation,) = RESOURCE_RULES[name].violations(properties)
    assert said in violation


@pytest.mark.parametrize(("name", "resources"), GOOD_STACKS)
def test_a_stack_that_is_right_is_let_through(name: str, resources: list[Resource]) -> None:
    assert list(STACK_RULES[name].violations(resources)) == []


@pytest.mark.parametrize(("name", "resources", "said"), BAD_STACKS)
def test_what_is_wrong_with_a_stack_is_named_with_the_resource(name: str, resources: list[Resource], said: str) -> None:
    ((found, violation),) = STACK_RULES[name].violations(resources)
    assert found in resources
    assert said in violation


def test_a_certificate_that_signs_itself_is_judged_as_a_servers_too() -> None:
    assert "tls:index/selfSignedCert:SelfSignedCert" in RESOURCE_RULES["certificate-is-short-lived"].types


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def in_a_preview(properties: dict[str, Any]) -> Any:
    """The properties as the SDK hands them to a policy in a preview: reading an unknown value ends the rule."""
    return unknown_checking_proxy(properties)


@pytest.mark.parametrize(
    ("name", "unknown", "said"),
    [
        ("database-is-encrypted", {"kmsKeyId": UNKNOWN}, []),
        ("database-transport-is-encrypted", {"parameterGroupName": UNKNOWN}, []),
        ("database-master-password-is-no-state", {"password": UNKNOWN}, ["the master password is in the state"]),
        *(
            (rule.name, {"replicateSourceDb": UNKNOWN}, [])
            for rule in database.RULES
            if rule.types >= database.INSTANCE
        ),
    ],
)
def test_whether_something_is_there_is_known_before_what_it_is(
    name: str, unknown: dict[str, Any], said: list[str]
) -> None:
    found = list(RESOURCE_RULES[name].violations(in_a_preview({**INSTANCE, **unknown})))
    assert [violation.partition(":")[0] for violation in found] == said


def test_a_replica_of_a_database_to_come_hides_nothing_of_the_database() -> None:
    replica = resource(INSTANCE_TYPE, "replica", properties=in_a_preview({"replicateSourceDb": UNKNOWN}))
    instance = resource(INSTANCE_TYPE, "instance", properties=in_a_preview(INSTANCE))
    found = STACK_RULES["stateful-resources-are-protected"].violations([replica, instance])
    assert [one.name for one, _ in found] == ["instance"]


def redacted(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties as `policy analyze --file` shows them if all of them were secret and none could be decrypted."""
    return dict.fromkeys(properties, REDACTED)


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("database-has-backups", redacted(INSTANCE)),
        ("database-has-a-standby", redacted(INSTANCE)),
        ("database-logs-are-kept", redacted(INSTANCE)),
        ("database-transport-is-encrypted", redacted(FORCED)),
        ("network-is-closed-to-the-world", {"cidrIpv4": REDACTED}),
        ("network-is-closed-to-the-world", {"cidrBlocks": ["10.0.0.0/8", REDACTED]}),
        ("certificate-is-short-lived", redacted(LEAF)),
        ("key-is-strong", {"algorithm": "RSA", "rsaBits": REDACTED}),
        ("release-values-hold-no-secrets", redacted(RELEASE)),
        ("release-values-hold-no-secrets", {**RELEASE, "values": {"extraEnv": [{"value": REDACTED}]}}),
    ],
)
def test_a_value_that_cannot_be_decrypted_ends_a_rule_as_an_unknown_one_does(
    name: str, properties: dict[str, Any]
) -> None:
    with pytest.raises(UnknownValueError) as ended:
        list(RESOURCE_RULES[name].violations(legible(properties)))
    assert re.fullmatch(r"the value at \.[\w.]+ is a secret that cannot be decrypted here", ended.value.message)


def test_what_can_be_read_is_judged_beside_what_cannot() -> None:
    half = legible({**INSTANCE, "kmsKeyId": REDACTED, "deletionProtection": False})
    assert list(RESOURCE_RULES["database-is-encrypted"].violations(half)) == []
    assert list(RESOURCE_RULES["database-is-hard-to-delete"].violations(half)) == ["deletionProtection is not true"]


def test_no_rule_of_a_stack_ends_at_what_cannot_be_decrypted() -> None:
    """An error in a stack rule would make the CLI panic."""
    resources = [
        resource(INSTANCE_TYPE, "told", properties={"tags": REDACTED}),
        resource(INSTANCE_TYPE, "untold", properties={"tags": {}}),
        resource("pulumi:providers:aws", properties={"allowedAccountIds": REDACTED}),
    ]
    tags, providers = (STACK_RULES[name] for name in ("aws-objects-are-tagged", "providers-are-explicit"))
    assert [one.name for one, _ in tags.violations(resources)] == ["untold"]
    assert list(providers.violations(resources)) == []


def test_the_pack_asks_a_rule_of_its_own_types_alone() -> None:
    options = PolicyResourceOptions(
        protect=False,
        ignore_changes=[],
        delete_before_replace=None,
        aliases=[],
        custom_timeouts=PolicyCustomTimeouts(create_seconds=0, update_seconds=0, delete_seconds=0),
        additional_secret_outputs=[],
    )

    def said_of(type_: str) -> list[str]:
        said: list[str] = []
        given = ResourceValidationArgs(resource_type=type_, props={}, urn="urn", name="x", opts=options, provider=None)
        for policy in policies():
            if isinstance(policy, ResourceValidationPolicy):
                policy.validate(given, lambda violation, _=None: said.append(violation))
        return said

    assert "deletionProtection is not true" in said_of(INSTANCE_TYPE)
    assert said_of("kubernetes:core/v1:ConfigMap") == []


def test_every_rule_has_a_case_that_keeps_it_and_one_that_breaks_it() -> None:
    assert {name for name, _ in GOOD} == set(RESOURCE_RULES)
    assert {name for name, _, _ in BAD} == set(RESOURCE_RULES)
    assert {name for name, _ in GOOD_STACKS} == {name for name, _, _ in BAD_STACKS} == set(STACK_RULES)


def test_names_are_unique_and_statements_are_sentences() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.name)
        assert re.fullmatch(r"[A-Z].*\.", rule.statement)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "policy" / "levels").glob("*.json")), ids=lambda path: path.stem)
def test_levels_name_rules_that_exist(path: Path) -> None:
    levels = json.loads(path.read_text())
    assert set(levels) - {rule.name for rule in RULES} <= {"all"}
    assert set(levels.values()) <= {"mandatory", "advisory", "disabled"}


def test_production_takes_every_rule_as_mandatory() -> None:
    assert json.loads((REPOSITORY / "policy/levels/prod.json").read_text()) == {"all": "mandatory"}


def test_the_document_has_every_rule_in_its_words() -> None:
    document = (REPOSITORY / "docs/policy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", document, re.MULTILINE)
    assert rows == [(rule.name, rule.statement) for rule in RULES]
