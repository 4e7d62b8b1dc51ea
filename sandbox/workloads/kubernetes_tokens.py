"""Asks the API server whose service account a token belongs to, as Teleport's Kubernetes join method does.

Uses the pod's own service account, which needs the right to create token reviews.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl

from sandbox.workloads.surroundings import inside

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_PREFIX = "system:serviceaccount:"


class TokenRefused(Exception):
    """The token proves nothing; the text says why."""


def own_token() -> str:
    """The pod's own service account token. Raises TokenRefused."""
    try:
        return inside(f"{_ACCOUNT}/token").read_text().strip()
    except OSError as error:
        raise TokenRefused(f"the pod has no service account token: {error}") from None


def service_account_of(token: str) -> str:
    """`namespace:name`. Raises TokenRefused."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise TokenRefused("not in a cluster: KUBERNETES_SERVICE_HOST is not set")
    context = ssl.create_default_context(cafile=str(inside(f"{_ACCOUNT}/ca.crt")))
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    headers = {"Authorization": f"Bearer {own_token()}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", json.dumps(review), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise TokenRefused(f"the API server cannot be asked: {error}") from None
    finally:
        connection.close()
    status = answer.get("status")
    if response.status >= 300 or not isinstance(status, dict):
        raise TokenRefused(f"the API server refuses the review: {answer.get('message')}")
    if not status.get("authenticated"):
        raise TokenRefused(f"the token is not valid: {status.get('error', 'not authenticated')}")
    username = str((status.get("user") or {}).get("username", ""))
    if not username.startswith(_PREFIX):
        raise TokenRefused(f"{username} is no service account")
    return username.removeprefix(_PREFIX)
