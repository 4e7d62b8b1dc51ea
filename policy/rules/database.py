"""Rules for the database: RDS controls of AWS Foundational Security Best Practices that can be checked on one
resource."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from policy.rules import Properties, ResourceRule, given

INSTANCE = frozenset({"aws:rds/instance:Instance"})
PARAMETERS = frozenset({"aws:rds/parameterGroup:ParameterGroup"})
INGRESS = frozenset({"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"})
EGRESS = frozenset({"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"})
# The older type for rules of both directions.
RULE = frozenset({"aws:ec2/securityGroupRule:SecurityGroupRule"})
SECURITY_GROUP = frozenset({"aws:ec2/securityGroup:SecurityGroup"})

LEAST_BACKUP_DAYS = 7
# Bits of a prefix. One network may have all of 10.0.0.0/8; a /32 of public IPv6 is a provider's, for all its customers.
WIDEST_PREFIX = 8
WIDEST_PUBLIC_IPV6_PREFIX = 32
# https://docs.aws.amazon.com/securityhub/latest/userguide/rds-controls.html#rds-25
GUESSED_USERS = frozenset({"postgres", "admin", "administrator", "root", "master"})


def _is_replica(properties: Properties) -> bool:
    return given(properties, "replicateSourceDb")


def private(properties: Properties) -> Iterator[str]:
    # Without the property, RDS decides by the subnets.
    if properties.get("publiclyAccessible") is not False:
        yield "publiclyAccessible is not false: set it, whatever the subnets are"


def encrypted_with_an_own_key(properties: Properties) -> Iterator[str]:
    if _is_replica(properties):
        return  # it has the key of its source, in the same region
    if properties.get("storageEncrypted") is not True:
        yield "storageEncrypted is not true: it cannot be turned on later"
    # A restored instance keeps its data's key, so no key is given.
    restored = given(properties, "snapshotIdentifier") or given(properties, "restoreToPointInTime")
    if not restored and not given(properties, "kmsKeyId"):
        yield "kmsKeyId is missing, so that AWS's own key would be used: pass a key of the account's"


def hard_to_delete(properties: Properties) -> Iterator[str]:
    if _is_replica(properties):
        return  # it has no data of its own
    if properties.get("deletionProtection") is not True:
        yield "deletionProtection is not true"
    if properties.get("skipFinalSnapshot") is True:
        yield "skipFinalSnapshot is true: the data would go with the instance"


def backed_up(properties: Properties) -> Iterator[str]:
    if _is_replica(properties):
        return
    days = properties.get("backupRetentionPeriod", 1)
    if days < LEAST_BACKUP_DAYS:
        yield f"backupRetentionPeriod is {days:.0f} days: damage is often noticed later, set {LEAST_BACKUP_DAYS} to 35"


def standby(properties: Properties) -> Iterator[str]:
    if not _is_replica(properties) and properties.get("multiAz") is not True:
        yield "multiAz is not true: a zone's failure would be an outage of hours"


def logged(properties: Properties) -> Iterator[str]:
    missing = {"postgresql", "upgrade"} - set(properties.get("enabledCloudwatchLogsExports") or ())
    if missing:
        yield f"enabledCloudwatchLogsExports lacks {', '.join(sorted(missing))}"


def patched(properties: Properties) -> Iterator[str]:
    if properties.get("autoMinorVersionUpgrade") is False:
        yield "autoMinorVersionUpgrade is false: security fixes of PostgreSQL would wait for somebody"


def no_guessed_master(properties: Properties) -> Iterator[str]:
    if _is_replica(properties):
        return
    user = properties.get("username")
    if user in GUESSED_USERS:
        yield f"username is {user}, which is tried first: choose another"


def no_master_password_in_the_state(properties: Properties) -> Iterator[str]:
    if given(properties, "password") or given(properties, "passwordWo"):
        yield "the master password is in the state: set manageMasterUserPassword"


def transport_encrypted(properties: Properties) -> Iterator[str]:
    if given(properties, "instanceClass"):
        if not given(properties, "parameterGroupName"):
            yield "parameterGroupName is missing, and AWS's own group takes clear connections before PostgreSQL 15"
        return
    parameters = {one.get("name"): one.get("value") for one in properties.get("parameters") or ()}
    if str(parameters.get("rds.force_ssl")) != "1":
        yield "parameter rds.force_ssl is not 1: clients could connect in clear"


def closed_to_the_world(properties: Properties) -> Iterator[str]:
    for key in ("cidrIpv4", "cidrIpv6", "cidrBlocks", "ipv6CidrBlocks"):
        blocks = properties.get(key) or ()
        for block in (blocks,) if isinstance(blocks, str) else blocks:
            # In whatever notation, also split in halves: no single network is wider.
            network = ip_network(block, strict=False)
            is_public_ipv6 = network.version == 6 and not network.is_private
            if network.prefixlen < (WIDEST_PUBLIC_IPV6_PREFIX if is_public_ipv6 else WIDEST_PREFIX):
                yield f"{key} is {block}: name the clients' security groups"


def no_way_out(properties: Properties) -> Iterator[str]:
    # The older type states the direction.
    if properties.get("type", "egress") == "egress":
        yield "an egress rule: a database begins no connection"


def no_inline_rules(properties: Properties) -> Iterator[str]:
    for direction in ("ingress", "egress"):
        if properties.get(direction):
            yield f"{direction} is given inline: nothing but rules of their own are checked"


RULES = (
    ResourceRule(
        name="database-is-private",
        statement="The instance has no public address (RDS.2).",
        types=INSTANCE,
        violations=private,
    ),
    ResourceRule(
        name="database-is-encrypted",
        statement="The instance is encrypted with a key of the account's (RDS.3).",
        types=INSTANCE,
        violations=encrypted_with_an_own_key,
    ),
    ResourceRule(
        name="database-is-hard-to-delete",
        statement="RDS refuses to delete the instance, and a snapshot would stay (RDS.8).",
        types=INSTANCE,
        violations=hard_to_delete,
    ),
    ResourceRule(
        name="database-has-backups",
        statement=f"The instance can be set back by {LEAST_BACKUP_DAYS} days or more (RDS.11).",
        types=INSTANCE,
        violations=backed_up,
    ),
    ResourceRule(
        name="database-has-a-standby",
        statement="The instance has a standby in another zone (RDS.5).",
        types=INSTANCE,
        violations=standby,
    ),
    ResourceRule(
        name="database-logs-are-kept",
        statement="PostgreSQL's logs go to CloudWatch (RDS.9, RDS.36).",
        types=INSTANCE,
        violations=logged,
    ),
    ResourceRule(
        name="database-is-patched",
        statement="Minor versions are AWS's to install (RDS.13).",
        types=INSTANCE,
        violations=patched,
    ),
    ResourceRule(
        name="database-master-is-no-usual-name",
        statement="The master user has a name of its own (RDS.25).",
        types=INSTANCE,
        violations=no_guessed_master,
    ),
    ResourceRule(
        name="database-master-password-is-no-state",
        statement="The master password is AWS's, and never in the state.",
        types=INSTANCE,
        violations=no_master_password_in_the_state,
        mandatory=False,  # `masterPassword: generated` serves pods without an AWS identity
    ),
    ResourceRule(
        name="database-transport-is-encrypted",
        statement="The server refuses connections in clear (RDS.38).",
        types=PARAMETERS | INSTANCE,
        violations=transport_encrypted,
    ),
    ResourceRule(
        name="network-is-closed-to-the-world",
        statement="No rule lets the whole internet in.",
        types=INGRESS | EGRESS | RULE,
        violations=closed_to_the_world,
    ),
    ResourceRule(
        name="database-begins-no-connection",
        statement="The database's security group has no way out.",
        types=EGRESS | RULE,
        violations=no_way_out,
    ),
    ResourceRule(
        name="network-rules-stand-alone",
        statement="Security groups have no inline rules, which nobody would check.",
        types=SECURITY_GROUP,
        violations=no_inline_rules,
    ),
)
