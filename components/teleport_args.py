"""What one Teleport cluster is asked for, and what of it needs no resource: the patch with its values, auth's
configuration, the files of a host.

Apart from the component, since the checks before anything is registered, and the operations, do without an SDK of
Kubernetes, which takes its time to load.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.arguments import ComponentArgs
from components.digests import content_checksum
from components.teleport_values import (
    AccessGraphPatch,
    AuditLog,
    ValuesConflict,
    cluster_name,
    own_values,
    patch_values,
)
from components.values_files import merge_values

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
    """Name of the teleport-cluster release, at most 53 characters."""

    chart: str | None = None
    """Mode `release`: a chart's name in `repository`, or the path of a packaged one relative to the program."""

    repository: str | None = None
    """URL of the chart's repository; none for a packaged chart."""

    version: str | None = None
    """Exact version of a chart in a repository; a packaged chart has its own."""

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
    """Whether Teleport exports its audit log to the access graph; none, and the patch says nothing of it."""

    audit_log_start_date: str | None = None
    """RFC 3339: from when on. Teleport takes it once, and its own default when not given."""

    timeout_seconds: int = 600
    """Mode `release`: how long Helm waits for auth and the proxies."""

    rollout_image: str | None = None
    """Mode `values`: image with kubectl and a shell, by which the owner's rollout is awaited; none, and nothing is."""

    rollout_timeout_seconds: int = 900
    """How long the owner may take."""

    rollout_image_pull_secrets: Sequence[str] = ()
    """Names of Secrets in `namespace` with credentials of that image's registry."""

    host_ca_path: str = HOST_CA_PATH
    """Mode `manual`: where the file of the authorities is on auth's hosts, absolute."""


def proxy_checksum(endpoint: str, trust_bundle: str | None) -> str:
    """The mark of the proxies' pods, 64 hexadecimal digits: a digest of all that auth's answer to them is made of."""
    return content_checksum(endpoint, trust_bundle or "")


def access_graph_patch(args: TeleportClusterArgs) -> AccessGraphPatch:
    """What `args` asks for, in the terms of the merge."""
    audit_log = None
    if args.audit_log_enabled is not None:
        audit_log = AuditLog(enabled=args.audit_log_enabled, start_date=args.audit_log_start_date)
    return AccessGraphPatch(
        endpoint=args.endpoint,
        ca_checksum=None
        if args.trust_bundle is None
        else pulumi.Output.from_input(args.trust_bundle).apply(lambda bundle: content_checksum(bundle)),
        audit_log=audit_log,
    )


def patched_values(args: TeleportClusterArgs, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`values` (default: the user's own) with the patch, or as they are when the access graph is off."""
    values = args.values if values is None else values
    return patch_values(values, access_graph_patch(args)) if args.enabled else own_values(values)


def merged_values(args: TeleportClusterArgs) -> pulumi.Output[Mapping[str, Any]]:
    """Secret: the user's plain and secret values with the patch."""

    def merge(secret: Mapping[str, Any]) -> Mapping[str, Any]:
        merged = merge_values(args.values, secret)
        place, named = cluster_name(merged)
        if named not in (None, args.cluster):
            # Helm would rename the cluster that runs; of the plain values it is asked before anything is registered.
            raise SecretValuesConflict(args.cluster, [place])
        # Patched again after the merge, so that a list among the secret values cannot drop our entries unseen.
        try:
            return patched_values(args, merged)
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
