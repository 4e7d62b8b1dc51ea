"""What `restricted`, the strictest of Kubernetes' Pod Security Standards, asks of the stack's own pods.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Any

# Labels of a namespace, by which the API server holds every pod in it to the standard.
NAMESPACE_LABELS = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}

# Any user but root will do; this is Access Graph's own.
USER = 65532


def pod_security_context() -> dict[str, Any]:
    """`securityContext` of a pod, in wire form."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> dict[str, Any]:
    """`securityContext` of each of its containers, in wire form. Beyond the standard, the root file system is
    read-only: what is written needs a volume."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
