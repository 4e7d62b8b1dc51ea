"""Asks AWS, with the caller's own credentials, which account they are for."""

from __future__ import annotations

from typing import Any

from components.settings import AwsSettings
from operations.findings import Finding, failed, not_proven, passed


def check_account(settings: AwsSettings) -> Finding:
    """The account that the program's provider would act in is the one that is meant."""
    check, statement = "aws.account", f"the credentials are for the account {settings.account_id}"
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return not_proven(check, statement, "boto3 is not installed here; `aws sts get-caller-identity` tells")
    # Two tries of five seconds: whoever waits sits before a terminal.
    config = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 2})
    arguments: dict[str, Any] = {"region_name": settings.region, "config": config}
    if endpoint := dict(settings.endpoints).get("sts"):
        arguments["endpoint_url"] = endpoint
    try:
        sts = boto3.client("sts", **arguments)
        if settings.assume_role is not None:
            role = settings.assume_role
            optional = {"ExternalId": role.external_id} if role.external_id else {}
            credentials = sts.assume_role(
                RoleArn=role.role_arn, RoleSessionName=role.session_name or "preflight", **optional
            )["Credentials"]
            sts = boto3.client(
                "sts",
                aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"],
                aws_session_token=credentials["SessionToken"],
                **arguments,
            )
        identity = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        return failed(check, statement, f"AWS does not say: {error}; log in, or correct aws.assumeRole")
    account, caller = identity["Account"], identity["Arn"]
    if account != settings.account_id:
        return failed(
            check, statement, f"they are {caller} of {account}; take another profile, or correct aws.accountId"
        )
    return passed(check, statement, caller)
