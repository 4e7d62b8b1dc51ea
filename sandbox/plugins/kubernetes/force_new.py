"""Which properties of which kind cannot change in place: the API server calls them immutable.

Source: the official plugin's table (provider/pkg/provider/diff.go), for the kinds of `kinds.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.kubernetes.schema import Kind

IDENTITY: Final = (".metadata.name", ".metadata.namespace")
CONFIG_MAP_DATA: Final = (".binaryData", ".data")
SECRET_TYPE: Final = (".type",)
SECRET_DATA: Final = (".stringData", ".data")
BINDING: Final = (".roleRef",)
CONTAINER_FIELDS: Final = (
    "args",
    "command",
    "env",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
)
POD_FIELDS: Final = (
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostname",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "volumes",
)
VOLUME_SOURCES: Final = ("csi", "hostPath", "local", "nfs", "fc", "iscsi", "cephfs", "rbd", "awsElasticBlockStore")
BY_KIND: Final[dict[str, tuple[str, ...]]] = {
    "apps/v1/DaemonSet": (".spec.selector",),
    "apps/v1/Deployment": (".spec.selector",),
    "apps/v1/StatefulSet": (
        ".spec.podManagementPolicy",
        ".spec.revisionHistoryLimit",
        ".spec.selector",
        ".spec.serviceName",
        ".spec.volumeClaimTemplates",
    ),
    "batch/v1/Job": (".spec.completions", ".spec.parallelism", ".spec.selector", ".spec.template"),
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": BINDING,
    "rbac.authorization.k8s.io/v1/RoleBinding": BINDING,
    "storage.k8s.io/v1/StorageClass": (".parameters", ".provisioner"),
    "v1/PersistentVolume": tuple(f".spec.{source}" for source in VOLUME_SOURCES),
    "v1/PersistentVolumeClaim": (".spec",),
    "v1/Pod": (
        *(f".spec.{field}" for field in POD_FIELDS),
        *(f".spec.{group}[*].{field}" for group in ("containers", "initContainers") for field in CONTAINER_FIELDS),
    ),
    "v1/ResourceQuota": (".spec.scopes",),
    "v1/Service": (".spec.clusterIP",),
}


def force_new(kind: Kind, inputs: Mapping[str, Any], config_map_mutable: bool, secret_mutable: bool) -> tuple[str, ...]:
    """The paths whose change replaces the object; a patch can change everything but the identity of its target."""
    if kind.patch:
        return IDENTITY
    immutable = inputs.get("immutable") is True
    if kind.key == "v1/Secret":
        return (*IDENTITY, *(SECRET_TYPE if secret_mutable and not immutable else (*SECRET_TYPE, *SECRET_DATA)))
    if kind.key == "v1/ConfigMap":
        return IDENTITY if config_map_mutable and not immutable else (*IDENTITY, *CONFIG_MAP_DATA)
    return (*IDENTITY, *BY_KIND.get(kind.key, ()))
