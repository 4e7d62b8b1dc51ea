"""The rules as policies of Pulumi's SDK.

Owns the translation; the rules themselves know nothing of the SDK.
"""

from __future__ import annotations

from collections.abc import Callable

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy.legible import legible
from policy.rules import Resource, ResourceRule, Rule, StackRule, certificates, database, releases, stack

RULES: tuple[Rule, ...] = (*database.RULES, *releases.RULES, *certificates.RULES, *stack.RULES)


def policies() -> list[Policy]:
    """One policy for each rule, mandatory or advisory as the rule says; `--policy-pack-config` overrides that."""
    return [_resource_policy(rule) if isinstance(rule, ResourceRule) else _stack_policy(rule) for rule in RULES]


def _resource_policy(rule: ResourceRule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: Callable[[str, str | None], None]) -> None:
        if args.resource_type in rule.types:
            for violation in rule.violations(legible(args.props)):
                report(violation, None)

    return ResourceValidationPolicy(
        name=rule.name, description=rule.statement, validate=validate, enforcement_level=_level(rule)
    )


def _stack_policy(rule: StackRule) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: Callable[[str, str | None], None]) -> None:
        for resource, violation in rule.violations([_resource(one) for one in args.resources]):
            report(f"{resource.name} {violation}", resource.urn)

    return StackValidationPolicy(
        name=rule.name, description=rule.statement, validate=validate, enforcement_level=_level(rule)
    )


def _resource(found: PolicyResource) -> Resource:
    return Resource(
        urn=found.urn,
        type=found.resource_type,
        name=found.name,
        properties=found.props,
        protect=found.opts.protect,
        provider=None if found.provider is None else found.provider.name,
        made_from={
            key: frozenset(source.urn for source in sources) for key, sources in found.property_dependencies.items()
        },
    )


def _level(rule: Rule) -> EnforcementLevel:
    return EnforcementLevel.MANDATORY if rule.mandatory else EnforcementLevel.ADVISORY
