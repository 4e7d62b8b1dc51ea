"""The database's network access: its subnet and security groups, and an ingress rule for each client."""

from collections.abc import Sequence
from typing import NamedTuple

import pulumi
from pulumi_aws import rds, vpc

from components.database_args import DatabaseArgs
from components.security_group import SecurityGroup


class Network(NamedTuple):
    subnet_group_name: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    ingress: list[vpc.SecurityGroupIngressRule]
    """Until these rules exist, nobody reaches the instance."""


def make_network(name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions) -> Network:
    """The subnet group, unless an existing one is given, and the security group with its rules."""
    identifier = pulumi.Output.from_input(args.identifier)
    if args.subnet_group_name is not None:
        subnet_group_name = pulumi.Output.from_input(args.subnet_group_name)
    else:
        subnet_group_name = rds.SubnetGroup(
            f"{name}-subnet-group",
            name_prefix=identifier.apply(lambda text: f"{text}-"),
            description="Private subnets of the Teleport Access Graph database",
            subnet_ids=args.subnet_ids,
            tags=args.tags,
            opts=opts,
        ).name
    # No egress rule: PostgreSQL opens no connections, and without a rule the provider removes AWS's allow-all.
    group = SecurityGroup(
        f"{name}-security-group",
        name_prefix=identifier.apply(lambda text: f"{text}-"),
        description="Clients of the Teleport Access Graph database",
        vpc_id=args.vpc_id,
        tags=args.tags,
        opts=opts,
    )

    def rule(
        label: str,
        *,
        security_group: pulumi.Input[str] | None = None,
        prefix_list: str | None = None,
        block: str | None = None,
        formers: Sequence[pulumi.Input[pulumi.Alias]] | None = None,
    ) -> vpc.SecurityGroupIngressRule:
        return vpc.SecurityGroupIngressRule(
            f"{name}-ingress-{label}",
            security_group_id=group.id,
            referenced_security_group_id=security_group,
            prefix_list_id=prefix_list,
            cidr_ipv4=block,
            ip_protocol="tcp",
            from_port=args.port,
            to_port=args.port,
            description="PostgreSQL from Teleport Access Graph",
            tags=args.tags,
            # Not retained, or a client that is no longer named could still get in. `deleted_with` keeps the rule where
            # the group is kept. Elsewhere the engine deletes it with the group: after a `destroy` that did not end, a
            # rule that it had only forgotten would be in the way of an `up`.
            opts=pulumi.ResourceOptions(
                parent=opts.parent,
                deleted_with=group if opts.retain_on_delete else None,
                # AWS accepts rules for two ports side by side. A rule changed in place would shut clients out while the
                # instance and the pods' URI have the former port. So the former rule goes as the last step.
                replace_on_changes=["fromPort", "toPort"],
                aliases=formers,
            ),
        )

    # Named after the client, not its place in the list: AWS refuses a rule that exists already, and a rule that takes
    # the place of another is made, or changed, before the other is deleted.
    places = [
        client if isinstance(client, str) else str(index) for index, client in enumerate(args.client_security_group_ids)
    ]
    ingress = [
        rule(called, security_group=client, formers=_formers(f"{name}-ingress-", called, place, client))
        for called, place, client in zip(
            args.client_security_group_names or places, places, args.client_security_group_ids, strict=True
        )
    ]
    ingress += [rule(client, prefix_list=client) for client in args.client_prefix_list_ids]
    ingress += [rule(client.replace("/", "-"), block=client) for client in args.client_cidrs]
    return Network(subnet_group_name, group.id, ingress)


def _formers(
    prefix: str, called: str, place: str, client: pulumi.Input[str]
) -> list[pulumi.Input[pulumi.Alias]] | None:
    """Former names of the rule in the state: by the client's place, or by the client's id, if the settings had that id
    before they had another stack's output with the same value."""
    if called == place:
        return None
    by_place = pulumi.Alias(name=f"{prefix}{place}")
    if not isinstance(client, pulumi.Output):
        return [by_place]

    async def by_id() -> pulumi.Alias:
        # The state shows names, so a secret id gives none. An id that is not known yet belongs to no existing rule.
        found = None if await client.is_secret() else await client.future()
        return by_place if found is None else pulumi.Alias(name=f"{prefix}{found}")

    return [by_place, pulumi.Output.from_input(by_id())]
