"""The stack's own pods that run a script with kubectl, and their rights in their namespace.

Owns the account with its role, and a pod that meets the `restricted` pod security standard. Each component owns its
script, and when it runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.pod_security import container_security_context, pod_security_context


def bound_account(
    name: str,
    *,
    object_name: str,
    namespace: pulumi.Input[str],
    rules: Sequence[Mapping[str, Any]],
    opts: pulumi.ResourceOptions,
) -> pulumi.Resource:
    """A ServiceAccount, a Role with `rules` and their binding, all named `object_name`; returns the binding."""
    metadata = {"name": object_name, "namespace": namespace}
    account = kubernetes.core.v1.ServiceAccount(
        f"{name}-account", metadata=metadata, automount_service_account_token=False, opts=opts
    )
    role = kubernetes.rbac.v1.Role(f"{name}-role", metadata=metadata, rules=rules, opts=opts)
    binding: pulumi.Resource = kubernetes.rbac.v1.RoleBinding(
        f"{name}-role-binding",
        metadata=metadata,
        role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata["name"]},
        subjects=[{"kind": "ServiceAccount", "name": account.metadata["name"], "namespace": namespace}],
        opts=opts,
    )
    return binding


def kubectl_pod(
    *,
    account: str,
    container: str,
    image: str,
    script: str,
    environment: Mapping[str, str],
    memory_limit: str = "128Mi",
    image_pull_secrets: Sequence[str] = (),
    node_selector: Mapping[str, str] | None = None,
    tolerations: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A pod, in wire form, that runs `script` once, with `sh -e`, as `account`."""
    # kubectl caches its discovery below $HOME, and the root file system is read-only.
    variables = {**environment, "HOME": "/tmp"}
    pod: dict[str, Any] = {
        "serviceAccountName": account,
        "automountServiceAccountToken": True,
        "restartPolicy": "Never",
        "securityContext": pod_security_context(),
        "containers": [
            {
                "name": container,
                "image": image,
                "command": ["/bin/sh", "-ec", script],
                "env": [{"name": key, "value": value} for key, value in variables.items()],
                "securityContext": container_security_context(),
                # The end of the log becomes the container's message, which the engine and `describe` show.
                "terminationMessagePolicy": "FallbackToLogsOnError",
                # kubectl uses some 50 MB. Without a memory request a full node would evict this pod first.
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": memory_limit}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
    }
    if image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in image_pull_secrets]
    if node_selector:
        pod["nodeSelector"] = dict(node_selector)
    if tolerations:
        pod["tolerations"] = [dict(toleration) for toleration in tolerations]
    return pod


def check_minutes(every_minutes: int) -> None:
    """Raise `ValueError`, before anything is made, for a number that a CronJob's schedule cannot express."""
    if not 1 <= every_minutes <= 59:
        raise ValueError(f"every_minutes: {every_minutes} is not 1 to 59; cron has no other minutes")


def every_few_minutes(pod: Mapping[str, Any], *, minutes: int, name: str, failures_kept: int) -> dict[str, Any]:
    """Spec of a CronJob, in wire form. `minutes` has passed `check_minutes`; `name` becomes a label of its pods."""
    return {
        "schedule": f"*/{minutes} * * * *",
        # While one look runs, another would see only the same.
        "concurrencyPolicy": "Forbid",
        # After a night's outage the cluster makes up for one look, not for a hundred (which would stop the CronJob).
        "startingDeadlineSeconds": 60 * minutes,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": failures_kept,
        "jobTemplate": {
            "spec": {
                # The next look is the retry.
                "backoffLimit": 0,
                "activeDeadlineSeconds": 120,
                "template": {"metadata": {"labels": {"app.kubernetes.io/name": name}}, "spec": pod},
            }
        },
    }
