"""The entry for callers outside the cluster: a Service of type LoadBalancer beside the chart's own.

The chart's Service can be a LoadBalancer too, but takes no annotations, by which clouds are told what to make. TAG
terminates TLS itself and checks its callers' certificates, so the load balancer must pass connections through (layer
4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.handed_on import waiting
from components.settings.names import CHART_NAME, GRPC_PORT, external_service_name


@dataclass(frozen=True, kw_only=True)
class ExternalServiceArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """TAG's namespace."""

    release: str
    """Name of TAG's Helm release, whose pods answer."""

    hostname: str
    """The name that callers dial, one of those in TAG's certificate."""

    port: int = 443
    """Port of the load balancer."""

    annotations: pulumi.Input[Mapping[str, str]] = field(default_factory=dict)
    """Annotations of the Service, which tell the cloud's controller what to make."""

    source_ranges: Sequence[str] = ()
    """CIDR blocks that the load balancer lets in, if it can; when empty, every address."""

    load_balancer_class: str | None = None
    """Class of the controller that makes the load balancer, where there are several."""

    external_traffic_policy: str = "Cluster"
    """`Cluster`, or `Local`, which keeps the caller's address and sends only to nodes with a TAG pod."""


class ExternalService(pulumi.ComponentResource):
    """The Service. It is done only with an address and pods behind it, so make it after the release."""

    service: kubernetes.core.v1.Service
    """The Service itself, to depend on."""
    endpoint: pulumi.Output[str]
    """`host:port` for callers outside, known before there is an address."""
    address: pulumi.Output[str]
    """Name or IP of the load balancer, which the hostname's DNS record must point to."""

    def __init__(self, name: str, args: ExternalServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = ExternalServiceArgs.from_input(args)
        super().__init__("teleport-access-graph:index:ExternalService", name, {}, waiting(opts))
        spec: dict[str, Any] = {
            "type": "LoadBalancer",
            "selector": {"app.kubernetes.io/name": CHART_NAME, "app.kubernetes.io/instance": args.release},
            "ports": [{"name": "grpc", "protocol": "TCP", "port": args.port, "targetPort": GRPC_PORT}],
            "externalTrafficPolicy": args.external_traffic_policy,
        }
        if args.source_ranges:
            spec["loadBalancerSourceRanges"] = list(args.source_ranges)
        if args.load_balancer_class is not None:
            spec["loadBalancerClass"] = args.load_balancer_class
        service = kubernetes.core.v1.Service(
            f"{name}-service",
            metadata={
                "name": external_service_name(args.release),
                "namespace": args.namespace,
                "annotations": args.annotations,
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.service = service
        self.endpoint = pulumi.Output.from_input(f"{args.hostname}:{args.port}")
        self.address = service.status.apply(address_of)
        self.register_outputs({"endpoint": self.endpoint, "address": self.address})


def address_of(status: Any) -> str:
    """Clouds give a name or an IP; empty while there is neither."""
    ingress = ((status or {}).get("load_balancer") or {}).get("ingress") or [{}]
    return str(ingress[0].get("hostname") or ingress[0].get("ip") or "")
