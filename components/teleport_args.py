"""The arguments of one Teleport cluster, and all that follows from them without a resource: the patched values, auth's
configuration, the files of a host.

Separate from the component, since the checks before anything is registered, and the operations, do not need the
Kubernetes SDK, which takes time to load.
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

# Where the hosts of a Teleport without a chart keep the file. Not /var/run, which is empty after a reboot.
HOST_CA_PATH = "/etc/teleport-access-graph/ca.pem"
PROXY_ANNOTATION = "checksum/access-graph"
# The owner of a release finds the values here, as a file for `helm upgrade --values`.
VALUES_CONFIG_MAP_NAME = "teleport-access-graph-values"
VALUES_KEY = "values.yaml"

MODES = ("release", "values", "manual")


class SecretValuesConflict(pulumi.RunError):
    """Secret values contradict the patch. The message names the places, and no part of the values."""

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
    """Teleport's cluster name, as in the subject of its host CA."""

    mode: str
    """`release`: this stack owns the teleport-cluster release; `values`: another owner applies `values`; `manual`: no
    chart."""

    enabled: bool
    """Whether Teleport uses the access graph. If not, the release has the user's own values alone."""

    endpoint: str
    """`host:port` that auth dials; the host is a name in the server certificate. Plain, since the user's values are
    checked against it."""

    namespace: str = "teleport"
    """Namespace of Teleport; it exists already, because the licence is in it."""

    release: str = "teleport"
    """Name of the teleport-cluster release, at most 53 characters."""

    chart: str | None = None
    """Mode `release`: a chart's name in `repository`, or the path of a packaged chart relative to the program."""

    repository: str | None = None
    """URL of the chart repository; none for a packaged chart."""

    version: str | None = None
    """Exact version of a chart in a repository; none for a packaged chart, which contains its version."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """The user's own values, without the patch."""

    secret_values: pulumi.Input[Mapping[str, Any]] | None = None
    """Secret values, merged over `values`; they make the release's whole values map secret."""

    emit_merged_values: bool = False
    """Mode `values`: whether the output `merged_values` is given as well."""

    trust_bundle: pulumi.Input[str] | None = None
    """PEM of the authorities of TAG's certificate; none when Teleport's own trust store covers it."""

    adopt: bool = False
    """Take over a running release. This stack then never uninstalls it."""

    audit_log_enabled: bool | None = None
    """Whether Teleport exports its audit log to the access graph; when none, the patch does not mention it."""

    audit_log_start_date: str | None = None
    """RFC 3339: the start of that export. Teleport takes it only once; when none, it uses its own default."""

    timeout_seconds: int = 600
    """Mode `release`: how long Helm waits for auth and the proxies."""

    rollout_image: str | None = None
    """Mode `values`: image with kubectl and a shell, for the Job that awaits the owner's rollout; when none, no Job."""

    rollout_timeout_seconds: int = 900
    """How long the owner's rollout may take."""

    rollout_image_pull_secrets: Sequence[str] = ()
    """Names of Secrets in `namespace` with credentials for that image's registry."""

    host_ca_path: str = HOST_CA_PATH
    """Mode `manual`: absolute path of the file with the authorities on auth's hosts."""


def proxy_checksum(endpoint: str, trust_bundle: str | None) -> str:
    """Annotation of the proxies' pods, 64 hexadecimal digits: a digest of everything in auth's answer to them."""
    return content_checksum(endpoint, trust_bundle or "")


def access_graph_patch(args: TeleportClusterArgs) -> AccessGraphPatch:
    """The patch that `args` asks for."""
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
    """`values` (default: the user's own) with the patch, or without it while the access graph is off."""
    values = args.values if values is None else values
    return patch_values(values, access_graph_patch(args)) if args.enabled else own_values(values)


def merged_values(args: TeleportClusterArgs) -> pulumi.Output[Mapping[str, Any]]:
    """Secret: the user's plain and secret values with the patch."""

    def merge(secret: Mapping[str, Any]) -> Mapping[str, Any]:
        merged = merge_values(args.values, secret)
        place, named = cluster_name(merged)
        if named not in (None, args.cluster):
            # Helm would rename the running cluster. The plain values are checked for this before anything is
            # registered.
            raise SecretValuesConflict(args.cluster, [place])
        # Patched again after the merge, because a list among the secret values would silently drop our entries.
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
    """The files that auth's hosts need besides: without a chart nothing mounts the authorities."""
    if args.mode != "manual" or not args.enabled or args.trust_bundle is None:
        return {}
    return {args.host_ca_path: args.trust_bundle}
