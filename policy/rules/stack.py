"""Rules of the whole stack: protection, tags, providers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from policy.rules import Resource, StackRule, given
from policy.rules.certificates import LEAF

STACK_TAG = "teleport-access-graph:stack"

# What cannot be made again: data, the key that decrypts them, and the CA key that every Teleport trusts.
_STATEFUL = frozenset({"aws:rds/instance:Instance", "aws:kms/key:Key"})
_AUTHORITY_KEY = "tls:index/privateKey:PrivateKey"
_SIGNED_WITH = "caPrivateKeyPem"

# Taggable types of this stack.
TAGGED = frozenset(
    {
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "aws:iam/role:Role",
        "aws:kms/key:Key",
        "aws:rds/eventSubscription:EventSubscription",
        "aws:rds/instance:Instance",
        "aws:rds/parameterGroup:ParameterGroup",
        "aws:rds/subnetGroup:SubnetGroup",
        "aws:sns/topic:Topic",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)

# The property that binds an explicit provider to its account or cluster.
_BOUND_BY = {"pulumi:providers:aws": "allowedAccountIds", "pulumi:providers:kubernetes": "clusterIdentifier"}


# The engine's own: `default`, or with a version. A program may name one of its own `default-eu`.
_DEFAULT_PROVIDER = re.compile(r"default(_.*)?")


def stateful_is_protected(resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
    for resource in resources:
        if resource.type in _STATEFUL and not given(resource.properties, "replicateSourceDb") and not resource.protect:
            yield resource, "is not protected: a wrong setting could replace it, and its data with it"


def authorities_are_protected(resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
    """Only keys that sign: one that retires, or has signed nothing yet, is released on purpose."""
    known = list(resources)
    signing = {urn for one in known if one.type in LEAF for urn in one.made_from.get(_SIGNED_WITH, ())}
    for key in known:
        if key.type == _AUTHORITY_KEY and key.urn in signing and not key.protect:
            yield key, "is not protected: without it every Teleport would have to be told of another authority"


def everything_is_tagged(resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
    for resource in resources:
        tags = resource.properties.get("tags") or {} if resource.type in TAGGED else None
        # A text in place of a map: a secret that cannot be decrypted, so nothing is known of its tags.
        if isinstance(tags, Mapping) and not given(tags, STACK_TAG):
            yield resource, f"has no tag {STACK_TAG}: nobody would find it when the state is lost"


def providers_are_explicit(resources: Iterable[Resource]) -> Iterator[tuple[Resource, str]]:
    for resource in resources:
        package = resource.type.partition(":")[0]
        if package in ("aws", "kubernetes") and _DEFAULT_PROVIDER.fullmatch(resource.provider or ""):
            yield resource, "uses a default provider: whatever is configured on the machine would decide where it lands"
        bound_by = _BOUND_BY.get(resource.type)
        if bound_by and not _DEFAULT_PROVIDER.fullmatch(resource.name) and not given(resource.properties, bound_by):
            yield resource, f"has no {bound_by}: the credentials of the machine would decide where its resources land"


RULES = (
    StackRule(
        name="stateful-resources-are-protected",
        statement="The engine refuses to delete the database and its key.",
        violations=stateful_is_protected,
    ),
    StackRule(
        name="authority-keys-are-protected",
        statement="The engine refuses to delete the key of the authority in use.",
        violations=authorities_are_protected,
    ),
    StackRule(
        name="aws-objects-are-tagged",
        statement="Every AWS object says which stack it belongs to.",
        violations=everything_is_tagged,
    ),
    StackRule(
        name="providers-are-explicit",
        statement="Resources reach AWS and Kubernetes by providers that name account and cluster.",
        violations=providers_are_explicit,
    ),
)
