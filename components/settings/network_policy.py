"""Settings of the network policies: what of the callers and the called the program cannot know by itself."""

from __future__ import annotations

from typing import Annotated

from components.settings.formats import Cidr, KubernetesName
from components.settings.rules import DISTINCT, Section, Switch, WholeNumber, between, setting

_Namespaces = Annotated[tuple[KubernetesName, ...], DISTINCT]
_Cidrs = Annotated[tuple[Cidr, ...], DISTINCT]


class NetworkPolicySettings(Section):
    """NetworkPolicies of TAG's pods and of the stack's Jobs. What is neither known nor said is left open:
    docs/network.md has the tables."""

    enabled: Switch = setting(
        False, why="whether the policies are made; they work only where the cluster's network enforces them"
    )
    client_namespaces: _Namespaces = setting(
        (), why="namespaces whose pods may call TAG, beside the auth and proxies of this cluster's Teleports"
    )
    client_cidrs: _Cidrs = setting((), why="blocks that may call TAG: other clusters, load balancers, agents")
    metrics_namespaces: _Namespaces = setting(
        (), why="namespaces whose pods may read TAG's metrics; left out, every namespace may, if `metrics` is true"
    )
    database_cidrs: _Cidrs = setting(
        (),
        why="blocks of the database's subnets; left out, TAG may call the database's port at every address "
        "(everything, if the port is not known)",
    )
    database_port: Annotated[WholeNumber, between(1, 65535)] | None = setting(
        None,
        default_text="the instance's; 5432 for a database that exists",
        why="port of a database that exists, used with `databaseCidrs`",
    )
    aws_cidrs: _Cidrs = setting(
        (),
        why="blocks with the endpoints of AWS's API that TAG and the access Job call; left out, port 443 of "
        "every address",
    )
    api_server_cidrs: _Cidrs = setting(
        (), why="addresses of the Kubernetes API for the certificate's restarter; left out, it may call anything"
    )
