"""The way in from outside the cluster: a Service of type LoadBalancer beside the chart's own.

The chart's Service can be a LoadBalancer too, but takes no annotations, by which clouds are told what to make. TAG ends
TLS itself and checks its callers' certificates, so the load balancer has to pass connections through (layer 4).
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
    """TAG's."""

    release: str
    """Name of TAG's Helm release, which makes the pods that answer."""

    hostname: str
    """By which callers dial, a name of TAG's certificate."""

    port: int = 443
    """Port of the load balancer."""

    annotations: pulumi.Input[Mapping[str, str]] = field(default_factory=dict)
    """Of the Service, by which the cloud's controller knows what to make."""

    source_ranges: Sequence[str] = ()
    """Blocks that the load balancer lets in, where it can; when empty, every address."""

    load_balancer_class: str | None = None
    """The controller that makes the load balancer, where there are several."""

    external_traffic_policy: str = "Cluster"
    """`Cluster`, or `Local`: the caller's address is kept, and only nodes with a TAG pod are sent to."""


class ExternalService(pulumi.ComponentResource):
    """The Service; made once it has an address and pods behind it, so it follows upon the release."""

    service: kubernetes.core.v1.Service
    """The Service as a resource, to wait for."""
    endpoint: pulumi.Output[str]
    """`host:port` for callers outside, known before there is an address."""
    address: pulumi.Output[str]
    """Name or IP of the load balancer, to which DNS has to point the hostname."""

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
    """Clouds give a name or an IP; empty where there is none yet."""
    ingress = ((status or {}).get("load_balancer") or {}).get("ingress") or [{}]
    return str(ingress[0].get("hostname") or ingress[0].get("ip") or "")
