"""Asks AWS which account the caller's credentials belong to."""

from __future__ import annotations

import importlib.util

from components.settings import AwsSettings
from operations.aws_session import NoSession, asking_aws, aws_client
from operations.findings import Finding, failed, not_proven, passed


def identity_of(settings: AwsSettings) -> tuple[str, str]:
    """The account of the credentials, and the caller's ARN. Raises `NoSession`."""
    with asking_aws():
        identity = aws_client(settings, "sts").get_caller_identity()
    return str(identity["Account"]), str(identity["Arn"])


def check_account(settings: AwsSettings) -> Finding:
    """Whether the program's provider would act in the intended account."""
    check, statement = "aws.account", f"the credentials are for the account {settings.account_id}"
    if importlib.util.find_spec("boto3") is None:
        return not_proven(check, statement, "boto3 is not installed here; `aws sts get-caller-identity` tells")
    try:
        account, caller = identity_of(settings)
    except NoSession as error:
        return failed(check, statement, f"AWS does not say: {error}; log in, or correct aws.assumeRole")
    if account != settings.account_id:
        return failed(
            check, statement, f"they are {caller} of {account}; take another profile, or correct aws.accountId"
        )
    return passed(check, statement, caller)
