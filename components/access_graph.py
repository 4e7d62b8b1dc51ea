"""The Helm release of Teleport Access Graph.

Owns the chart's values. `credentials` makes the namespace and the Secrets that they name; `host_authorities` checks
their host CAs. Facts about the chart are those of teleport-access-graph 1.30.2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.applied import applied, made
from components.arguments import ComponentArgs, RefusedArgumentError
from components.database_uri import CA_BUNDLE_DIRECTORY
from components.handed_on import waiting
from components.releases import atomic_release
from components.settings.names import (
    CREDENTIALS_ANNOTATION,
    POSTGRES_SECRET_KEY,
    SERVICE_PORT,
    service_host,
)

DATABASE_CA_VOLUME = "database-ca"
# The default of the chart.
DEFAULT_IMAGE = "public.ecr.aws/gravitational/access-graph"


@dataclass(frozen=True, kw_only=True)
class AccessGraphArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """Namespace of TAG; it must exist, so take it from the Namespace's output."""

    release: str
    """Name of the Helm release, at most 53 characters."""

    chart: str
    """A chart's name in `repository`, or the path of a packaged chart relative to the program."""

    host_authorities: pulumi.Input[Sequence[str]]
    """PEM of each host CA whose certificates TAG accepts. Teleport's auth and proxies present such certificates."""

    database_secret_name: pulumi.Input[str]
    """Secret in `namespace` with the connection URI under `database_secret_key`."""

    tls_secret_name: pulumi.Input[str]
    """Secret in `namespace`, of type kubernetes.io/tls, with the certificate that TAG serves."""

    credentials_checksum: pulumi.Input[str]
    """Changes whenever a Secret, the CA bundle or the pods' AWS identity does. TAG reads them only at its start, and
    the chart does not restart it."""

    repository: str | None = None
    """URL of the chart repository; none for a packaged chart."""

    version: str | None = None
    """Exact version of a chart in a repository; none for a packaged chart, which contains its version."""

    database_secret_key: str = POSTGRES_SECRET_KEY
    database_ca_config_map: pulumi.Input[str] | None = None
    """ConfigMap with key `bundle.pem`; none when the database's certificate chains to one of the image's roots."""

    database_replica_key: str | None = None
    """Key of the read replica's URI; none without a replica."""

    database_replica_secret_name: pulumi.Input[str] | None = None
    """Secret in `namespace` with `database_replica_key`; `database_secret_name` when none."""

    database_iam_region: str | None = None
    """Region of the instance to which TAG logs in by IAM; none where the URI has a password."""

    service_account_annotations: pulumi.Input[Mapping[str, str]] | None = None
    """The annotations that give the pods their IAM role."""

    cluster_domain: str = "cluster.local"
    replicas: int = 2
    """Two, so that a rollout leaves no gap."""

    timeout_seconds: int = 600
    """TAG migrates its schema at the first start; 300 s gave false failures in the field."""

    service_type: str = "ClusterIP"
    """Type of the chart's own Service: `ClusterIP` or `LoadBalancer`."""

    log_level: str = "INFO"
    """`DEBUG`, `INFO`, `WARN` or `ERROR`."""

    metrics: bool = False
    image: str | None = None
    """Repository of the image, without a tag; the chart's default when none."""

    image_digest: str | None = None
    """`sha256:...`, which alone then selects the image; when none, the tag is the chart's version."""

    image_pull_secrets: Sequence[str] = ()
    """Names of Secrets in `namespace`, of type kubernetes.io/dockerconfigjson."""

    resources: Mapping[str, Any] = field(
        # Sizes from the field: below 512Mi the first import of a cluster starves; a CPU limit would only throttle it.
        default_factory=lambda: {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
    )
    pod_disruption_budget: Mapping[str, Any] | None = None
    """The chart's value of that name. When none, two or more replicas get a budget that keeps one pod. A single replica
    gets none, since that budget would block every drain of its node, for ever."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes on which TAG's pods may run."""

    tolerations: Sequence[Mapping[str, Any]] = ()
    """As in a pod's specification: `key`, `operator`, `value`, `effect`."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the pods; the chart has no value for labels of its other objects."""

    annotations: Mapping[str, str] = field(default_factory=dict)
    """Annotations of the pods and their ServiceAccount; the chart has no value for its other objects."""


def chart_values(args: AccessGraphArgs) -> dict[str, Any]:
    """The release's values. They contain no secret: Secrets are named, never quoted."""
    values: dict[str, Any] = {
        "replicaCount": args.replicas,
        "clusterHostCAs": pulumi.Output.from_input(args.host_authorities).apply(_some_host_authorities),
        "postgres": {"secretName": args.database_secret_name, "secretKey": args.database_secret_key},
        "tls": {"existingSecretName": args.tls_secret_name},
        "service": {"type": args.service_type},
        "log": {"level": args.log_level},
        "metrics": {"enabled": args.metrics},
        "resources": dict(args.resources),
        "podDisruptionBudget": _disruption_budget(args),
        "podAnnotations": {**args.annotations, CREDENTIALS_ANNOTATION: args.credentials_checksum},
    }
    if args.labels:
        values["podLabels"] = dict(args.labels)
    if args.database_ca_config_map is not None:
        values["volumes"] = [{"name": DATABASE_CA_VOLUME, "configMap": {"name": args.database_ca_config_map}}]
        values["volumeMounts"] = [
            {"name": DATABASE_CA_VOLUME, "mountPath": CA_BUNDLE_DIRECTORY, "readOnly": True},
        ]
    postgres: dict[str, Any] = values["postgres"]
    if args.database_replica_key is not None:
        replica_secret = args.database_replica_secret_name or args.database_secret_name
        postgres["replica"] = {"secretName": replica_secret, "secretKey": args.database_replica_key}
    if args.database_iam_region is not None:
        postgres["aws"] = {"enabled": True, "region": args.database_iam_region}
    account = _account_annotations(args)
    if account is not None:
        values["serviceAccount"] = {"annotations": account}
    image = _image(args)
    if image:
        values["image"] = image
    if args.image_pull_secrets:
        values["imagePullSecrets"] = [{"name": secret} for secret in args.image_pull_secrets]
    if args.node_selector:
        values["nodeSelector"] = dict(args.node_selector)
    if args.tolerations:
        values["tolerations"] = [dict(toleration) for toleration in args.tolerations]
    return values


def _disruption_budget(args: AccessGraphArgs) -> dict[str, Any]:
    if args.pod_disruption_budget is None:
        return {"enabled": args.replicas > 1, "minAvailable": 1}
    return dict(args.pod_disruption_budget)


def _account_annotations(args: AccessGraphArgs) -> pulumi.Input[Mapping[str, str]] | None:
    own, role = dict(args.annotations), args.service_account_annotations
    if role is None:
        return own or None
    return pulumi.Output.from_input(role).apply(lambda given: {**own, **given}) if own else role


def _image(args: AccessGraphArgs) -> dict[str, str]:
    """The chart writes `repository:tag`, and a reference by digest is `name@sha256:hex`. Cut at its colon, the
    reference fits charts of every version, packaged ones included."""
    if args.image_digest is None:
        return {} if args.image is None else {"repository": args.image}
    algorithm, _, hexadecimal = args.image_digest.partition(":")
    return {"repository": f"{args.image or DEFAULT_IMAGE}@{algorithm}", "tag": hexadecimal}


class AccessGraph(pulumi.ComponentResource):
    """The release. Whatever needs an answer at the endpoint depends on `release`, which waits for ready pods.

    The endpoint itself is computed and waits for nothing, so that a preview before the first `up` can show what
    Teleport will be told.
    """

    release: kubernetes.helm.v3.Release
    """The Helm release, done once its pods are ready; depend on it to get an answer at the endpoint."""
    release_name: pulumi.Output[str]
    """Name of the Helm release."""
    ready: pulumi.Output[bool]
    """Resolves once the release has the host CAs that were asked for."""
    chart_version: pulumi.Output[str]
    """Version of the deployed chart."""
    service_host: pulumi.Output[str]
    """DNS name of TAG's Service within the cluster."""
    endpoint: pulumi.Output[str]
    """`host:port` for Teleport's `access_graph.endpoint`."""

    def __init__(self, name: str, args: AccessGraphArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = AccessGraphArgs.from_input(args)
        if not isinstance(args.host_authorities, pulumi.Output):
            _some_host_authorities(args.host_authorities)
        super().__init__("teleport-access-graph:index:AccessGraph", name, {}, waiting(opts))
        release = atomic_release(
            f"{name}-release",
            release=args.release,
            namespace=args.namespace,
            chart=args.chart,
            repository=args.repository,
            version=args.version,
            values=chart_values(args),
            timeout_seconds=args.timeout_seconds,
            opts=pulumi.ResourceOptions(parent=self),
        )
        host = pulumi.Output.from_input(args.namespace).apply(
            lambda namespace: service_host(args.release, namespace, args.cluster_domain)
        )
        self.release = release
        self.release_name = release.name.apply(lambda given: given or args.release)
        self.ready = applied(
            f"the release {args.release}",
            pulumi.Output.from_input(args.host_authorities).apply(list),
            made(release, release.values).apply(lambda values: (values or {}).get("clusterHostCAs")),
        )
        self.chart_version = release.version.apply(lambda chosen: chosen or "")
        self.service_host = host
        self.endpoint = host.apply(lambda name_: f"{name_}:{SERVICE_PORT}")
        self.register_outputs(
            {
                "release_name": self.release_name,
                "chart_version": self.chart_version,
                "service_host": self.service_host,
                "endpoint": self.endpoint,
                "ready": self.ready,
            }
        )


def _some_host_authorities(host_authorities: Any) -> list[str]:
    if not host_authorities:
        raise RefusedArgumentError(
            "host_authorities: is empty; TAG would accept nobody, and the chart does not refuse it: "
            "pass the host CA of at least one Teleport cluster"
        )
    return list(host_authorities)
