"""A Teleport cluster's side: the authority that it has to trust, the patched teleport-cluster release, the proxies'
restart.

Owns the order: ConfigMap, then auth, then proxies. What the patch says and how it merges is `teleport_values`' (pure).
Who owns the release decides the mode: this stack (`release`), somebody else's Helm (`values`), or no chart at all
(`manual`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.digests import content_checksum
from components.releases import atomic_release
from components.teleport_values import (
    AccessGraphPatch,
    AuditLog,
    merge_values,
    patch_values,
    proxy_deployment_name,
)

CA_CONFIG_MAP_NAME = "teleport-access-graph-ca"
CA_KEY = "ca.pem"
CA_MOUNT_PATH = "/var/run/access-graph"
CA_PATH = f"{CA_MOUNT_PATH}/{CA_KEY}"
PROXY_ANNOTATION = "checksum/access-graph"

MODES = ("release", "values", "manual")


@dataclass(frozen=True, kw_only=True)
class TeleportClusterArgs(ComponentArgs):
    cluster: str
    """Teleport's cluster name, as in its host CA's subject."""

    mode: str
    """`release`: this stack owns the teleport-cluster release; `values`: another owner applies `values`; `manual`: no
    chart."""

    enabled: bool
    """Whether Teleport is told of the access graph. Off leaves the release with the user's own values."""

    endpoint: str
    """`host:port` that auth dials; the host is a name of the server certificate. Plain, since the user's values are
    checked against it."""

    namespace: str = "teleport"
    """The namespace that Teleport runs in; it exists already, for it holds the licence."""

    release: str = "teleport"
    chart: str | None = None
    """Mode `release`: a chart's name in `repository`, or the path of a packaged one relative to the program."""

    repository: str | None = None
    version: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    """The user's own values, without ours."""

    secret_values: pulumi.Input[Mapping[str, Any]] | None = None
    """Values that are secret, merged over `values`; they make the release's whole values map secret."""

    trust_bundle: pulumi.Input[str] | None = None
    """PEM of the authorities of TAG's certificate; none when Teleport's own trust store covers it."""

    adopt: bool = False
    """Take over a release that runs already. It is then never uninstalled by this stack."""

    audit_log_enabled: bool | None = None
    audit_log_start_date: str | None = None
    """RFC 3339; Teleport takes it once."""

    timeout_seconds: int = 600


class TeleportCluster(pulumi.ComponentResource):
    """One Teleport cluster that uses the access graph."""

    values: pulumi.Output[Mapping[str, Any]]
    """The user's plain values with the patch."""
    configuration: pulumi.Output[Mapping[str, Any]]
    """The part of auth's `teleport.yaml` that the patch amounts to."""
    ready: pulumi.Output[bool]
    """Resolves after the last step."""

    def __init__(self, name: str, args: TeleportClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = TeleportClusterArgs.from_input(args)
        if args.mode not in MODES:
            raise ValueError(f"mode: {args.mode!r} is not one of {', '.join(MODES)}")
        if args.mode == "release" and args.chart is None:
            raise ValueError("chart: is missing; mode 'release' installs it, so pass a chart's name or path")
        super().__init__("teleport-access-graph:index:TeleportCluster", name, {}, opts)
        # Pulumi does not hand a component's `depends_on` to its children.
        after = list(opts.depends_on or []) if opts is not None else []  # type: ignore[arg-type]
        steps: list[pulumi.Resource] = []

        if args.trust_bundle is not None and args.mode != "manual":
            config_map = kubernetes.core.v1.ConfigMap(
                f"{name}-ca",
                metadata={"name": CA_CONFIG_MAP_NAME, "namespace": args.namespace},
                data={CA_KEY: args.trust_bundle},
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=after,
                    # Auth mounts it by name: gone, its next start would hang. Only a release that dies with the
                    # stack, or one that has been given back its own values (`enabled: false`), lets it go.
                    retain_on_delete=args.enabled and (args.adopt or args.mode != "release"),
                ),
            )
            steps.append(config_map)

        patched = patched_values(args)
        self.values = pulumi.Output.from_input(patched)
        self.configuration = pulumi.Output.from_input(
            {"access_graph": access_graph_patch(args).configuration()} if args.enabled else {}
        )
        if args.mode == "release":
            steps.append(self._release(name, args, patched, after + steps))
            if args.enabled:
                steps.append(self._restarted_proxies(name, args, steps[-1]))
        self.ready = pulumi.Output.all(*[step.urn for step in steps]).apply(lambda _: True)
        self.register_outputs({"values": self.values, "configuration": self.configuration, "ready": self.ready})

    def _release(
        self, name: str, args: TeleportClusterArgs, patched: dict[str, Any], after: list[pulumi.Resource]
    ) -> kubernetes.helm.v3.Release:
        values: pulumi.Input[Mapping[str, Any]] = patched
        if args.secret_values is not None:
            # Patched again after the merge, so that a list among the secret values cannot drop our entries unseen.
            values = pulumi.Output.secret(args.secret_values).apply(
                lambda secret: patched_values(args, merge_values(args.values, secret))
            )
        assert args.chart is not None  # checked above
        return atomic_release(
            f"{name}-release",
            release=args.release,
            namespace=args.namespace,
            chart=args.chart,
            repository=args.repository,
            version=args.version,
            values=values,
            timeout_seconds=args.timeout_seconds,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                import_=f"{args.namespace}/{args.release}" if args.adopt else None,
                # Without it a plain destroy would uninstall a Teleport that was there before this stack.
                retain_on_delete=args.adopt,
            ),
        )

    def _restarted_proxies(
        self, name: str, args: TeleportClusterArgs, release: pulumi.Resource
    ) -> kubernetes.apps.v1.DeploymentPatch:
        """Proxies ask auth for the access graph once, at their start: they follow whatever that answer is made of."""
        checksum = pulumi.Output.from_input("" if args.trust_bundle is None else args.trust_bundle).apply(
            lambda bundle: content_checksum(args.endpoint, bundle)
        )
        return kubernetes.apps.v1.DeploymentPatch(
            f"{name}-proxies",
            metadata={"name": proxy_deployment_name(args.release, args.values), "namespace": args.namespace},
            spec={"template": {"metadata": {"annotations": {PROXY_ANNOTATION: checksum}}}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[release]),
        )


def access_graph_patch(args: TeleportClusterArgs) -> AccessGraphPatch:
    """What `args` asks for, in the terms of the merge."""
    trusted = args.trust_bundle is not None
    audit_log = None
    if args.audit_log_enabled is not None:
        audit_log = AuditLog(enabled=args.audit_log_enabled, start_date=args.audit_log_start_date)
    return AccessGraphPatch(
        endpoint=args.endpoint,
        ca_path=CA_PATH if trusted else None,
        config_map=CA_CONFIG_MAP_NAME if trusted else None,
        ca_checksum=None
        if args.trust_bundle is None
        else pulumi.Output.from_input(args.trust_bundle).apply(lambda bundle: content_checksum(bundle)),
        audit_log=audit_log,
    )


def patched_values(args: TeleportClusterArgs, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`values` (default: the user's own) with the patch, or as they are when the access graph is off."""
    values = args.values if values is None else values
    return patch_values(values, access_graph_patch(args)) if args.enabled else dict(values)
