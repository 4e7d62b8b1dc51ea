"""Workload identities: what STS and IAM decide about a role that a pod assumes with its service account's token.

moto grants every AssumeRoleWithWebIdentity and lets every credential do everything. Here the token is verified against
the cluster's keys and the role's trust policy, and a pod's session may do only what the role's policies allow. All
other credentials count as the account's administrator.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import AssumedRole, STSBackend, sts_backends
from moto.utilities.utils import get_partition

from sandbox.cloud.calls import Call
from sandbox.cloud.identities import Holder, holder_of, role_of
from sandbox.cloud.neighbours import StandInBackend
from sandbox.cloud.policies import Question, is_allowed

SigningKeys = Callable[[], Mapping[str, Any]]
"""Returns the cluster's JSON Web Key Set."""

# The algorithms with which the API server signs service account tokens.
TOKEN_ALGORITHMS = ["RS256", "ES256"]

# The API server is on this machine, and every other call waits meanwhile.
KEYS_SECONDS = 5.0

# A key that AWS owns: whoever may read the secret may have it decrypted.
AWS_OWNED_KEY = "alias/aws/secretsmanager"


@dataclass(frozen=True)
class Refusal(Exception):
    """An answer in AWS's words."""

    status: int
    code: str
    message: str


class ClusterKeys:
    """The keys of the sandbox's cluster, fetched from its API server as STS fetches an issuer's, and kept until an
    unknown key turns up."""

    def __init__(self, kubeconfig: Path):
        self._kubeconfig = kubeconfig

    def __call__(self) -> Mapping[str, Any]:
        # Imported late: the import takes half a second, and most runs verify no token.
        from kubernetes import client, config

        connection = config.new_client_from_config(config_file=str(self._kubeconfig))
        with connection:
            found = client.OpenidApi(connection).get_service_account_issuer_open_id_keyset(
                _preload_content=False, _request_timeout=KEYS_SECONDS
            )
            return dict(json.loads(found.data))


class ClusterTokens:
    """Verifies service accounts' tokens against the cluster's keys."""

    def __init__(self, signing_keys: SigningKeys):
        self._signing_keys = signing_keys
        self._keys: KeySet | None = None
        self._lock = threading.Lock()

    def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that the cluster has signed. Raises `Refusal`."""
        problem: Exception | None = None
        with self._lock:
            for fresh in (False, True):
                try:
                    if self._keys is None or fresh:
                        self._keys = KeySet.import_key_set(dict(self._signing_keys()))  # type: ignore[arg-type]
                    return jwt.decode(token, self._keys, algorithms=TOKEN_ALGORITHMS).claims
                except (JoseError, ValueError, KeyError) as error:
                    problem = error
                except Exception as error:
                    raise Refusal(
                        400,
                        "InvalidIdentityToken",
                        f"Couldn't retrieve verification key from your identity provider: {error}",
                    ) from error
        raise Refusal(400, "InvalidIdentityToken", f"The web identity token could not be validated: {problem}")


def audiences_of(claims: Mapping[str, Any]) -> list[str]:
    named = claims.get("aud", [])
    return [named] if isinstance(named, str) else list(named)


class WebIdentitySTS(StandInBackend, STSBackend):
    """An STS that remembers which sessions are pods'."""

    service_package = "moto.sts"

    def assume_role_with_web_identity(self, **kwargs: Any) -> AssumedRole:
        return self.assume_role_for_pod(**kwargs)

    def assume_role_for_pod(self, **kwargs: Any) -> AssumedRole:
        role = self.assume_role(**kwargs)
        role.is_of_a_pod = True
        return role


def install() -> None:
    sts_backends.backend = WebIdentitySTS


