"""NetworkPolicies for Teleport Access Graph's pods and the Jobs beside them: who may call them, and whom they may call.

A policy selects pods and closes everything that it does not list, so each lists all that its pods need. What is not
known stays open and is never guessed: too narrow a policy stops a running installation, and no error shows. The
cluster's network enforces policies; one without an implementation accepts the objects and does nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.handed_on import waiting
from components.settings.names import CHART_NAME, GRPC_PORT, METRICS_PORT, POLICY_NAMES

# DNS over TCP too, for answers too long for UDP. OpenShift's DNS pods listen on 5353, and policies see that port.
DNS_PORTS = (53, 5353)
HTTPS_PORT = 443
# The agent of EKS Pod Identity on each node:
# https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
POD_IDENTITY_AGENT = ("169.254.170.23/32", "fd00:ec2::23/128")
POD_IDENTITY_PORT = 80

# A label that Kubernetes sets itself, from 1.21 on.
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
# Labels of teleport-cluster 18.10.3. Not the label with the chart's name, which `nameOverride` changes: instance and
# component are enough to select the pods within their namespace.
INSTANCE_LABEL, COMPONENT_LABEL = "app.kubernetes.io/instance", "app.kubernetes.io/component"
TELEPORT_CALLERS = ("auth", "proxy")
NAME_LABEL = "app.kubernetes.io/name"


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs(ComponentArgs):
    namespace: pulumi.Input[str]
    """TAG's namespace."""

    release: str
    """Name of TAG's Helm release, part of its pods' labels."""

    teleports: Sequence[Mapping[str, str]] = ()
    """`namespace` and `release` of each teleport-cluster release in TAG's Kubernetes cluster."""

    further_callers: bool = False
    """Whether there are callers that the stack knows nothing about. If no namespace or block is given, everybody may
    call then."""

    client_namespaces: Sequence[str] = ()
    """Namespaces whose pods may call TAG, besides the Teleports'."""

    client_cidrs: Sequence[str] = ()
    """CIDR blocks that may call TAG."""

    metrics: bool = False
    """Whether TAG serves metrics; calls to them are then allowed."""

    metrics_namespaces: Sequence[str] = ()
    """Namespaces whose pods may read the metrics; when empty, every address may."""

    database_port: int | None = None
    """Port of the database. None where it is not known; all calls of TAG and the Jobs are then allowed."""

    database_cidrs: Sequence[str] = ()
    """CIDR blocks of the database; when empty, every address at that port."""

    access_graph_calls_aws: bool = False
    """Whether TAG calls AWS's API, as it does to log in by IAM."""

    jobs_call_aws: bool = False
    """Whether the database Jobs call AWS's API, as they do for a managed master password."""

    pod_identity: bool = False
    """Whether pods get their roles from the agent of EKS Pod Identity."""

    aws_cidrs: Sequence[str] = ()
    """CIDR blocks of AWS's API endpoints; when empty, every address at port 443."""

    job_name: str | None = None
    """`app.kubernetes.io/name` of the database Jobs' pods; none without such Jobs."""

    restarter_name: str | None = None
    """`app.kubernetes.io/name` of the certificate restarter's pods; none without a restarter."""

    api_server_cidrs: Sequence[str] = ()
    """CIDR blocks of the Kubernetes API, which the restarter calls; when empty, all its calls are allowed."""


