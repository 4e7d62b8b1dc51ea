"""Evaluates IAM policy documents: does a statement allow this action on this resource in this context?

Covers what workloads' policies use. An unknown condition operator never matches, so nothing is allowed by accident.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    action: str
    resource: str = "*"
    principals: Mapping[str, str] = field(default_factory=dict)
    """`Federated`/`AWS` -> the caller; empty for identity policies, which name no principal."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Condition keys, compared case-insensitively."""


def is_allowed(documents: Iterable[str | Mapping[str, Any]], question: Question) -> bool:
    """An explicit deny wins; without an allow the answer is no."""
    allowed = False
    for document in documents:
        parsed = json.loads(document) if isinstance(document, str) else document
        for statement in _list(parsed.get("Statement")):
            if not _applies(statement, question):
                continue
            if statement.get("Effect") == "Deny":
                return False
            allowed = allowed or statement.get("Effect") == "Allow"
    return allowed


def _applies(statement: Mapping[str, Any], question: Question) -> bool:
    if "NotPrincipal" in statement or "NotResource" in statement:
        return statement.get("Effect") == "Deny"
    return (
        _action_matches(statement, question.action)
        and _resource_matches(statement, question.resource)
        and _principal_matches(statement, question.principals)
        and all(
            _condition_holds(operator, key, _list(wanted), question.context)
            for operator, entries in statement.get("Condition", {}).items()
            for key, wanted in entries.items()
        )
    )


def _action_matches(statement: Mapping[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(_wildcard(pattern, action, ignore_case=True) for pattern in _list(statement["NotAction"]))
    return any(_wildcard(pattern, action, ignore_case=True) for pattern in _list(statement.get("Action")))


def _resource_matches(statement: Mapping[str, Any], resource: str) -> bool:
    if "Resource" not in statement:
        # A trust policy always concerns the role it belongs to.
        return True
    return any(_wildcard(pattern, resource) for pattern in _list(statement["Resource"]))


def _principal_matches(statement: Mapping[str, Any], principals: Mapping[str, str]) -> bool:
    if not principals:
        return True
    named = statement.get("Principal")
    if named == "*":
        return True
    if not isinstance(named, Mapping):
        return False
    return any(
        pattern == "*" or pattern == who or _is_account_of(pattern, who)
        for kind, who in principals.items()
        for pattern in _list(named.get(kind))
    )


def _is_account_of(pattern: str, who: str) -> bool:
    """Whether `arn:aws:iam::<account>:root` or a bare account number names the account of `who`."""
    account = re.fullmatch(r"(?:arn:[\w-]+:iam::)?(\d{12})(?::root)?", pattern)
    return account is not None and f"::{account.group(1)}:" in who


def _condition_holds(operator: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool:
    values = {name.lower(): value for name, value in context.items()}
    value = values.get(key.lower())
    if operator.endswith("IfExists"):
        if value is None:
            return True
        operator = operator.removesuffix("IfExists")
    if operator == "Null":
        return any((value is None) == (str(one).lower() == "true") for one in wanted)
    if value is None:
        return False
    tests: dict[str, Callable[[str], bool]] = {
        "StringEquals": lambda one: value == one,
        "StringEqualsIgnoreCase": lambda one: value.lower() == one.lower(),
        "StringLike": lambda one: _wildcard(one, value),
        "ArnEquals": lambda one: _wildcard(one, value),
        "ArnLike": lambda one: _wildcard(one, value),
        "Bool": lambda one: value.lower() == str(one).lower(),
    }
    negated = {
        "StringNotEquals": "StringEquals",
        "StringNotLike": "StringLike",
        "ArnNotEquals": "ArnEquals",
        "ArnNotLike": "ArnLike",
    }
    if operator in negated:
        return not any(tests[negated[operator]](str(one)) for one in wanted)
    if operator in tests:
        return any(tests[operator](str(one)) for one in wanted)
    return False


def _wildcard(pattern: str, value: str, ignore_case: bool = False) -> bool:
    # In IAM only * and ? are special; fnmatch would also interpret [...].
    escaped = pattern.replace("[", "[[]")
    if ignore_case:
        return fnmatch.fnmatchcase(value.lower(), escaped.lower())
    return fnmatch.fnmatchcase(value, escaped)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
