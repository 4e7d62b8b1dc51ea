"""The Teleport role for people who look at the graph, applied through the Teleport operator where that runs.

The operator watches its own namespace (the teleport-cluster chart's `operator.enabled` puts it beside auth). Where
there is no operator, the output `readerRole` has the same role for `tctl create`. Previews do not need the operator's
CRDs.
"""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.arguments import ComponentArgs
from components.handed_on import waiting

# https://goteleport.com/docs/reference/infrastructure-as-code/operator-resources/
API_VERSION = "resources.teleport.dev/v1"
KIND = "TeleportRoleV7"
ROLE_NAME = "access-graph-reader"
RULES = ({"resources": ["access_graph"], "verbs": ["list", "read"]},)


@dataclass(frozen=True, kw_only=True)
class ReaderRoleArgs(ComponentArgs):
    namespace: str
    """The operator's namespace, which is Teleport's."""


class ReaderRole(pulumi.ComponentResource):
    """One Teleport cluster's role. The object's status shows what the operator made of it."""

    role_name: pulumi.Output[str]
    """Name of the role in Teleport."""

    def __init__(self, name: str, args: ReaderRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = ReaderRoleArgs.from_input(args)
        super().__init__("teleport-access-graph:index:ReaderRole", name, {}, waiting(opts))
        role = kubernetes.apiextensions.CustomResource(
            f"{name}-role",
            api_version=API_VERSION,
            kind=KIND,
            metadata={"name": ROLE_NAME, "namespace": args.namespace},
            spec={"allow": {"rules": [dict(rule) for rule in RULES]}},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.role_name = role.metadata["name"]
        self.register_outputs({"role_name": self.role_name})
