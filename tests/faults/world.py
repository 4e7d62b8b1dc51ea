"""Compares what a stack has in AWS, Kubernetes and Helm with its state, to find orphans and missing objects.

Reads the live APIs. `database_account` lists the objects in the AWS account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.engine.database_account import objects_of
from tests.engine.stacks import OwnStack, aws

Recorded = Mapping[str, Mapping[str, Any]]

# Resource type -> its kind in `objects_of`, and the output that holds its name there.
_IN_AWS = {
    "aws:rds/instance:Instance": ("instance", "identifier"),
    "aws:rds/subnetGroup:SubnetGroup": ("subnet group", "name"),
    "aws:rds/parameterGroup:ParameterGroup": ("parameter group", "name"),
    "aws:ec2/securityGroup:SecurityGroup": ("security group", "name"),
    "aws:rds/eventSubscription:EventSubscription": ("event subscription", "name"),
    "aws:sns/topic:Topic": ("topic", "name"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("alarm", "name"),
    "aws:iam/role:Role": ("role", "name"),
    "aws:cloudwatch/logGroup:LogGroup": ("log group", "name"),
    "aws:kms/alias:Alias": ("key alias", "name"),
    "aws:kms/key:Key": ("key", "arn"),
}
_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
_POLICY = "aws:iam/rolePolicy:RolePolicy"
_ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
_KINDS = (
    "configmaps,secrets,services,serviceaccounts,jobs.batch,cronjobs.batch,roles,rolebindings,networkpolicies,"
    "deployments.apps"
)


def in_aws(stack: OwnStack) -> dict[str, list[str]]:
    """All of the stack's objects in the account, kind -> names. Rules and policies are found by what they belong to."""
    found = objects_of(stack, stack.identifier)
    ec2, iam = aws(stack, "ec2"), aws(stack, "iam")
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] in found.get("security group", []):
            filters = [{"Name": "group-id", "Values": [group["GroupId"]]}]
            rules = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
            found["ingress rule"] = sorted(
                [*found.get("ingress rule", []), *(rule["SecurityGroupRuleId"] for rule in rules)]
            )
    for role in found.get("role", []):
        names = [f"{role}:{name}" for name in iam.list_role_policies(RoleName=role)["PolicyNames"]]
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        names += [f"{role}/{policy['PolicyArn']}" for policy in attached]
        found["role policy"] = sorted([*found.get("role policy", []), *names])
    return {kind: names for kind, names in found.items() if names}


def recorded_in_aws(recorded: Recorded) -> dict[str, list[str]]:
    """Like `in_aws`, from the state."""
    found: dict[str, list[str]] = {}
    for resource in recorded.values():
        kind = resource["type"]
        if kind in _IN_AWS:
            label, output = _IN_AWS[kind]
            name = str(resource["outputs"][output])
            found.setdefault(label, []).append(name.removeprefix("/aws/rds/instance/").removeprefix("alias/"))
        elif kind == _RULE:
            found.setdefault("ingress rule", []).append(resource["id"])
        elif kind in (_POLICY, _ATTACHMENT):
            found.setdefault("role policy", []).append(resource["id"])
    return {kind: sorted(names) for kind, names in found.items()}


def in_kubernetes(stack: OwnStack) -> list[str]:
    """`<Kind> <namespace>/<name>` of what the Kubernetes plugin made in the stack's namespace, and the namespace."""
    found = []
    if stack.get("namespace", stack.namespace, "--ignore-not-found"):
        found.append(f"Namespace {stack.namespace}")
    listed = stack.get(_KINDS, "--namespace", stack.namespace, "--show-managed-fields").get("items", [])
    for item in listed:
        managers = {str(entry.get("manager", "")) for entry in item["metadata"].get("managedFields", [])}
        if any(manager.startswith("pulumi") for manager in managers):
            found.append(f"{item['kind']} {stack.namespace}/{item['metadata']['name']}")
    return sorted(found)


def recorded_in_kubernetes(stack: OwnStack, recorded: Recorded) -> list[str]:
    """Like `in_kubernetes`, from the state, but without releases, which are Helm's."""
    found = []
    for resource in recorded.values():
        kind = str(resource["type"])
        identity = str(resource.get("id"))
        own = identity == stack.namespace or identity.startswith(f"{stack.namespace}/")
        if kind.startswith("kubernetes:") and not kind.startswith("kubernetes:helm.sh/") and own:
            found.append(f"{kind.rpartition(':')[2]} {identity}")
    return sorted(found)


def in_helm(stack: OwnStack) -> dict[str, str]:
    """Name -> status of every release in the stack's namespace, including pending ones."""
    listed = json.loads(stack.helm("list", "--all", "--namespace", stack.namespace, "--output", "json").stdout)
    return {release["name"]: release["status"] for release in listed}


def recorded_in_helm(stack: OwnStack, recorded: Recorded) -> dict[str, str]:
    """Like `in_helm`, from the state: a recorded release has to be deployed."""
    return {
        str(resource["id"]).rpartition("/")[2]: "deployed"
        for resource in recorded.values()
        if str(resource["type"]).startswith("kubernetes:helm.sh/")
        and str(resource["id"]).startswith(f"{stack.namespace}/")
    }


def differences(stack: OwnStack, recorded: Recorded) -> dict[str, tuple[Any, Any]]:
    """Place -> what is there and what the state has, for every place where the two differ."""
    both = {
        "AWS": (in_aws(stack), recorded_in_aws(recorded)),
        "Kubernetes": (in_kubernetes(stack), recorded_in_kubernetes(stack, recorded)),
        "Helm": (in_helm(stack), recorded_in_helm(stack, recorded)),
    }
    return {where: (live, known) for where, (live, known) in both.items() if live != known}
