"""RDS instances in the account of `aws_account`."""

from __future__ import annotations

from typing import Any

import boto3


def put_instance(identifier: str, region: str, **more: Any) -> str:
    """Create an instance. `more` are further arguments of AWS's CreateDBInstance. Returns its ARN."""
    made = boto3.client("rds", region_name=region).create_db_instance(
        DBInstanceIdentifier=identifier,
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        MasterUsername="master",
        MasterUserPassword="password-of-a-test",
        AllocatedStorage=20,
        **more,
    )
    return str(made["DBInstance"]["DBInstanceArn"])
