"""Settings of where in AWS's network an instance stands, and who may call it."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from components.settings.database_rules import SUBNET_GROUP
from components.settings.formats import SECURITY_GROUP_ID, SUBNET_ID, VPC_ID, PrefixListId
from components.settings.rules import DISTINCT, Rule, Section, Text, setting, too_few
from components.settings.stack_outputs import or_stack_output, stack_output

# A VPC is no wider, so a wider block takes in other networks.
WIDEST_CLIENT_PREFIX = 16
# RFC 1918; and RFC 6598 and RFC 2544, of which EKS' custom networking takes 100.64.0.0/10 and 198.19.0.0/16 for pods:
# https://aws.amazon.com/about-aws/whats-new/2018/10/amazon-eks-now-supports-additional-vpc-cidr-blocks/
_PRIVATE = tuple(
    ipaddress.IPv4Network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15")
)
FEWEST_SUBNETS = 2


def _network(value: str) -> ipaddress.IPv4Network | None:
    """The block that `value` is, written as AWS writes it: no bits behind the prefix, no mask, no zeros ahead."""
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        return None
    return network if str(network) == value else None


def _is_client_network(value: str) -> bool:
    network = _network(value)
    return (
        network is not None
        and network.prefixlen >= WIDEST_CLIENT_PREFIX
        and any(network.subnet_of(private) for private in _PRIVATE)
    )


def _why_no_client_network(value: str) -> str | None:
    network = _network(value)
    if network is None:
        try:
            loose = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return None
        if loose.version == 6:
            return "is of IPv6, which the instance does not have"
        if "/" not in value:
            return "has no prefix length"
        if loose.network_address != ipaddress.ip_address(value.split("/")[0]):
            return f"has bits set behind its prefix; the block is {loose}"
        return f"is not written as AWS writes the block {loose}"
    if not any(network.subnet_of(private) or network.supernet_of(private) for private in _PRIVATE):
        return "is public, and only the cluster is to reach the database"
    if network.prefixlen < WIDEST_CLIENT_PREFIX:
        return f"is wider than /{WIDEST_CLIENT_PREFIX}, the largest block that is taken"
    return None


CLIENT_CIDR = Rule(
    f"a private IPv4 block of at most /{WIDEST_CLIENT_PREFIX}",
    _is_client_network,
    "give the subnets' own blocks, such as 10.20.4.0/22, or better the clients' security groups",
    _why_no_client_network,
)


def _enough_subnets(values: tuple[str, ...]) -> bool:
    return len(values) >= FEWEST_SUBNETS or any(stack_output(value) for value in values)


class NetworkSettings(Section):
    """Where in AWS's network the instance stands, and who may call it. All of it exists already."""

    vpc_id: Annotated[Text, or_stack_output(VPC_ID)] = setting(
        why="VPC of the instance", example="vpc-0123456789abcdef0"
    )
    subnet_ids: (
        Annotated[
            tuple[Annotated[Text, or_stack_output(SUBNET_ID)], ...],
            Rule(
                f"at least {FEWEST_SUBNETS} subnets",
                _enough_subnets,
                "add a private subnet in another availability zone, which RDS asks for even without multiAz",
                too_few(FEWEST_SUBNETS, "subnets"),
            ),
            DISTINCT,
        ]
        | None
    ) = setting(
        None,
        default_text="exactly one of it and `subnetGroupName`",
        why="private subnets in two zones or more, of which the stack makes a group; a reference may be to a list",
    )
    subnet_group_name: Annotated[Text, SUBNET_GROUP] | None = setting(
        None, why="subnet group that exists; an instance that is adopted stays in its own"
    )
    client_security_group_ids: Annotated[tuple[Annotated[Text, or_stack_output(SECURITY_GROUP_ID)], ...], DISTINCT] = (
        setting((), why="security groups of the nodes or pods that TAG and the access Job run on")
    )
    client_prefix_list_ids: Annotated[tuple[PrefixListId, ...], DISTINCT] = setting(
        (), why="managed prefix lists whose addresses may connect"
    )
    client_cidrs: Annotated[tuple[Annotated[Text, CLIENT_CIDR], ...], DISTINCT] = setting(
        (), why="private blocks whose addresses may connect, where pods have no security group of their own"
    )
