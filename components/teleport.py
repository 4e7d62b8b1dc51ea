"""A Teleport cluster's side: the authorities that it has to trust, the patched teleport-cluster release, the restart of
the proxies.

Owns the order: ConfigMap, then auth, then proxies. While the access graph is off, auth comes first, because the graph
may have been on before. `teleport_args` and `teleport_values` (pure) say what the patch contains and how it merges. The
mode tells who owns the release: this stack (`release`), somebody else's Helm (`values`), or nobody, for want of a chart
(`manual`).
"""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.applied import applied, made, unless_left_out
from components.digests import content_checksum
from components.handed_on import asked, waiting
from components.owners_rollout import OwnersRollout, OwnersRolloutArgs
from components.releases import atomic_release
from components.teleport_args import (
    MODES,
    PROXY_ANNOTATION,
    VALUES_CONFIG_MAP_NAME,
    VALUES_KEY,
    TeleportClusterArgs,
    access_graph_configuration,
    access_graph_patch,
    host_files,
    merged_values,
    patched_values,
    proxy_checksum,
)
from components.teleport_values import CA_CONFIG_MAP_NAME, CA_KEY, auth_deployment_name, proxy_deployment_name
from components.values_files import values_document

# The plugin's own default.
LEAST_PATIENCE_SECONDS = 600


