"""How the stand-in reaches AWS's API: region, endpoints, role and the account that it may work in."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sandbox.plugins.protocol import ResourceError

if TYPE_CHECKING:
    import boto3

# The configuration that this program's provider gives, or a user may add to it.
CONFIGURATION = frozenset(
    {
        "accessKey",
        "allowedAccountIds",
        "assumeRoles",
        "defaultTags",
        "endpoints",
        "maxRetries",
        "profile",
        "region",
        "s3UsePathStyle",
        "secretKey",
        "skipCredentialsValidation",
        "skipMetadataApiCheck",
        "skipRegionValidation",
        "skipRequestingAccountId",
        "token",
    }
)


class Session:
    """Clients by service, made when first used: `import boto3` costs more than the rest of a start."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self.region = str(properties.get("region") or "")
        if not self.region:
            raise ResourceError("aws: no region; set it on the provider or in AWS_REGION")
        self._allowed = set(parsed(properties, "allowedAccountIds", []))
        self._roles = parsed(properties, "assumeRoles", [])
        self._keys = {
            "aws_access_key_id": properties.get("accessKey"),
            "aws_secret_access_key": properties.get("secretKey"),
            "aws_session_token": properties.get("token"),
            "profile_name": properties.get("profile"),
        }
        self._endpoints = {
            service: url for entry in parsed(properties, "endpoints", []) for service, url in entry.items() if url
        }
        self.default_tags: dict[str, str] = (parsed(properties, "defaultTags", {}) or {}).get("tags") or {}
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: boto3.Session | None = None
        self.account = ""

    def client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def verify_account(self) -> None:
        """Refuse to work in an account that the provider does not name. Raises `ResourceError`."""
        self.account = str(self.client("sts").get_caller_identity()["Account"])
        if self._allowed and self.account not in self._allowed:
            raise ResourceError(
                f"AWS account ID not allowed: {self.account} (allowed: {', '.join(sorted(self._allowed))})"
            )

    def _make(self, service: str) -> Any:
        import boto3

        if self._session is None:
            self._session = boto3.Session(
                region_name=self.region, **{key: value for key, value in self._keys.items() if value}
            )
            for role in self._roles:
                self._session = self._assumed(self._session, role)
        return self._session.client(service, endpoint_url=self._endpoints.get(service))

    def _assumed(self, session: boto3.Session, role: Mapping[str, Any]) -> boto3.Session:
        import boto3

        optional = {"ExternalId": role.get("externalId")} if role.get("externalId") else {}
        answer = session.client("sts", endpoint_url=self._endpoints.get("sts")).assume_role(
            RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName") or "pulumi", **optional
        )["Credentials"]
        return boto3.Session(
            region_name=self.region,
            aws_access_key_id=answer["AccessKeyId"],
            aws_secret_access_key=answer["SecretAccessKey"],
            aws_session_token=answer["SessionToken"],
        )


def parsed(properties: Mapping[str, Any], name: str, default: Any) -> Any:
    """A provider's nested configuration travels as JSON text."""
    value = properties.get(name)
    if value is None or value == "":
        return default
    return json.loads(value) if isinstance(value, str) else value
