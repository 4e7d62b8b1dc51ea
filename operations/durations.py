"""How long each type of resource takes to create, as AWS's users report of their own applies.

Seconds of a first creation. The reports are lines `Creation complete after ...` of Terraform, which waits for the same
calls as the plugin, in public repositories and issues, read in November 2026. They tell which branch is slow and by how
much; a given account may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Duration:
    seconds: float
    source: str


_LOCAL = Duration(0, "computed where the engine runs")
# One request and its answer.
_CALL = Duration(1, "assumed: one call of an API")
_IDENTITY = Duration(1, "five roles: 0 to 2 s")

DURATIONS: Mapping[str, Duration] = {
    # 3:45, 4:45, 4:45, 4:55, 5:10, 5:15, 5:20, 7:34, 7:42, 7:59, 8:03, 10:12, 12:34, 13:47, 14:02, 15:00, 17:06; with a
    # standby in another zone it is among the last five. hashicorp/terraform issue 1097 has up to half an hour.
    "aws:rds/instance:Instance": Duration(462, "median of 17 instances: 3 min 45 s to 17 min 6 s"),
    "aws:kms/key:Key": Duration(8, "median of five keys: 1 to 38 s"),
    "aws:ec2/securityGroup:SecurityGroup": Duration(3, "median of ten groups: 2 to 6 s"),
    "aws:rds/subnetGroup:SubnetGroup": Duration(2, "one group: 2 s"),
    "aws:cloudwatch/logGroup:LogGroup": Duration(1, "three groups: 0 to 1 s"),
    "aws:iam/role:Role": _IDENTITY,
    "aws:iam/rolePolicy:RolePolicy": _IDENTITY,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _IDENTITY,
    # Pods whose images are pulled and that become ready.
    "kubernetes:helm.sh/v3:Release": Duration(31, "one release that waits: 31 s"),
    "kubernetes:batch/v1:Job": Duration(31, "assumed: as a release, for its pod pulls an image too"),
    "kubernetes:apps/v1:DeploymentPatch": Duration(31, "assumed: as a release, for it awaits the rollout"),
}


def duration(type_: str) -> Duration:
    """The duration for a resource type; that of one call for unknown types."""
    if type_.startswith(("random:", "tls:")):
        return _LOCAL
    return DURATIONS.get(type_, _CALL)


def in_words(seconds: float) -> str:
    """`7 min 42 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