class NetworkPolicies(pulumi.ComponentResource):
    """A policy for each kind of the stack's pods in TAG's namespace. Other pods there are not affected."""

    access_graph: kubernetes.networking.v1.NetworkPolicy
    """The policy of TAG's own pods."""

    def __init__(self, name: str, args: NetworkPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = NetworkPoliciesArgs.from_input(args)
        for position, one in enumerate(args.teleports):
            missing = [key for key in ("namespace", "release") if key not in one]
            if missing:
                raise ValueError(
                    f"teleports[{position}]: has no {' and no '.join(missing)}; give namespace and release of each"
                )
        super().__init__("teleport-access-graph:index:NetworkPolicies", name, {}, waiting(opts))
        specs = {"access-graph": access_graph_policy(args)}
        if args.job_name is not None:
            specs["database-jobs"] = database_jobs_policy(args)
        if args.restarter_name is not None:
            specs["certificate-restarter"] = restarter_policy(args)
        policies = {
            suffix: kubernetes.networking.v1.NetworkPolicy(
                f"{name}-{suffix}",
                metadata={"name": POLICY_NAMES[suffix], "namespace": args.namespace},
                spec=spec,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for suffix, spec in specs.items()
        }
        self.access_graph = policies["access-graph"]
        self.register_outputs({})


def access_graph_policy(args: NetworkPoliciesArgs) -> dict[str, Any]:
    """TAG answers Teleport and the callers that are named. It calls DNS, its database and, by IAM, AWS."""
    labels = {NAME_LABEL: CHART_NAME, INSTANCE_LABEL: args.release}
    spec = _policy(labels, _database_calls(args, aws=args.access_graph_calls_aws))
    ingress = []
    callers = _callers(args)
    if callers is not None:
        ingress.append(_rule("from", callers, [GRPC_PORT]))
    if args.metrics:
        ingress.append(_rule("from", [_namespace(one) for one in args.metrics_namespaces], [METRICS_PORT]))
    if ingress:
        spec["ingress"] = ingress
    return spec


def database_jobs_policy(args: NetworkPoliciesArgs) -> dict[str, Any]:
    """Nobody calls a Job. It calls DNS, the database and, for a managed master password, AWS."""
    return _policy({NAME_LABEL: args.job_name}, _database_calls(args, aws=args.jobs_call_aws))


def restarter_policy(args: NetworkPoliciesArgs) -> dict[str, Any]:
    """Nobody calls the restarter. Address and port of the API server differ from cluster to cluster, so the restarter's
    calls stay open until the addresses are given."""
    # Every port: policies see the API server's own port, not that of the Service `kubernetes`.
    api_server = {"to": [_block(one) for one in args.api_server_cidrs]}
    return _policy({NAME_LABEL: args.restarter_name}, [_dns(), api_server] if args.api_server_cidrs else None)


def _policy(labels: Mapping[str, str | None], egress: list[dict[str, Any]] | None) -> dict[str, Any]:
    """For pods with `labels`: nobody may call them, and without `egress` they may call anybody."""
    spec: dict[str, Any] = {"podSelector": {"matchLabels": dict(labels)}, "policyTypes": ["Ingress"]}
    return spec if egress is None else {**spec, "policyTypes": ["Ingress", "Egress"], "egress": egress}


def _callers(args: NetworkPoliciesArgs) -> list[dict[str, Any]] | None:
    """Peers of the gRPC port; empty for everybody, None for nobody."""
    named = [_namespace(one) for one in args.client_namespaces] + [_block(one) for one in args.client_cidrs]
    if args.further_callers and not named:
        return []
    teleports = [
        {
            **_namespace(one["namespace"]),
            "podSelector": {
                "matchLabels": {INSTANCE_LABEL: one["release"]},
                "matchExpressions": [{"key": COMPONENT_LABEL, "operator": "In", "values": list(TELEPORT_CALLERS)}],
            },
        }
        for one in args.teleports
    ]
    return teleports + named or None


def _dns() -> dict[str, Any]:
    return {"ports": [{"protocol": protocol, "port": port} for port in DNS_PORTS for protocol in ("UDP", "TCP")]}


def _database_calls(args: NetworkPoliciesArgs, *, aws: bool) -> list[dict[str, Any]] | None:
    """None where the database's port is not known."""
    if args.database_port is None:
        return None
    database = _rule("to", [_block(one) for one in args.database_cidrs], [args.database_port])
    return [_dns(), database, *(_aws(args) if aws else [])]


def _aws(args: NetworkPoliciesArgs) -> list[dict[str, Any]]:
    calls = [_rule("to", [_block(one) for one in args.aws_cidrs], [HTTPS_PORT])]
    if args.pod_identity:
        calls.append(_rule("to", [_block(one) for one in POD_IDENTITY_AGENT], [POD_IDENTITY_PORT]))
    return calls


def _rule(direction: str, peers: list[dict[str, Any]], ports: list[int]) -> dict[str, Any]:
    """Without peers every address: the field is left out, because an empty list is dropped on the way."""
    rule: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
    return {direction: peers, **rule} if peers else rule


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}}}


def _block(cidr: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr}}
