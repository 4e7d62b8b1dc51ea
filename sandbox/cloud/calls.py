"""Reads an AWS API request without consuming it: its service, action and signer, and whether it changes anything."""

from __future__ import annotations

import io
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Environment = dict[str, Any]
"""A WSGI environment."""

# Actions that only read, following AWS's naming convention.
READING = re.compile(
    r"^(Describe|List|Get|Head|BatchGet|Search|Lookup|Query|Scan|Select|Filter|Test|Simulate|Validate|Check|Estimate|Download|View)"
    r"|^(AssumeRole\w*|DecodeAuthorizationMessage|Encrypt|Decrypt|ReEncrypt|GenerateDataKey\w*|GenerateMac|GenerateRandom|Sign|Verify\w*)$"
)

# Parameters that name the subject of a call, the most telling first.
NAMING = (
    "DBInstanceIdentifier",
    "DBSnapshotIdentifier",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "SubscriptionName",
    "ResourceName",
    "SecretId",
    "logGroupName",
    "KeyId",
    "AliasName",
    "RoleName",
    "RoleArn",
    "PolicyArn",
    "PolicyName",
    "OpenIDConnectProviderArn",
    "TopicArn",
    "AlarmName",
    "GroupId",
    "GroupName",
    "SubnetId",
    "VpcId",
    "ResourceId.1",
    "ResourceArn",
    "resourceArn",
    "Name",
    "Url",
)


@dataclass(frozen=True)
class Call:
    service: str
    """As in the signature's scope: `rds`, `secretsmanager`, `kms`, `sts`."""
    action: str
    parameters: Mapping[str, Any]
    access_key_id: str | None
    session_token: str | None
    region: str
    speaks_json: bool

    @property
    def writes(self) -> bool:
        return not READING.match(self.action)

    @property
    def resource(self) -> str | None:
        for name in NAMING:
            value = self.parameters.get(name)
            if isinstance(value, str) and value:
                return value
        return None


def read_call(environment: Environment) -> Call:
    """Describe a request; whoever serves it can still read the body."""
    body = _body(environment)
    scope = re.search(r"Credential=([^,\s]+)", environment.get("HTTP_AUTHORIZATION", ""))
    key, region, service = None, "us-east-1", ""
    if scope:
        parts = scope.group(1).split("/")
        if len(parts) >= 5:
            key, region, service = parts[-5], parts[-3], parts[-2]
    target = environment.get("HTTP_X_AMZ_TARGET", "")
    speaks_json = "json" in environment.get("CONTENT_TYPE", "") or bool(target)
    parameters = _parameters(body, environment, speaks_json)
    path = environment.get("PATH_INFO", "")
    if target:
        action = target.rpartition(".")[2]
    elif isinstance(parameters.get("Action"), str):
        action = parameters["Action"]
    elif "/operation/" in path:
        # The protocol of the newest clients (RPC over CBOR).
        action = path.rpartition("/")[2]
    else:
        # REST services express the action by method and path.
        action = f"{environment['REQUEST_METHOD'].capitalize()} {path}"
    if not service and action.startswith(("AssumeRole", "GetCallerIdentity")):
        # These calls need no signature.
        service = "sts"
    return Call(service, action, parameters, key, environment.get("HTTP_X_AMZ_SECURITY_TOKEN"), region, speaks_json)


def _body(environment: Environment) -> bytes:
    length = int(environment.get("CONTENT_LENGTH") or 0)
    content: bytes = environment["wsgi.input"].read(length) if length else b""
    environment["wsgi.input"] = io.BytesIO(content)
    return content


def _parameters(body: bytes, environment: Environment, speaks_json: bool) -> Mapping[str, Any]:
    if speaks_json:
        try:
            parsed = json.loads(body or b"{}")
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}
    text = body.decode(errors="replace") if "urlencoded" in environment.get("CONTENT_TYPE", "") else ""
    return dict(urllib.parse.parse_qsl(text or environment.get("QUERY_STRING", "")))
