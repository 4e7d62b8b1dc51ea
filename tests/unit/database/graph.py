"""The two database components, with arguments that fit together, for the tests beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_random as random

from components.database import Database, DatabaseArgs
from components.database_access import DatabaseAccess, DatabaseAccessArgs
from components.database_logins import LoginRetirement, LoginRetirementArgs
from tests.unit.monitor import COMPUTED_OUTPUTS, Recording, record

TAGS = {"Project": "teleport-access-graph", "Stack": "teleport-access-graph-dev"}
DATABASE = {
    "region": "us-east-1",
    "account_id": "123456789012",
    "identifier": "teleport-access-graph-dev",
    "vpc_id": "vpc-0a1b2c3d",
    "subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
    "client_security_group_ids": ["sg-0a1b2c3d", "sg-1a1b2c3d"],
    "tags": TAGS,
}
DIGEST_KEY = "digest-key-" + "0" * 40
OIDC_PROVIDER = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABCDEF"
# Arguments that make TAG log in by IAM, and arguments that let pods take roles through EKS Pod Identity.
BY_IAM: dict[str, Any] = {
    "authentication": "iam",
    "resource_ids": ["db-ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
    "client_service_account": "teleport-access-graph",
}
BY_POD_IDENTITY: dict[str, Any] = {"oidc_provider_arn": None, "eks_cluster_name": "prod"}
CANARY_MASTER = "canary-master-password-0123456789"
ACCESS = {
    "namespace": "teleport-access-graph",
    "ca_config_map": "teleport-access-graph-database-ca",
    "identifier": "teleport-access-graph-dev",
    "region": "us-east-1",
    "account_id": "123456789012",
    "host": "db.abcdefghijkl.us-east-1.rds.amazonaws.com",
    "port": 5432,
    "database_name": "access_graph",
    "master_username": "tag_admin",
    "digest_key": DIGEST_KEY,
    "tags": TAGS,
}
MANAGED = {
    "master_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1-AbCdEf",
    "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1",
    "oidc_provider_arn": OIDC_PROVIDER,
}


def record_database(*, preview: bool = False, as_mapping: bool = False, **changes: Any) -> Recording:
    arguments = {**DATABASE, **changes}

    def program() -> None:
        Database("database", arguments if as_mapping else DatabaseArgs(**arguments))  # type: ignore[arg-type]

    return record(program, preview=preview)


def record_access(
    *,
    managed: bool = True,
    preview: bool = False,
    as_mapping: bool = False,
    computed: Mapping[str, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> Recording:
    """Record the access component and the component that retires the other logins, which waits for the resource
    `release`."""

    def program() -> None:
        master: Mapping[str, Any] = MANAGED if managed else {"master_password": pulumi.Output.secret(CANARY_MASTER)}
        everything: dict[str, Any] = {**ACCESS, **master, **changes}
        reachable = random.RandomId("reachable", byte_length=4)
        access = DatabaseAccess(
            "database-access",
            everything if as_mapping else DatabaseAccessArgs(**everything),  # type: ignore[arg-type]
            pulumi.ResourceOptions(depends_on=[reachable]),
        )
        pulumi.export("uri", access.uri)
        release = random.RandomId("release", byte_length=4, keepers={"uri": access.ready})
        logins: dict[str, Any] = {
            "namespace": ACCESS["namespace"],
            "job": access.job,
            "login": access.login,
            "after_run": access.run,
            "digest_key": DIGEST_KEY,
        }
        LoginRetirement(
            "database-logins",
            logins if as_mapping else LoginRetirementArgs(**logins),  # type: ignore[arg-type]
            pulumi.ResourceOptions(depends_on=[release]),
        )

    return record(program, preview=preview, computed={**COMPUTED_OUTPUTS, **(computed or {})})


def lineage(recording: Recording) -> set[str]:
    """`<parent's type>$<type>::<name>` of every resource: what the engine makes of parents and types in a URN."""
    return {item.urn.split("::", 2)[2].removeprefix("pulumi:pulumi:Stack$") for item in recording.registrations}
