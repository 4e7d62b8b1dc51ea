"""A Teleport cluster's side: the authority that it has to trust, the patched teleport-cluster release, the proxies'
restart.

Owns the order: ConfigMap, then auth, then proxies; while the access graph is off auth first, for it may have been on
before. What the patch says and how it merges is `teleport_values`' (pure).
Who owns the release decides the mode: this stack (`release`), somebody else's Helm (`values`), or no chart at all
(`manual`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.digests import content_checksum
from components.owners_rollout import OwnersRollout, OwnersRolloutArgs
from components.releases import atomic_release
from components.teleport_values import (
    AccessGraphPatch,
    AuditLog,
    ValuesConflict,
    auth_deployment_name,
    merge_values,
    patch_values,
    proxy_deployment_name,
)

CA_CONFIG_MAP_NAME = "teleport-access-graph-ca"
CA_KEY = "ca.pem"
CA_MOUNT_PATH = "/var/run/access-graph"
CA_PATH = f"{CA_MOUNT_PATH}/{CA_KEY}"
# Where Teleport's hosts keep the file when there is no chart: /var/run is empty after a restart of the machine.
HOST_CA_PATH = "/etc/teleport-access-graph/ca.pem"
PROXY_ANNOTATION = "checksum/access-graph"
# What the owner of a release takes over, as a file for `helm upgrade --values`.
VALUES_CONFIG_MAP_NAME = "teleport-access-graph-values"
VALUES_KEY = "values.yaml"

MODES = ("release", "values", "manual")


class SecretValuesConflict(pulumi.RunError):
    """Secret values contradict the patch. The text names the places, and nothing of the values."""

    def __init__(self, cluster: str, places: Sequence[str]) -> None:
        super().__init__(
            "\n".join(
                f"teleportSecretValues.{cluster}.{place}: is not as the access graph's patch needs it; take it out of "
                "the secret values"
                for place in places
            )
        )


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

    emit_merged_values: bool = False
    """Mode `values`: give `merged_values` as well."""

    trust_bundle: pulumi.Input[str] | None = None
    """PEM of the authorities of TAG's certificate; none when Teleport's own trust store covers it."""

    adopt: bool = False
    """Take over a release that runs already. It is then never uninstalled by this stack."""

    audit_log_enabled: bool | None = None
    audit_log_start_date: str | None = None
    """RFC 3339; Teleport takes it once."""

    timeout_seconds: int = 600

    rollout_image: str | None = None
    """Mode `values`: image with kubectl and a shell, by which the owner's rollout is awaited; none, and nothing is."""

    rollout_timeout_seconds: int = 900
    """How long the owner may take."""

    rollout_image_pull_secrets: Sequence[str] = ()

    host_ca_path: str = HOST_CA_PATH
    """Mode `manual`: where the file of the authorities is on auth's hosts, absolute."""


