"""The plugin's configuration and its connection to AWS: region, account, credentials, endpoints, default tags.

Owns the inputs of `aws.Provider`; every input missing from the table below is refused. AWS's client library is loaded
on first use, after the engine knows where this plugin listens: the engine waits for that and starts plugins one after
the other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sandbox.plugins.protocol import CheckFailure, CheckResult, ResourceError
from sandbox.plugins.values import UNKNOWN, Properties, unwrap

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

Result = TypeVar("Result")

# https://www.pulumi.com/registry/packages/aws/installation-configuration/ and the SDK's Provider; nested values come as
# JSON.
SCALARS: Final = frozenset({"region", "accessKey", "secretKey", "token", "profile", "version"})
SWITCHES: Final = frozenset(
    {"skipCredentialsValidation", "skipRegionValidation", "skipMetadataApiCheck", "skipRequestingAccountId"}
)
NESTED: Final = frozenset({"allowedAccountIds", "forbiddenAccountIds", "assumeRoles", "endpoints", "defaultTags"})
ASSUME_ROLE: Final = frozenset({"roleArn", "externalId", "sessionName"})
SERVICES: Final = ("rds", "ec2", "iam", "kms", "logs", "sts", "secretsmanager", "cloudwatch", "sns", "eks")

# A server on the same machine answers at once; a wrong endpoint must not delay a preview for minutes.
CLIENT: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"mode": "standard", "max_attempts": 5},
}


def check_configuration(news: Properties) -> CheckResult:
    """Reports every wrong input at once; values still unknown pass."""
    failures = []
    known = SCALARS | SWITCHES | NESTED
    for name in news:
        if name not in known:
            failures.append(CheckFailure(name, f"the stand-in for aws has no configuration {name}"))
    values = parsed(news)
    if values.get("region") is None:
        failures.append(CheckFailure("region", "Missing region configuration: set aws.region"))
    for index, role in enumerate(_list(values.get("assumeRoles"))):
        if role is not UNKNOWN:
            failures += [
                CheckFailure(f"assumeRoles[{index}].{key}", f"the stand-in for aws has no assumeRoles input {key}")
                for key in sorted(role.keys() - ASSUME_ROLE)
            ]
    for entry in _list(values.get("endpoints")):
        if entry is not UNKNOWN:
            failures += [
                CheckFailure(
                    "endpoints",
                    f"the stand-in for aws does not use the service {service}; it has {', '.join(SERVICES)}",
                )
                for service in sorted(entry.keys() - set(SERVICES))
            ]
    return CheckResult(news, failures)


def parsed(properties: Properties) -> Properties:
    """The properties as plain values; values that the SDK serialised as JSON are parsed."""
    values = {}
    for name, value in unwrap(properties).items():
        if isinstance(value, str) and (name in NESTED or name in SWITCHES):
            try:
                value = json.loads(value)
            except ValueError:
                raise ResourceError(f"aws: configuration {name} is not JSON") from None
        if value is not None:
            values[name] = value
    return values


class Connection:
    """Clients by service, each made once.

    Raises `ResourceError` if the account is not one that the configuration allows.
    """

    def __init__(self, properties: Properties) -> None:
        import boto3

        values = parsed(properties)
        self.region: str = values["region"]
        self.partition: str = boto3.Session().get_partition_for_region(self.region)
        self.default_tags: dict[str, str] = dict((values.get("defaultTags") or {}).get("tags") or {})
        self._endpoints = {service: url for entry in _list(values.get("endpoints")) for service, url in entry.items()}
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session = boto3.Session(
            region_name=self.region,
            profile_name=values.get("profile"),
            aws_access_key_id=values.get("accessKey"),
            aws_secret_access_key=values.get("secretKey"),
            aws_session_token=values.get("token"),
        )
        for role in _list(values.get("assumeRoles")):
            self._assume(role)
        self.account = "" if values.get("skipRequestingAccountId") else self._checked_account(values)

    def client(self, service: str) -> Any:
        from botocore.config import Config

        # boto3's sessions are not thread-safe; its clients are.
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service, endpoint_url=self._endpoints.get(service), config=Config(**CLIENT)
                )
            return self._clients[service]

    def _assume(self, role: Properties) -> None:
        import boto3

        parameters = {"RoleArn": role["roleArn"], "RoleSessionName": role.get("sessionName") or "pulumi"}
        if role.get("externalId"):
            parameters["ExternalId"] = role["externalId"]
        answer = calling(f"assuming {role['roleArn']}", lambda: self.client("sts").assume_role(**parameters))
        credentials = answer["Credentials"]
        self._session = boto3.Session(
            region_name=self.region,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )
        self._clients.clear()

    def _checked_account(self, values: Properties) -> str:
        answer = calling("retrieving the caller identity", lambda: self.client("sts").get_caller_identity())
        account = str(answer["Account"])
        allowed, forbidden = values.get("allowedAccountIds"), values.get("forbiddenAccountIds")
        if (allowed and account not in allowed) or (forbidden and account in forbidden):
            raise ResourceError(f"AWS account ID not allowed: {account}")
        return account


def calling(doing: str, call: Callable[[], Result]) -> Result:
    """The result of an AWS call; a failure is worded as in the official plugin."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        detail = error.response.get("Error", {})
        raise ResourceError(
            f"{doing}: operation error {error.operation_name}: api error {detail.get('Code')}: {detail.get('Message')}"
        ) from error
    except BotoCoreError as error:
        raise ResourceError(f"{doing}: {error}") from error


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def missing(call: Callable[[], Result], *codes: str) -> Result | None:
    """The result, or None if AWS answers with one of `codes`."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if code_of(error) in codes:
            return None
        raise


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
