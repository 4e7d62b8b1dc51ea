"""A security group of EC2, registered as the SDK's own class does it, without the module that this class stands in.

`pulumi_aws.ec2` is one module of 180 files: half a second and a quarter of the program's memory in each preview, for
one resource. A test holds the two registrations together.
"""

import pulumi
from pulumi_aws import _utilities as sdk

TOKEN = "aws:ec2/securityGroup:SecurityGroup"


class SecurityGroup(pulumi.CustomResource):
    """Without rules of its own: each is a resource beside it."""

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
        # The version of the plugin, as every class of the SDK asks for it.
        opts = pulumi.ResourceOptions.merge(sdk.get_resource_opts_defaults(), opts)
        inputs = {"namePrefix": name_prefix, "description": description, "vpcId": vpc_id, "tags": tags}
        super().__init__(TOKEN, name, inputs, opts)
