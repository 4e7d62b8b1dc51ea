"""The IAM actions that each of the program's AWS resource types needs, and what can limit them.

From the service authorization reference (https://docs.aws.amazon.com/service-authorization/latest/reference/), which
tells what an action can be limited to, and from the calls with which the provider makes, reads, changes and deletes the
type (https://github.com/hashicorp/terraform-provider-aws, internal/service/). Where AWS itself acts for the caller, its
page is cited. The sandbox proves that its own plugin needs no other actions; we have not run them on AWS itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from components.settings.names import STACK_TAG, replica_identifier

Conditions: TypeAlias = dict[str, dict[str, str]]

# Placeholders in ARNs and values, filled from the settings: see `iam.Account`.
MADE_HERE: Conditions = {"StringEquals": {f"aws:ResourceTag/{STACK_TAG}": "{stack_tag}"}}
"""This stack's, by the tag that all of its objects carry."""

MARKED: Conditions = {"StringEquals": {f"aws:RequestTag/{STACK_TAG}": "{stack_tag}"}}
"""Created with that tag."""

MARKED_ANEW: Conditions = {
    **MARKED,
    "StringEqualsIfExists": {f"aws:ResourceTag/{STACK_TAG}": "{stack_tag}"},
}
"""Getting that tag, and without another stack's tag: otherwise retagging would give access to another stack's
objects."""

MADE_HERE_OR_JUST_NOW: Conditions = {"StringEqualsIfExists": {f"aws:ResourceTag/{STACK_TAG}": "{stack_tag}"}}
"""This stack's, or without any stack's tag as far as the service knows yet."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Actions on the same resources under the same conditions."""

    actions: tuple[str, ...]
    on: tuple[str, ...] = ()
    """ARNs with placeholders; empty when AWS can limit the actions to no resource."""
    when: Conditions = field(default_factory=dict)
    why_everywhere: str = ""
    """Why neither a resource nor a condition limits it to the stack."""


@dataclass(frozen=True, kw_only=True)
class TypeActions:
    read: tuple[Grant, ...]
    write: tuple[Grant, ...]


LISTS = "AWS does not limit this action to resources: it lists names and settings of others' objects too"
_SEARCHED = (
    "`recover` looks for what carries the stack's tag, whatever its name: it reads the tags of others' objects too"
)

_UNTAGGED = (
    "what is to be made has no name yet, so the tag may be put on anything without a stack's tag: a {what} could be "
    "given this stack's tag, and would then count as its own"
)
_UNTAGGED_KEYS = _UNTAGGED.format(what="KMS key of the account whose policy leaves that to IAM")
_NEW_KEYS = (
    "KMS may take five minutes until a key's tag counts, and checks before a key exists whether its policy may be "
    "changed: so this also holds for the account's keys without a stack's tag, which could be given this stack's anyway"
)
_UNTAGGED_ASSOCIATIONS = _UNTAGGED.format(what="Pod Identity association of the cluster")
_RDS_SECRETS = (
    "RDS puts a number of its own in the name of a managed master password's secret, so this also allows to have the "
    "secrets of other instances changed; none can be read"
)

