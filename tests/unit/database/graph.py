"""The two database components with arguments that fit together, for the tests beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.database import Database, DatabaseArgs
from components.database_access import DatabaseAccess, DatabaseAccessArgs
from tests.unit.monitor import Recording, record

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
CANARY_MASTER = "canary-master-password-0123456789"
ACCESS = {
    "namespace": "teleport-access-graph",
    "ca_config_map": "teleport-access-graph-database-ca",
    "identifier": "teleport-access-graph-dev",
    "region": "us-east-1",
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
    *, managed: bool = True, preview: bool = False, as_mapping: bool = False, **changes: Any
) -> Recording:
    arguments: Mapping[str, Any] = {**ACCESS, **changes}

    def program() -> None:
        master = MANAGED if managed else {"master_password": pulumi.Output.secret(CANARY_MASTER)}
        everything = {**arguments, **master}
        access = DatabaseAccess("database-access", everything if as_mapping else DatabaseAccessArgs(**everything))  # type: ignore[arg-type]
        pulumi.export("uri", access.uri)

    return record(program, preview=preview)


def lineage(recording: Recording) -> set[str]:
    """What the engine makes of parents and types, `<parent's type>$<type>::<name>`, of every resource."""
    return {item.urn.split("::", 2)[2].removeprefix("pulumi:pulumi:Stack$") for item in recording.registrations}