class TeleportCluster(pulumi.ComponentResource):
    """One Teleport cluster that uses the access graph."""

    values: pulumi.Output[Mapping[str, Any]]
    """The user's plain values with the patch."""
    configuration: pulumi.Output[Mapping[str, Any]]
    """The part of auth's `teleport.yaml` that the patch amounts to."""
    files: pulumi.Output[Mapping[str, str]]
    """Mode `manual`: what to place on auth's hosts, content by absolute path."""
    merged_values: pulumi.Output[Mapping[str, Any]] | None
    """Secret: `values` with the secret values merged in; None unless asked for."""
    ready: pulumi.Output[bool]
    """Resolves after the last step."""

    def __init__(self, name: str, args: TeleportClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = TeleportClusterArgs.from_input(args)
        if args.mode not in MODES:
            raise ValueError(f"mode: {args.mode!r} is not one of {', '.join(MODES)}")
        if args.mode == "release" and args.chart is None:
            raise ValueError("chart: is missing; mode 'release' installs it, so pass a chart's name or path")
        if args.mode != "values" and (args.emit_merged_values or args.rollout_image is not None):
            raise ValueError(
                f"mode: {args.mode!r} hands nothing over; emit_merged_values and rollout_image are of 'values'"
            )
        super().__init__("teleport-access-graph:index:TeleportCluster", name, {}, opts)
        # Pulumi does not hand a component's `depends_on` to its children.
        after = list(opts.depends_on or []) if opts is not None else []  # type: ignore[arg-type]
        steps: list[pulumi.Resource] = []

        if args.enabled:
            steps += self._authorities(name, args, after)
        patched = patched_values(args)
        self.values = pulumi.Output.from_input(patched)
        self.configuration = pulumi.Output.from_input(
            {"access_graph": access_graph_configuration(args)} if args.enabled else {}
        )
        files: Any = host_files(args)
        self.files = pulumi.Output.from_input(files)
        self.merged_values = merged_values(args) if args.emit_merged_values else None
        if args.mode == "release":
            steps.append(self._release(name, args, patched, after + steps))
        elif args.mode == "values":
            handed_over = self._handed_over(name, args, after + steps)
            steps.append(handed_over)
            if args.rollout_image is not None:
                steps.append(self._rolled_out(name, args, handed_over))
        if not args.enabled:
            # What auth mounts until it has its own values again, and may read at a start, has the content of before.
            steps += self._authorities(name, args, after + steps)
        if args.enabled and (args.mode == "release" or args.rollout_image is not None):
            steps.append(self._restarted_proxies(name, args, steps[-1]))
        self.ready = pulumi.Output.all(*[step.urn for step in steps]).apply(lambda _: True)
        outputs: dict[str, pulumi.Input[Any]] = {
            "values": self.values,
            "configuration": self.configuration,
            "files": self.files,
        }
        if self.merged_values is not None:
            outputs["merged_values"] = self.merged_values
        self.register_outputs({**outputs, "ready": self.ready})

    def _authorities(
        self, name: str, args: TeleportClusterArgs, after: list[pulumi.Resource]
    ) -> list[kubernetes.core.v1.ConfigMap]:
        """The ConfigMap of the authorities, where there is one."""
        if args.trust_bundle is None or args.mode == "manual":
            return []
        config_map = kubernetes.core.v1.ConfigMap(
            f"{name}-ca",
            metadata={"name": CA_CONFIG_MAP_NAME, "namespace": args.namespace},
            data={CA_KEY: args.trust_bundle},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                # Auth mounts it by name: gone, its next start would hang. Only a release that dies with the stack, or
                # one that has been given back its own values (`enabled: false`), lets it go.
                retain_on_delete=args.enabled and (args.adopt or args.mode != "release"),
            ),
        )
        return [config_map]

    def _handed_over(
        self, name: str, args: TeleportClusterArgs, after: list[pulumi.Resource]
    ) -> kubernetes.core.v1.ConfigMap:
        """The values, where the release's owner finds them while this `up` still waits for the rollout."""
        return kubernetes.core.v1.ConfigMap(
            f"{name}-values",
            metadata={"name": VALUES_CONFIG_MAP_NAME, "namespace": args.namespace},
            # JSON is YAML, and no parser takes one of its words for another thing.
            data={VALUES_KEY: self.values.apply(lambda values: json.dumps(values, indent=2) + "\n")},
            # It goes with the stack: an owner's tool that misses it says so, and leaves a Teleport that runs alone.
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _rolled_out(
        self, name: str, args: TeleportClusterArgs, handed_over: kubernetes.core.v1.ConfigMap
    ) -> OwnersRollout:
        assert args.rollout_image is not None
        return OwnersRollout(
            f"{name}-rollout",
            OwnersRolloutArgs(
                namespace=args.namespace,
                deployment=auth_deployment_name(args.release, args.values),
                values_config_map=handed_over.metadata["name"],
                hand_over=handed_over.metadata.apply(lambda written: written.resource_version or ""),
                endpoint=args.endpoint,
                enabled=args.enabled,
                checksum=access_graph_patch(args).ca_checksum,
                image=args.rollout_image,
                timeout_seconds=args.rollout_timeout_seconds,
                image_pull_secrets=args.rollout_image_pull_secrets,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _release(
        self, name: str, args: TeleportClusterArgs, patched: dict[str, Any], after: list[pulumi.Resource]
    ) -> kubernetes.helm.v3.Release:
        values: pulumi.Input[Mapping[str, Any]] = patched if args.secret_values is None else merged_values(args)
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
        checksum = pulumi.Output.from_input(args.trust_bundle).apply(
            lambda bundle: proxy_checksum(args.endpoint, bundle)
        )
        return kubernetes.apps.v1.DeploymentPatch(
            f"{name}-proxies",
            metadata={"name": proxy_deployment_name(args.release, args.values), "namespace": args.namespace},
            spec={"template": {"metadata": {"annotations": {PROXY_ANNOTATION: checksum}}}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[release]),
        )


def proxy_checksum(endpoint: str, trust_bundle: str | None) -> str:
    """With what the proxies are marked: all that auth's answer to them is made of."""
    return content_checksum(endpoint, trust_bundle or "")


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


def merged_values(args: TeleportClusterArgs) -> pulumi.Output[Mapping[str, Any]]:
    """Secret: the user's plain and secret values with the patch."""

    def merge(secret: Mapping[str, Any]) -> Mapping[str, Any]:
        # Patched again after the merge, so that a list among the secret values cannot drop our entries unseen.
        try:
            return patched_values(args, merge_values(args.values, secret))
        except ValuesConflict as conflict:
            raise SecretValuesConflict(args.cluster, conflict.places) from None

    return pulumi.Output.secret({} if args.secret_values is None else args.secret_values).apply(merge)


def access_graph_configuration(args: TeleportClusterArgs) -> dict[str, Any]:
    """The section `access_graph` of auth's `teleport.yaml`."""
    section = access_graph_patch(args).configuration()
    return {**section, "ca": args.host_ca_path} if args.mode == "manual" and "ca" in section else section


def host_files(args: TeleportClusterArgs) -> dict[str, pulumi.Input[str]]:
    """What auth's hosts need beside it: without a chart nothing mounts the authorities."""
    if args.mode != "manual" or not args.enabled or args.trust_bundle is None:
        return {}
    return {args.host_ca_path: args.trust_bundle}
