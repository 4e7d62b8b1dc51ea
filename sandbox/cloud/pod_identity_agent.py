"""The EKS Pod Identity agent: exchanges a pod's token for the credentials of its ServiceAccount's role.

On EKS, an agent on each node listens at 169.254.170.23 and asks EKS, which verifies the token and assumes the role.
Here one process does both, on loopback, which the SDKs accept too.
https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.sts.models import AssumedRole, sts_backends
from moto.utilities.utils import get_partition

from sandbox.cloud.identities import role_of
from sandbox.cloud.landing_zone import ACCOUNT, CLUSTER, OIDC_ISSUER, REGION
from sandbox.cloud.pod_identity import associations
from sandbox.cloud.policies import Question, is_allowed
from sandbox.cloud.web_identity import ClusterTokens, Refusal, WebIdentitySTS, audiences_of

log = logging.getLogger(__name__)

PATH = "/v1/credentials"
AUDIENCE = "pods.eks.amazonaws.com"
PRINCIPAL = "pods.eks.amazonaws.com"
# The duration of EKS's sessions.
SESSION_SECONDS = 6 * 3600
# The longest role session name.
LONGEST_NAME = 64

_SUBJECT = "system:serviceaccount:"


class PodIdentityAgent:
    def __init__(self, tokens: ClusterTokens, lock: threading.RLock):
        """`lock`: the API's."""
        self._tokens = tokens
        self._lock = lock

    def credentials(self, token: str) -> dict[str, str]:
        """The document that SDKs read at AWS_CONTAINER_CREDENTIALS_FULL_URI. Raises `Refusal`."""
        claims = self._tokens.claims(token)
        if claims.get("iss") != OIDC_ISSUER or AUDIENCE not in audiences_of(claims):
            raise Refusal(400, "InvalidTokenException", f"the token is not the cluster's for {AUDIENCE}")
        if float(claims.get("exp", 0)) <= time.time():
            raise Refusal(400, "ExpiredTokenException", "the token has expired")
        namespace, _, account = str(claims.get("sub", "")).removeprefix(_SUBJECT).partition(":")
        pod = (claims.get("kubernetes.io") or {}).get("pod") or {}
        with self._lock:
            session = self._session(namespace, account, pod)
        return {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "AccountId": session.account_id,
            "Expiration": session.expiration.replace(tzinfo=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _session(self, namespace: str, account: str, pod: Mapping[str, Any]) -> AssumedRole:
        association = associations().association_of(CLUSTER, namespace, account)
        if association is None:
            raise Refusal(404, "ResourceNotFoundException", f"no association for {namespace}/{account}")
        role = role_of(ACCOUNT, REGION, association.role_arn)
        cluster = f"arn:{get_partition(REGION)}:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
        tags = {
            "eks-cluster-arn": cluster,
            "eks-cluster-name": CLUSTER,
            "kubernetes-namespace": namespace,
            "kubernetes-service-account": account,
            "kubernetes-pod-name": str(pod.get("name", "")),
            "kubernetes-pod-uid": str(pod.get("uid", "")),
        }
        context = {f"aws:RequestTag/{name}": value for name, value in tags.items()}
        context |= {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": cluster}
        for action in ("sts:AssumeRole", "sts:TagSession"):
            question = Question(action, principals={"Service": PRINCIPAL}, context=context)
            if role is None or not is_allowed([role.assume_role_policy_document], question):
                raise Refusal(403, "AccessDeniedException", f"{association.role_arn} does not let EKS {action}")
        backend = sts_backends[ACCOUNT][get_partition(REGION)]
        assert isinstance(backend, WebIdentitySTS)
        return backend.assume_role_for_pod(
            region_name=REGION,
            role_session_name=f"eks-{CLUSTER}-{pod.get('name', 'pod')}"[: LONGEST_NAME - 9]
            + f"-{secrets.token_hex(4)}",
            role_arn=association.role_arn,
            policy=None,
            duration=SESSION_SECONDS,
            external_id=None,
        )


class AgentServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, preferred_port: int, agent: PodIdentityAgent):
        """If the preferred port, which pods know, is busy, another one is taken; 0 takes any."""
        try:
            super().__init__((address, preferred_port), _Handler)
        except OSError:
            if preferred_port == 0:
                raise
            super().__init__((address, 0), _Handler)
        self.agent = agent

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_port}{PATH}"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="pod-identity", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: AgentServer

    def do_GET(self) -> None:
        if self.path != PATH:
            self._answer(404, "text/plain", "not found\n")
            return
        try:
            found = self.server.agent.credentials(self.headers.get("Authorization", ""))
        except Refusal as refusal:
            log.info("a pod gets no credentials: %s: %s", refusal.code, refusal.message)
            self._answer(refusal.status, "text/plain", f"{refusal.code}: {refusal.message}\n")
        else:
            self._answer(200, "application/json", json.dumps(found))

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass  # not logged: credentials are requested often
