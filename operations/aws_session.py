"""AWS with the caller's own credentials, in the account and role that the program's provider acts in.

boto3 is imported late, so that users without a database in AWS need not install it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.settings import AwsSettings
from operations.findings import Finding, failed, not_proven


class NoSession(Exception):
    """AWS cannot be asked from here, or a token cannot be signed; the text says why."""


class Denied(NoSession):
    """AWS answered, but these credentials may not read that."""


# Error codes for a missing right: RDS and IAM use the first, KMS the second, EC2 the third.
_DENIALS = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


@contextmanager
def asking_aws() -> Iterator[None]:
    """Turns errors of AWS, or of the way to it, into `NoSession`; those for a missing right into `Denied`."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise NoSession("boto3 is not installed here") from None
    try:
        yield
    except ClientError as error:
        denied = error.response.get("Error", {}).get("Code") in _DENIALS
        raise (Denied if denied else NoSession)(str(error)) from None
    except (BotoCoreError, OSError, ValueError) as error:
        # boto3 also passes on errors of what it reads and calls: a missing credential_process program of a profile, an
        # invalid AWS_ENDPOINT_URL.
        raise NoSession(str(error)) from None


def aws_client(settings: AwsSettings, service: str) -> Any:
    """boto3's client of `service`. Raises `NoSession` without boto3, or when the role cannot be assumed."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise NoSession("boto3 is not installed here") from None
    # Two tries of five seconds, because somebody waits at a terminal.
    config = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 2})

    def arguments(name: str) -> dict[str, Any]:
        endpoint = dict(settings.endpoints).get(name)
        return {"region_name": settings.region, "config": config, **({"endpoint_url": endpoint} if endpoint else {})}

    if settings.assume_role is None:
        return boto3.client(service, **arguments(service))
    role = settings.assume_role
    optional = {"ExternalId": role.external_id} if role.external_id else {}
    with asking_aws():
        credentials = boto3.client("sts", **arguments("sts")).assume_role(
            RoleArn=role.role_arn, RoleSessionName=role.session_name or "operations", **optional
        )["Credentials"]
    return boto3.client(
        service,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        **arguments(service),
    )


def db_instances(rds: Any, identifier: str) -> list[dict[str, Any]]:
    """The database instance of that identifier; empty if there is none. `rds`: a client of that service."""
    # By a filter: an instance that does not exist is then no error.
    wanted = [{"Name": "db-instance-id", "Values": [identifier]}]
    found: list[dict[str, Any]] = rds.describe_db_instances(Filters=wanted)["DBInstances"]
    return found


def not_told(check: str, statement: str, error: NoSession) -> Finding:
    """The finding for a check that AWS did not answer: a missing right says nothing against an `up`."""
    if isinstance(error, Denied):
        return not_proven(check, statement, f"these credentials may not ask: {error}")
    return failed(check, statement, f"AWS does not say: {error}")


def database_token(settings: AwsSettings, host: str, port: int, user: str) -> str:
    """A token with which `user` can log in to the instance for 15 minutes, if these credentials may rds-db:connect.

    Signed here, without asking AWS. Raises `NoSession`.
    """
    try:
        with asking_aws():
            client = aws_client(settings, "rds")
            return str(client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user))
    except NoSession as error:
        raise NoSession(f"no token can be signed: {error}") from None
