"""What Kubernetes' Pod Security Standards ask at their strictest (`restricted`), for every pod of the stack's own.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from typing import Any

# Of a namespace: the API server then holds every pod in it to the standard.
NAMESPACE_LABELS = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}

# Any user but root will do; this is Access Graph's own.
USER = 65532


def pod_security_context() -> dict[str, Any]:
    """`securityContext` of a pod, wire form."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> dict[str, Any]:
    """`securityContext` of each of its containers, wire form. The root file system is read-only as well, which the
    standard does not ask: what is to be written needs a volume."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
