"""Jobs that work on the database as its master user: a hardened pod with `psql`, and how it gets the master password.

Owns the pod and the Job. `database_script.py` has the scripts; `database_access.py` owns the logins.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi.output import UNKNOWN

from components.awaited_job import awaited_job
from components.database_script import FETCH_MASTER_SECRET, MASTER_SECRET_DIRECTORY, job_script
from components.database_uri import CA_BUNDLE_DIRECTORY, CA_BUNDLE_PATH
from components.digests import public_digest
from components.pod_security import USER, container_security_context, pod_security_context

MASTER_PASSWORD_KEY = "master-password"

# Label of the pods, which a NetworkPolicy selects them by.
POD_NAME = "teleport-access-graph-database-jobs"


def database_job(
    name: str,
    *,
    object_name: str,
    namespace: pulumi.Input[str],
    spec: pulumi.Output[Any],
    digest_key: pulumi.Input[str],
    causes: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> kubernetes.batch.v1.Job:
    """An awaited Job that runs once for each content of `spec` and `causes`, which must include what the Job reads from
    a Secret. Its name is `{object_name}-<digest>`.
    """
    digest = public_digest(digest_key, spec.apply(_canonical), *causes)
    return awaited_job(
        name,
        object_name=digest.apply(lambda text: f"{object_name}-{text[:10]}"),
        namespace=namespace,
        spec=spec,
        opts=opts,
    )


def job_name(job: kubernetes.batch.v1.Job) -> pulumi.Output[str]:
    """Unknown for a Job that a run leaves out before it was ever made. The engine then returns only the known inputs,
    and the name contains a digest of others that are left out."""
    name: pulumi.Output[str] = job.metadata.apply(lambda metadata: (metadata or {}).get("name", UNKNOWN))
    return name


def job_spec(
    *,
    script: str,
    environment: Sequence[Mapping[str, Any]],
    service_account: str,
    secret: str,
    ca_config_map: str,
    host: str,
    port: int,
    database: str,
    master: str,
    region: str,
    image: str,
    aws_cli_image: str,
    timeout_seconds: int,
    master_secret_arn: str | None = None,
    placement: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Spec of a Job that runs the SQL of `script` as the master user; its pod meets the `restricted` pod security
    standard.

    Contains no secret, only the names of their places. `environment` is for the script, besides libpq's. Without
    `master_secret_arn` the password is in the Secret; a component host drops the None values of a map. `placement` is
    added to the pod: its pull secrets, nodes and tolerations.
    """
    managed = master_secret_arn is not None
    hardened = container_security_context()
    # psql and the AWS CLI use some 100 MB at most. Without a memory request a full node would evict this pod first.
    resources = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    # The end of the log becomes the container's message, which the engine shows when the Job fails.
    told = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    scratch = {"name": "tmp", "mountPath": "/tmp"}
    master_secret = {"name": "master-secret", "mountPath": MASTER_SECRET_DIRECTORY}
    variables: list[Mapping[str, Any]] = [
        {"name": "PGHOST", "value": host},
        {"name": "PGPORT", "value": str(int(port))},
        {"name": "PGDATABASE", "value": database},
        {"name": "PGUSER", "value": master},
        {"name": "PGSSLMODE", "value": "verify-full"},
        {"name": "PGSSLROOTCERT", "value": CA_BUNDLE_PATH},
        # If a name does not resolve yet, the next pod tries again, within the Job's deadline.
        {"name": "PGCONNECT_TIMEOUT", "value": "15"},
        {"name": "PGAPPNAME", "value": service_account},
        *environment,
    ]
    if not managed:
        reference = {"secretKeyRef": {"name": secret, "key": MASTER_PASSWORD_KEY}}
        variables.append({"name": "PGPASSWORD", "valueFrom": reference})
    pod: dict[str, Any] = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        # This group owns the volumes, because one of the two containers reads what the other has written.
        "securityContext": {**pod_security_context(), "fsGroup": USER},
        "containers": [
            {
                "name": "psql",
                "image": image,
                "command": ["/bin/sh", "-ec", job_script(script, managed=managed)],
                "env": variables,
                "securityContext": hardened,
                "resources": resources,
                **told,
                "volumeMounts": [
                    {"name": "database-ca", "mountPath": CA_BUNDLE_DIRECTORY, "readOnly": True},
                    scratch,
                    *([master_secret] if managed else []),
                ],
            }
        ],
        "volumes": [
            {"name": "database-ca", "configMap": {"name": ca_config_map}},
            {"name": "tmp", "emptyDir": {}},
            *([{"name": "master-secret", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}] if managed else []),
        ],
    }
    if managed:
        pod["initContainers"] = [
            {
                "name": "master-secret",
                "image": aws_cli_image,
                "command": ["/bin/sh", "-ec", FETCH_MASTER_SECRET],
                "env": [
                    {"name": "MASTER_SECRET_ARN", "value": master_secret_arn},
                    {"name": "AWS_REGION", "value": region},
                    # The CLI writes its cache there, and the root file system is read-only.
                    {"name": "HOME", "value": "/tmp"},
                ],
                "securityContext": hardened,
                "resources": resources,
                **told,
                "volumeMounts": [scratch, master_secret],
            }
        ]
    return {
        # Three tries in all: enough for a slow name or image, few enough to report a real error soon.
        "backoffLimit": 2,
        "activeDeadlineSeconds": int(timeout_seconds),
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": POD_NAME}},
            "spec": {**pod, **(placement or {})},
        },
    }


def _canonical(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True, separators=(",", ":"))
