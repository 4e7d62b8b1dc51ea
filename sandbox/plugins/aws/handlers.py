"""Which code serves which type."""

from __future__ import annotations

from sandbox.plugins.aws import database, identity, network
from sandbox.plugins.aws.handler import Handler

HANDLERS: dict[str, type[Handler]] = {
    "aws:cloudwatch/logGroup:LogGroup": network.LogGroup,
    "aws:ec2/securityGroup:SecurityGroup": network.SecurityGroup,
    "aws:iam/role:Role": identity.Role,
    "aws:iam/rolePolicy:RolePolicy": identity.RolePolicy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": identity.RolePolicyAttachment,
    "aws:kms/alias:Alias": identity.Alias,
    "aws:kms/key:Key": identity.Key,
    "aws:rds/instance:Instance": database.Instance,
    "aws:rds/parameterGroup:ParameterGroup": database.ParameterGroup,
    "aws:rds/subnetGroup:SubnetGroup": database.SubnetGroup,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": network.IngressRule,
}