class TeleportCluster(pulumi.ComponentResource):
    """One Teleport cluster that uses the access graph."""

    values: pulumi.Output[Mapping[str, Any]]
    """The user's plain values with the patch."""
    configuration: pulumi.Output[Mapping[str, Any]]
    """The part of auth's `teleport.yaml` that the patch produces."""
    files: pulumi.Output[Mapping[str, str]]
    """Mode `manual`: the files to place on auth's hosts, content by absolute path."""
    merged_values: pulumi.Output[Mapping[str, Any]] | None
    """Secret: `values` with the secret values merged in; None unless it was asked for."""
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
        super().__init__("teleport-access-graph:index:TeleportCluster", name, {}, waiting(opts))
        steps: list[pulumi.Resource] = []
        done: list[pulumi.Output[Any]] = []

        authorities = self._authorities(name, args, []) if args.enabled else []
        steps += authorities
        patched = patched_values(args)
        self.values = pulumi.Output.from_input(patched)
        self.configuration = pulumi.Output.from_input(
            {"access_graph": access_graph_configuration(args)} if args.enabled else {}
        )
        files: Any = host_files(args)
        self.files = pulumi.Output.from_input(files)
        self.merged_values = merged_values(args) if args.emit_merged_values else None
        if args.mode == "release":
            release = self._release(name, args, patched, authorities)
            rolled = self._rolled_auth(name, args, release)
            steps += [release, rolled]
            done += [made(release, release.status), made(rolled, rolled.metadata)]
        elif args.mode == "values":
            handed_over = self._handed_over(name, args, list(steps))
            steps.append(handed_over)
            done.append(made(handed_over, handed_over.data))
            if args.rollout_image is not None:
                rollout = self._rolled_out(name, args, handed_over)
                steps.append(rollout)
                done.append(rollout.complete)
        if not args.enabled:
            # Auth mounts the ConfigMap until it has its own values again, and may read it then: so it changes last.
            authorities = self._authorities(name, args, list(steps))
            steps += authorities
        if args.enabled and (args.mode == "release" or args.rollout_image is not None):
            proxies = self._restarted_proxies(name, args, steps[-1])
            done.append(made(proxies, proxies.metadata))
        done += [
            applied(
                f"the ConfigMap {CA_CONFIG_MAP_NAME}",
                args.trust_bundle,
                # Other keys of the ConfigMap belong to others.
                made(config_map, config_map.data).apply(lambda data: (data or {}).get(CA_KEY)),
            )
            for config_map in authorities
        ]
        # The result contains none of these outputs, one of which, if secret, would make the whole ledger secret.
        self.ready = pulumi.Output.unsecret(pulumi.Output.all(*done).apply(lambda _: True))
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
        """The ConfigMap with the authorities, where there is one."""
        if args.trust_bundle is None or args.mode == "manual":
            return []
        config_map = kubernetes.core.v1.ConfigMap(
            f"{name}-ca",
            metadata={"name": CA_CONFIG_MAP_NAME, "namespace": args.namespace},
            data={CA_KEY: args.trust_bundle},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                # Auth mounts it by name, so without it auth's next start would hang. It is deleted only with a release
                # that dies with the stack, or that has its own values back (`enabled: false`). Where nobody waits for
                # the owner's rollout, it is not known whether the owner has given them back.
                retain_on_delete=asked(
                    args.adopt or args.mode != "release"
                    if args.enabled
                    else args.mode == "values" and args.rollout_image is None
                ),
            ),
        )
        return [config_map]

    def _handed_over(
        self, name: str, args: TeleportClusterArgs, after: list[pulumi.Resource]
    ) -> kubernetes.core.v1.ConfigMap:
        """The values in a ConfigMap, so that the release's owner finds them while this `up` waits for the rollout."""
        return kubernetes.core.v1.ConfigMap(
            f"{name}-values",
            metadata={"name": VALUES_CONFIG_MAP_NAME, "namespace": args.namespace},
            data={VALUES_KEY: self.values.apply(values_document)},
            # It goes with the stack: the owner's tool reports that it is missing, and leaves a running Teleport alone.
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
                deployment=auth_deployment_name(args.release),
                values_config_map=handed_over.metadata["name"],
                # In a preview the version is still the old one; after a way back the content is the same as before.
                hand_over=pulumi.Output.all(
                    handed_over.metadata.apply(lambda written: written.resource_version or ""), handed_over.data
                ).apply(lambda written: f"{written[0]} {content_checksum(*written[1].values())}"),
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
        self, name: str, args: TeleportClusterArgs, patched: dict[str, Any], after: list[kubernetes.core.v1.ConfigMap]
    ) -> kubernetes.helm.v3.Release:
        values: pulumi.Input[Mapping[str, Any]] = patched if args.secret_values is None else merged_values(args)
        assert args.chart is not None  # checked in __init__
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
                depends_on=[unless_left_out(one, f"the Teleport release {args.release}") for one in after]
                if args.adopt
                else after,
                import_=f"{args.namespace}/{args.release}" if args.adopt else None,
                # A refresh reads the values from Helm's record, which does not mark secrets.
                additional_secret_outputs=None if args.secret_values is None else ["values"],
                # Otherwise a plain destroy would uninstall a Teleport that was there before this stack.
                retain_on_delete=asked(args.adopt),
            ),
        )

    def _rolled_auth(
        self, name: str, args: TeleportClusterArgs, release: pulumi.Resource
    ) -> kubernetes.apps.v1.DeploymentPatch:
        """Waits for the last pod of auth. Helm waits for all but one of several pods, and that one may still answer the
        proxies. Sets an annotation on the Deployment alone, which restarts nothing; none while the graph is off."""
        metadata: dict[str, Any] = {"name": auth_deployment_name(args.release), "namespace": args.namespace}
        if args.enabled:
            metadata["annotations"] = {PROXY_ANNOTATION: _answer_checksum(args)}
        return self._patched_deployment(f"{name}-auth", args, metadata, None, release)

    def _restarted_proxies(
        self, name: str, args: TeleportClusterArgs, after: pulumi.Resource
    ) -> kubernetes.apps.v1.DeploymentPatch:
        """Proxies ask auth for the access graph only once, at their start: they restart whenever auth's answer
        changes."""
        metadata = {"name": proxy_deployment_name(args.release), "namespace": args.namespace}
        spec = {"template": {"metadata": {"annotations": {PROXY_ANNOTATION: _answer_checksum(args)}}}}
        return self._patched_deployment(f"{name}-proxies", args, metadata, spec, after)

    def _patched_deployment(
        self,
        name: str,
        args: TeleportClusterArgs,
        metadata: Mapping[str, Any],
        spec: Mapping[str, Any] | None,
        after: pulumi.Resource,
    ) -> kubernetes.apps.v1.DeploymentPatch:
        """Done when the Deployment's rollout is complete, whoever began it."""
        waits = args.timeout_seconds if args.mode == "release" else args.rollout_timeout_seconds
        patience = f"{max(LEAST_PATIENCE_SECONDS, waits)}s"
        return kubernetes.apps.v1.DeploymentPatch(
            name,
            metadata=metadata,
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[after],
                # The state holds the whole live Deployment, including what the owner's secret values put into it.
                additional_secret_outputs=None if args.secret_values is None else ["metadata", "spec"],
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
            ),
        )


def _answer_checksum(args: TeleportClusterArgs) -> pulumi.Output[str]:
    return pulumi.Output.from_input(args.trust_bundle).apply(lambda bundle: proxy_checksum(args.endpoint, bundle))