class Gate:
    """Decides, before a call is served, whether it is allowed. Raises `Refusal`."""

    def __init__(self, account: str, signing_keys: SigningKeys):
        self._account = account
        self._tokens = ClusterTokens(signing_keys)

    def check(self, call: Call) -> None:
        if call.service == "sts" and call.action == "AssumeRoleWithWebIdentity":
            self._check_identity(call)
            return
        session = self._session(call)
        if session is not None:
            self._check_session(call, session)

    # Beginning a session

    def _check_identity(self, call: Call) -> None:
        claims = self._tokens.claims(str(call.parameters.get("WebIdentityToken", "")))
        issuer = str(claims.get("iss", "")).removeprefix("https://")
        backend = iam_backends[self._account][get_partition(call.region)]
        provider = next((one for one in backend.open_id_providers.values() if _bare(one.url) == issuer), None)
        if provider is None:
            raise Refusal(
                400, "InvalidIdentityToken", f"No OpenIDConnect provider found in your account for https://{issuer}"
            )
        accepted = [audience for audience in audiences_of(claims) if audience in provider.client_id_list]
        if not accepted:
            raise Refusal(400, "InvalidIdentityToken", "Incorrect token audience")
        if float(claims.get("exp", 0)) <= time.time():
            raise Refusal(400, "ExpiredTokenException", "Token expired: the token's exp is in the past")
        role = role_of(self._account, call.region, str(call.parameters.get("RoleArn", "")))
        question = Question(
            "sts:AssumeRoleWithWebIdentity",
            principals={"Federated": provider.arn},
            context={f"{issuer}:sub": str(claims.get("sub", "")), f"{issuer}:aud": accepted[0]},
        )
        if role is None or not is_allowed([role.assume_role_policy_document], question):
            # AWS gives the same answer for a role that does not exist.
            raise Refusal(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")

    # Acting in a session

    def _session(self, call: Call) -> AssumedRole | None:
        if call.access_key_id is None:
            return None
        session = sts_backends[self._account][get_partition(call.region)].get_assumed_role_from_access_key(
            call.access_key_id
        )
        return session if getattr(session, "is_of_a_pod", False) else None

    def _check_session(self, call: Call, session: AssumedRole) -> None:
        if call.session_token != session.session_token:
            raise Refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if session.expiration <= utcnow():
            raise Refusal(403, "ExpiredTokenException", "The security token included in the request is expired")
        if call.service == "sts" and call.action == "GetCallerIdentity":
            return
        action = f"{call.service}:{call.action}"
        resource = self._resource(call)
        holder = holder_of(self._account, call.region, session.access_key_id)
        assert holder is not None  # the session itself holds the key
        if not holder.may(Question(action, resource)):
            raise self._denied(session, action, resource)
        if action == "secretsmanager:GetSecretValue":
            self._check_decryption(call, session, resource, holder)

    def _resource(self, call: Call) -> str:
        """The ARN a call concerns, where workloads have rights on single resources; otherwise `*`, which only a policy
        on `*` allows."""
        if call.service == "secretsmanager":
            secret = self._secret(call)
            if secret is not None:
                return str(secret.arn)
        return "*"

    def _secret(self, call: Call) -> Any:
        wanted = str(call.parameters.get("SecretId", ""))
        secrets = secretsmanager_backends[self._account][call.region].secrets
        return next((secret for secret in secrets.values() if wanted in (secret.arn, secret.name)), None)

    def _check_decryption(self, call: Call, session: AssumedRole, secret_arn: str, holder: Holder) -> None:
        """A secret under a customer's key is given only to those who may use that key through Secrets Manager."""
        secret = self._secret(call)
        key_id = secret.kms_key_id if secret is not None else None
        if not key_id or key_id == AWS_OWNED_KEY:
            return
        key = kms_backends[self._account][call.region].describe_key(key_id)
        question = Question(
            "kms:Decrypt",
            key.arn,
            context={
                "kms:ViaService": f"secretsmanager.{call.region}.amazonaws.com",
                "kms:CallerAccount": self._account,
                "kms:EncryptionContext:SecretARN": secret_arn,
            },
        )
        by_key = Question(question.action, key.arn, {"AWS": session.role_arn}, question.context)
        # The default key policy delegates to IAM; a key policy may also name the role itself.
        if not is_allowed([key.policy], by_key) or not holder.may(question):
            raise Refusal(400, "AccessDeniedException", "Access to KMS is not allowed")

    def _denied(self, session: AssumedRole, action: str, resource: str) -> Refusal:
        return Refusal(
            400,
            "AccessDeniedException",
            f"User: {session.arn} is not authorized to perform: {action} on resource: {resource} "
            "because no identity-based policy allows the action",
        )


def _bare(url: str) -> str:
    return url.removeprefix("https://").rstrip("/")
