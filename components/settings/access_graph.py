"""Settings of the access graph's own release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from components.settings.charts import ChartSettings
from components.settings.formats import (
    UNQUOTED,
    Cidr,
    CpuQuantity,
    DnsName,
    ImageDigest,
    ImageRepository,
    KubernetesName,
    MemoryQuantity,
    ObjectName,
    ReleaseName,
)
from components.settings.names import service_host
from components.settings.network_policy import NetworkPolicySettings
from components.settings.object_metadata import LabelKey, LabelValue, ServiceAnnotations
from components.settings.rules import DISTINCT, Frozen, Section, Switch, WholeNumber, between, setting


class ResourceSettings(Section):
    """What each TAG pod asks of its node. No CPU limit: a throttled graph is slow, an idle node helps nobody."""

    cpu_request: CpuQuantity = setting("250m", why="CPU set aside for each pod; field sizing")
    memory_request: MemoryQuantity = setting("512Mi", why="memory set aside for each pod; field sizing")
    memory_limit: MemoryQuantity = setting("1Gi", why="memory above which a pod is killed; field sizing")


class PodDisruptionBudgetSettings(Section):
    """How many TAG pods a node drain leaves in place."""

    enabled: Switch | None = setting(
        None,
        default_text="`true` with two replicas or more",
        why="whether there is a budget; with a single pod it would stop node drains for ever",
    )
    min_available: Annotated[WholeNumber, between(1, 49, "pods")] = setting(
        1, why="pods that must stay; has to be below `replicas`, or no node with a TAG pod could be drained"
    )


class TolerationSettings(Section):
    """A taint that TAG's pods bear."""

    key: LabelKey | None = setting(None, why="key of the taint; left out, with operator Exists, it means every taint")
    operator: Literal["Exists", "Equal"] = setting("Equal", why="whether the value is compared")
    value: LabelValue | None = setting(None, why="value of the taint, with operator Equal")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = setting(
        None, why="effect of the taint; left out, it means every effect"
    )
    toleration_seconds: Annotated[WholeNumber, between(0, 86400, "seconds")] | None = setting(
        None, why="how long a NoExecute taint is tolerated; left out, for ever"
    )


class ExternalServiceSettings(Section):
    """A second Service, of type LoadBalancer, for Teleports and agents outside the cluster."""

    hostname: DnsName = setting(
        why="name by which outside callers dial TAG; it has to be in TAG's certificate, and DNS has to point it "
        "at the load balancer",
        example="graph.example.com",
    )
    port: Annotated[WholeNumber, between(1, 65535)] = setting(443, why="port of the load balancer")
    annotations: ServiceAnnotations = setting(
        {}, why="annotations that tell the cloud's controller what to make; TAG needs layer 4, with TLS passed through"
    )
    source_ranges: Annotated[tuple[Cidr, ...], DISTINCT] = setting(
        (), why="blocks that the load balancer lets in, if it can restrict callers; left out, every address"
    )
    load_balancer_class: LabelKey | None = setting(
        None, why="controller that makes the load balancer, where there are several; cannot be changed afterwards"
    )
    external_traffic_policy: Literal["Cluster", "Local"] = setting(
        "Cluster", why="Local keeps the caller's address, and sends only to nodes with a TAG pod"
    )


class AccessGraphSettings(Section):
    """The Teleport Access Graph release."""

    enabled: Switch = setting(
        True,
        why="whether TAG runs and Teleport uses it; false for the first `up` of a Teleport that does not exist "
        "yet, and to disconnect in order",
    )
    namespace: Annotated[KubernetesName, UNQUOTED] = setting("teleport-access-graph", why="namespace that TAG runs in")
    create_namespace: Switch = setting(
        True,
        why="whether the stack makes the namespace, labels it as `restricted` and owns it; false uses one that exists",
    )
    keep_namespace: Switch = setting(
        False,
        why="whether a namespace that the stack made stays when the stack goes; set it one `up` before "
        "`createNamespace: false`",
    )
    release: Annotated[ReleaseName, UNQUOTED] = setting(
        "teleport-access-graph", why="name of the Helm release, from which the chart derives the Service's name"
    )
    chart: ChartSettings = setting(
        why="the teleport-access-graph chart, of its 1.x series: its version is the service's",
        example={
            "repository": "https://charts.releases.teleport.dev",
            "name": "teleport-access-graph",
            "version": "1.30.2",
        },
    )
    allow_untested: Switch = setting(
        False,
        why="whether to accept a chart version that this program is not known to fit, without a check of its values",
    )
    replicas: Annotated[
        WholeNumber,
        between(
            1, 50, "pods", lambda value: "would stop TAG and leave Teleport configured for it" if value == 0 else None
        ),
    ] = setting(2, why="TAG pods; two, so that a rollout or a drained node leaves one")
    timeout_seconds: Annotated[WholeNumber, between(30, 3600, "seconds")] = setting(
        600, why="how long Helm waits for ready pods; 300 gave false failures in the field"
    )
    service_type: Literal["ClusterIP", "LoadBalancer"] = setting(
        "ClusterIP",
        why="type of the chart's own Service, which takes no annotations; to be reached from "
        "outside, prefer `external`",
    )
    cluster_domain: DnsName = setting("cluster.local", why="DNS domain of the Kubernetes cluster, part of TAG's name")
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = setting("INFO", why="lowest level that TAG logs")
    metrics: Switch = setting(False, why="whether TAG serves Prometheus metrics on port 3000")
    resources: ResourceSettings = setting({}, why="requests and limit of each pod")
    pod_disruption_budget: PodDisruptionBudgetSettings = setting({}, why="what node drains must leave in place")
    node_selector: Annotated[Mapping[LabelKey, LabelValue], Frozen] = setting({}, why="labels of the nodes TAG runs on")
    tolerations: tuple[TolerationSettings, ...] = setting((), why="taints that TAG's pods tolerate")
    image_pull_secrets: Annotated[tuple[ObjectName, ...], DISTINCT] = setting(
        (), why="names of Secrets, in TAG's namespace, with credentials of a private registry"
    )
    image: ImageRepository | None = setting(
        None,
        why="repository of TAG's image when it is mirrored; its tag is the chart's version, unless imageDigest is set",
    )
    image_digest: ImageDigest | None = setting(
        None, why="digest that names TAG's image in place of a tag; it has to be that of the chart's version"
    )
    external: ExternalServiceSettings | None = setting(
        None, why="a load balancer of its own, for callers from outside the cluster; left out, there is none"
    )
    network_policy: NetworkPolicySettings = setting(
        {}, why="who may call TAG's pods, and whom the stack's pods may call"
    )

    @property
    def service_host(self) -> str:
        """TAG's DNS name inside its Kubernetes cluster."""
        return service_host(self.release, self.namespace, self.cluster_domain)

    @property
    def pod_tolerations(self) -> list[dict[str, Any]]:
        """`tolerations`, wire form."""
        return [item.model_dump(by_alias=True, exclude_none=True) for item in self.tolerations]

    @property
    def has_disruption_budget(self) -> bool:
        """Whether node drains are held back."""
        enabled = self.pod_disruption_budget.enabled
        return self.replicas > 1 if enabled is None else enabled