# The provider appends a suffix of fixed length to a prefix (https://github.com/hashicorp/terraform-plugin-sdk,
# helper/id). `*` would include the objects of a stack whose identifier begins with this one's.
UNIQUE = "?" * 26
_VPC = "arn:{partition}:ec2:{region}:{account}:vpc/{vpc}"
_SECURITY_GROUP = "arn:{partition}:ec2:{region}:{account}:security-group/*"
_SECURITY_GROUP_RULE = "arn:{partition}:ec2:{region}:{account}:security-group-rule/*"
_KEY = "arn:{partition}:kms:{region}:{account}:key/*"
_BOTH = ("{identifier}", replica_identifier("{identifier}"))
_LOG_GROUPS = tuple(
    f"arn:{{partition}}:logs:{{region}}:{{account}}:log-group:/aws/rds/instance/{name}/*" for name in _BOTH
)
# `database_policies.role_name_prefix` makes the prefix.
_ROLE = f"arn:{{partition}}:iam::{{account}}:role{{role_path}}{{role_prefix}}{UNIQUE}"
# Only when the settings name no boundary: otherwise a role could shed the boundary that must limit it.
_ROLE_WITHOUT_BOUNDARY = f"{_ROLE}{{without_boundary}}"
# A list of this account's, of another's that shares it, or of AWS's own.
_PREFIX_LIST = "arn:{partition}:ec2:{region}:*:prefix-list/{prefix_list}"
_INSTANCES = tuple(f"arn:{{partition}}:rds:{{region}}:{{account}}:db:{name}" for name in _BOTH)
_SUBNET_GROUP = "arn:{partition}:rds:{region}:{account}:subgrp:{subnet_group}"
# The name contains the major version, which an upgrade changes.
_PARAMETER_GROUP = f"arn:{{partition}}:rds:{{region}}:{{account}}:pg:{{identifier}}-postgres??-{UNIQUE}"
_DEFAULT_OPTIONS = "arn:{partition}:rds:{region}:{account}:og:default:*"
_SNAPSHOT = f"arn:{{partition}}:rds:{{region}}:{{account}}:snapshot:{{identifier}}-final-{'?' * 8}"
# Only for a restore from a snapshot.
_LISTED_SNAPSHOTS = "arn:{partition}:rds:{region}:{account}:{restored_snapshot}:*"
_ANY_SNAPSHOT = "arn:{partition}:rds:{region}:{account}:snapshot:*"
_EVENTS = tuple(
    f"arn:{{partition}}:rds:{{region}}:{{account}}:es:{{identifier}}-{label}"
    for label in ("instance", "parameters", "security")
)
_TOPIC = "arn:{partition}:sns:{region}:{account}:{identifier}-database"
_ALARMS = tuple(
    f"arn:{{partition}}:cloudwatch:{{region}}:{{account}}:alarm:{name}-{label}"
    for name in _BOTH
    for label in ("connections", "cpu", "storage")
)
_ASSOCIATIONS = "arn:{partition}:eks:{region}:{account}:podidentityassociation/{eks_cluster}/*"
_EKS_CLUSTER = "arn:{partition}:eks:{region}:{account}:cluster/{eks_cluster}"
# The name that RDS gives the managed master password's secret: see the page below.
_MASTER_SECRET = "arn:{partition}:secretsmanager:{region}:{account}:secret:rds!*"

