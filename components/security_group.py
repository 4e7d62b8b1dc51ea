"""A security group of EC2, registered just as the SDK's own class does it, but without loading that class's module.

`pulumi_aws.ec2` is one module of 180 files: in each preview half a second and a quarter of the program's memory, for
one resource. A test compares the two registrations.
"""

import pulumi
from pulumi_aws import _utilities as sdk

TOKEN = "aws:ec2/securityGroup:SecurityGroup"


class SecurityGroup(pulumi.CustomResource):
    """A group without inline rules: each rule is a resource of its own."""

    def __init__(
        self,
        name: str,
        *,
        name_prefix: pulumi.Input[str],
        description: pulumi.Input[str],
        vpc_id: pulumi.Input[str],
        tags: pulumi.Input[dict[str, pulumi.Input[str]]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        # Every class of the SDK asks for the version of its plugin, so this one does too.
        opts = pulumi.ResourceOptions.merge(sdk.get_resource_opts_defaults(), opts)
        inputs = {"namePrefix": name_prefix, "description": description, "vpcId": vpc_id, "tags": tags}
        super().__init__(TOKEN, name, inputs, opts)