ACTIONS: dict[str, TypeActions] = {
    "aws:kms/key:Key": TypeActions(
        read=(
            Grant(
                actions=("kms:DescribeKey", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags"),
                on=(_KEY,),
                when=MADE_HERE,
            ),
            # Not for the plugin: `preflight` asks whether the key that the settings name is usable.
            Grant(actions=("kms:DescribeKey", "kms:GetKeyPolicy"), on=("{named_key}",)),
        ),
        write=(
            # A new key has no name to limit this by.
            Grant(actions=("kms:CreateKey",), when=MARKED),
            # https://docs.aws.amazon.com/kms/latest/developerguide/tag-permissions.html
            Grant(actions=("kms:TagResource",), when=MARKED_ANEW, why_everywhere=_UNTAGGED_KEYS),
            # The calls that follow CreateKey at once. CreateKey itself also checks that its caller could change the
            # policy later: https://docs.aws.amazon.com/kms/latest/developerguide/tag-authorization.html,
            # https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
            Grant(
                actions=(
                    "kms:DescribeKey",
                    "kms:EnableKeyRotation",
                    "kms:GetKeyPolicy",
                    "kms:GetKeyRotationStatus",
                    "kms:ListResourceTags",
                    "kms:PutKeyPolicy",
                ),
                on=(_KEY,),
                when=MADE_HERE_OR_JUST_NOW,
                why_everywhere=_NEW_KEYS,
            ),
            # For `recover`, like the lists among the other types' write actions.
            Grant(actions=("kms:ListKeys",), why_everywhere=LISTS),
            Grant(
                actions=(
                    # `up --refresh` restores a key that somebody disabled or scheduled for deletion.
                    "kms:EnableKey",
                    "kms:ScheduleKeyDeletion",
                    "kms:TagResource",
                    "kms:UntagResource",
                    "kms:UpdateKeyDescription",
                ),
                on=(_KEY,),
                when=MADE_HERE,
            ),
        ),
    ),
    "aws:kms/alias:Alias": TypeActions(
        read=(Grant(actions=("kms:ListAliases",), why_everywhere=LISTS),),
        write=(
            Grant(
                actions=("kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"),
                on=("arn:{partition}:kms:{region}:{account}:alias/{identifier}",),
            ),
            # KMS checks the right on the alias and on the key.
            Grant(actions=("kms:DeleteAlias", "kms:UpdateAlias"), on=(_KEY,), when=MADE_HERE),
            Grant(actions=("kms:CreateAlias",), on=(_KEY,), when=MADE_HERE_OR_JUST_NOW, why_everywhere=_NEW_KEYS),
        ),
    ),
    "aws:cloudwatch/logGroup:LogGroup": TypeActions(
        read=(
            Grant(actions=("logs:DescribeLogGroups",), why_everywhere=LISTS),
            Grant(actions=("logs:ListTagsForResource",), on=_LOG_GROUPS),
        ),
        write=(
            Grant(
                actions=(
                    "logs:AssociateKmsKey",
                    "logs:CreateLogGroup",
                    "logs:DeleteLogGroup",
                    "logs:DeleteRetentionPolicy",
                    "logs:DisassociateKmsKey",
                    "logs:PutRetentionPolicy",
                    "logs:TagResource",
                    "logs:UntagResource",
                ),
                on=_LOG_GROUPS,
            ),
        ),
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": TypeActions(
        read=(Grant(actions=("cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"), on=_ALARMS),),
        write=(
            Grant(
                actions=(
                    "cloudwatch:DeleteAlarms",
                    "cloudwatch:PutMetricAlarm",
                    "cloudwatch:TagResource",
                    "cloudwatch:UntagResource",
                ),
                on=_ALARMS,
            ),
        ),
    ),
    "aws:ec2/securityGroup:SecurityGroup": TypeActions(
        read=(Grant(actions=("ec2:DescribeSecurityGroups",), why_everywhere=LISTS),),
        write=(
            Grant(actions=("ec2:CreateSecurityGroup",), on=(_VPC,)),
            Grant(actions=("ec2:CreateSecurityGroup",), on=(_SECURITY_GROUP,), when=MARKED),
            Grant(
                actions=("ec2:CreateTags",),
                on=(_SECURITY_GROUP,),
                when={"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}},
            ),
            Grant(
                actions=(
                    "ec2:CreateTags",
                    "ec2:DeleteSecurityGroup",
                    "ec2:DeleteTags",
                    # AWS gives each new group a rule that allows all outbound traffic; the provider removes it.
                    "ec2:RevokeSecurityGroupEgress",
                ),
                on=(_SECURITY_GROUP,),
                when=MADE_HERE,
            ),
            # Before deleting a group, the provider looks for interfaces that still use it.
            Grant(actions=("ec2:DescribeNetworkInterfaces",), why_everywhere=LISTS),
        ),
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": TypeActions(
        read=(Grant(actions=("ec2:DescribeSecurityGroupRules",), why_everywhere=LISTS),),
        write=(
            Grant(
                actions=(
                    "ec2:AuthorizeSecurityGroupIngress",
                    "ec2:ModifySecurityGroupRules",
                    "ec2:RevokeSecurityGroupIngress",
                ),
                on=(_SECURITY_GROUP,),
                when=MADE_HERE,
            ),
            # Changing a rule that names a list needs a right on the list too; making the rule does not.
            Grant(actions=("ec2:ModifySecurityGroupRules",), on=(_PREFIX_LIST,)),
            Grant(actions=("ec2:AuthorizeSecurityGroupIngress",), on=(_SECURITY_GROUP_RULE,), when=MARKED),
            Grant(
                actions=("ec2:CreateTags",),
                on=(_SECURITY_GROUP_RULE,),
                when={"StringEquals": {"ec2:CreateAction": "AuthorizeSecurityGroupIngress"}},
            ),
            Grant(
                actions=("ec2:CreateTags", "ec2:DeleteTags", "ec2:ModifySecurityGroupRules"),
                on=(_SECURITY_GROUP_RULE,),
                when=MADE_HERE,
            ),
        ),
    ),
    "aws:iam/role:Role": TypeActions(
        read=(Grant(actions=("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"), on=(_ROLE,)),),
        write=(
            Grant(actions=("iam:ListRoles",), why_everywhere=LISTS),
            Grant(
                actions=("iam:ListRoleTags",), on=("arn:{partition}:iam::{account}:role/*",), why_everywhere=_SEARCHED
            ),
            Grant(
                actions=("iam:CreateRole", "iam:PutRolePermissionsBoundary"),
                on=(_ROLE,),
                # Applies when the settings name a boundary; without one a new role may be given any rights: see `iam`.
                when={"StringEquals": {"iam:PermissionsBoundary": "{permissions_boundary}"}},
            ),
            Grant(
                actions=(
                    "iam:DeleteRole",
                    "iam:ListInstanceProfilesForRole",
                    "iam:TagRole",
                    "iam:UntagRole",
                    "iam:UpdateAssumeRolePolicy",
                    "iam:UpdateRole",
                    "iam:UpdateRoleDescription",
                ),
                on=(_ROLE,),
            ),
            Grant(actions=("iam:DeleteRolePermissionsBoundary",), on=(_ROLE_WITHOUT_BOUNDARY,)),
            # To RDS, for its metrics; the right to pass one to EKS is with the associations below.
            Grant(
                actions=("iam:PassRole",),
                on=(_ROLE,),
                when={"StringEquals": {"iam:PassedToService": "monitoring.rds.amazonaws.com"}},
            ),
        ),
    ),
    "aws:iam/rolePolicy:RolePolicy": TypeActions(
        read=(Grant(actions=("iam:GetRolePolicy",), on=(_ROLE,)),),
        write=(Grant(actions=("iam:DeleteRolePolicy", "iam:PutRolePolicy"), on=(_ROLE,)),),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": TypeActions(
        read=(Grant(actions=("iam:ListAttachedRolePolicies",), on=(_ROLE,)),),
        write=(
            Grant(
                actions=("iam:AttachRolePolicy", "iam:DetachRolePolicy"),
                on=(_ROLE,),
                when={
                    "ArnEquals": {
                        "iam:PolicyARN": "arn:{partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
                    }
                },
            ),
        ),
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": TypeActions(
        read=(Grant(actions=("eks:DescribePodIdentityAssociation",), on=(_ASSOCIATIONS,)),),
        write=(
            Grant(actions=("eks:CreatePodIdentityAssociation",), on=(_EKS_CLUSTER,), when=MARKED),
            Grant(
                actions=("eks:TagResource",),
                on=(_ASSOCIATIONS,),
                when=MARKED_ANEW,
                why_everywhere=_UNTAGGED_ASSOCIATIONS,
            ),
            # An association has no name of the stack's either, and the cluster's other associations are other
            # workloads'.
            Grant(
                actions=(
                    "eks:DeletePodIdentityAssociation",
                    "eks:TagResource",
                    "eks:UntagResource",
                    "eks:UpdatePodIdentityAssociation",
                ),
                on=(_ASSOCIATIONS,),
                when=MADE_HERE,
            ),
            # https://docs.aws.amazon.com/eks/latest/userguide/pod-id-association.html
            Grant(
                actions=("iam:PassRole",),
                on=(_ROLE,),
                when={"StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"}},
            ),
        ),
    ),
    "aws:rds/instance:Instance": TypeActions(
        read=(
            # The provider asks by the instance's resource id, which is in no ARN.
            Grant(
                actions=("rds:DescribeDBInstances",),
                on=("arn:{partition}:rds:{region}:{account}:db:*",),
                why_everywhere=LISTS,
            ),
            Grant(actions=("rds:ListTagsForResource",), on=_INSTANCES),
            # Not for the plugin: `preflight` looks for the snapshot of a restore in a list.
            Grant(actions=("rds:DescribeDBSnapshots",), on=(_LISTED_SNAPSHOTS,), why_everywhere=LISTS),
        ),
        write=(
            Grant(
                actions=(
                    "rds:AddTagsToResource",
                    "rds:CreateDBInstance",
                    "rds:CreateDBInstanceReadReplica",
                    "rds:CreateDBSnapshot",
                    "rds:DeleteDBInstance",
                    "rds:ModifyDBInstance",
                    "rds:RebootDBInstance",
                    "rds:RemoveTagsFromResource",
                    "rds:RestoreDBInstanceFromDBSnapshot",
                ),
                on=_INSTANCES,
            ),
            # A restore's source instance may be another stack's, so it gets no other right.
            Grant(actions=("rds:RestoreDBInstanceToPointInTime",), on=(*_INSTANCES, "{restored_instance}")),
            # AWS also checks the rights on the groups that the instance uses.
            Grant(
                actions=(
                    "rds:CreateDBInstance",
                    "rds:CreateDBInstanceReadReplica",
                    "rds:ModifyDBInstance",
                    "rds:RestoreDBInstanceFromDBSnapshot",
                    "rds:RestoreDBInstanceToPointInTime",
                ),
                on=(_SUBNET_GROUP, _PARAMETER_GROUP, _DEFAULT_OPTIONS),
            ),
            Grant(actions=("rds:AddTagsToResource", "rds:CreateDBSnapshot"), on=(_SNAPSHOT,)),
            Grant(actions=("rds:RestoreDBInstanceFromDBSnapshot",), on=(_ANY_SNAPSHOT,)),
            # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html#rds-secrets-manager-permissions
            Grant(
                actions=("secretsmanager:CreateSecret", "secretsmanager:RotateSecret", "secretsmanager:TagResource"),
                on=(_MASTER_SECRET,),
                why_everywhere=_RDS_SECRETS,
            ),
            Grant(
                actions=("kms:Decrypt", "kms:GenerateDataKey"),
                on=("{database_key}", "{foreign_key}"),
                when={"StringEquals": {"kms:ViaService": "secretsmanager.{region}.{dns_suffix}"}},
            ),
            # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Overview.Encryption.Keys.html
            Grant(
                actions=("kms:CreateGrant", "kms:DescribeKey"),
                on=("{storage_key}", "{foreign_key}"),
                when={"StringEquals": {"kms:ViaService": "rds.{region}.{dns_suffix}"}},
            ),
            # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAM.ServiceLinkedRoles.html
            Grant(
                actions=("iam:CreateServiceLinkedRole",),
                on=("arn:{partition}:iam::{account}:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS",),
                when={"StringEquals": {"iam:AWSServiceName": "rds.amazonaws.com"}},
            ),
        ),
    ),
    "aws:rds/subnetGroup:SubnetGroup": TypeActions(
        read=(
            Grant(actions=("rds:DescribeDBSubnetGroups", "rds:ListTagsForResource"), on=(_SUBNET_GROUP,)),
            # Not for the plugin: `preflight` asks whether the subnets are in two zones.
            Grant(actions=("ec2:DescribeSubnets",), why_everywhere=LISTS),
        ),
        write=(
            Grant(
                actions=(
                    "rds:AddTagsToResource",
                    "rds:CreateDBSubnetGroup",
                    "rds:DeleteDBSubnetGroup",
                    "rds:ModifyDBSubnetGroup",
                    "rds:RemoveTagsFromResource",
                ),
                on=(_SUBNET_GROUP,),
            ),
            Grant(
                actions=("rds:DescribeDBSubnetGroups", "rds:ListTagsForResource"),
                on=("arn:{partition}:rds:{region}:{account}:subgrp:*",),
                why_everywhere=_SEARCHED,
            ),
            # RDS inspects the network with the caller's rights. AmazonRDSFullAccess has these actions for it, and more
            # for Outposts.
            Grant(
                actions=(
                    "ec2:DescribeAccountAttributes",
                    "ec2:DescribeAvailabilityZones",
                    "ec2:DescribeInternetGateways",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcs",
                ),
                why_everywhere=LISTS,
            ),
            Grant(actions=("ec2:DescribeVpcAttribute",), on=(_VPC,)),
        ),
    ),
    "aws:rds/parameterGroup:ParameterGroup": TypeActions(
        read=(
            Grant(
                actions=("rds:DescribeDBParameterGroups", "rds:DescribeDBParameters", "rds:ListTagsForResource"),
                on=(_PARAMETER_GROUP,),
            ),
        ),
        write=(
            Grant(
                actions=(
                    "rds:AddTagsToResource",
                    "rds:CreateDBParameterGroup",
                    "rds:DeleteDBParameterGroup",
                    "rds:ModifyDBParameterGroup",
                    "rds:RemoveTagsFromResource",
                    "rds:ResetDBParameterGroup",
                ),
                on=(_PARAMETER_GROUP,),
            ),
            Grant(
                actions=("rds:DescribeDBParameterGroups", "rds:ListTagsForResource"),
                on=("arn:{partition}:rds:{region}:{account}:pg:*",),
                why_everywhere=_SEARCHED,
            ),
        ),
    ),
    "aws:rds/eventSubscription:EventSubscription": TypeActions(
        read=(Grant(actions=("rds:DescribeEventSubscriptions", "rds:ListTagsForResource"), on=_EVENTS),),
        write=(
            Grant(
                actions=(
                    "rds:AddSourceIdentifierToSubscription",
                    "rds:AddTagsToResource",
                    "rds:CreateEventSubscription",
                    "rds:DeleteEventSubscription",
                    "rds:ModifyEventSubscription",
                    "rds:RemoveSourceIdentifierFromSubscription",
                    "rds:RemoveTagsFromResource",
                ),
                on=_EVENTS,
            ),
        ),
    ),
    "aws:sns/topic:Topic": TypeActions(
        read=(Grant(actions=("sns:GetTopicAttributes", "sns:ListTagsForResource"), on=(_TOPIC,)),),
        write=(
            Grant(
                actions=(
                    "sns:CreateTopic",
                    "sns:DeleteTopic",
                    "sns:SetTopicAttributes",
                    "sns:TagResource",
                    "sns:UntagResource",
                ),
                on=(_TOPIC,),
            ),
        ),
    ),
    "aws:sns/topicPolicy:TopicPolicy": TypeActions(
        read=(Grant(actions=("sns:GetTopicAttributes",), on=(_TOPIC,)),),
        write=(Grant(actions=("sns:SetTopicAttributes",), on=(_TOPIC,)),),
    ),
    "aws:sns/topicSubscription:TopicSubscription": TypeActions(
        # SNS checks the right on the topic even when a call names the subscription. From the topic's list the provider
        # learns that a subscription is gone: https://github.com/hashicorp/terraform-provider-aws/pull/42117
        read=(Grant(actions=("sns:GetSubscriptionAttributes", "sns:ListSubscriptionsByTopic"), on=(_TOPIC,)),),
        write=(Grant(actions=("sns:SetSubscriptionAttributes", "sns:Subscribe", "sns:Unsubscribe"), on=(_TOPIC,)),),
    ),
}
