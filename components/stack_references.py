"""Settings whose value is another stack's output: read through the engine and checked as a literal would be.

Owns one StackReference for each stack that is named. Which settings may be references is decided in their sections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.settings.errors import Problem, shown
from components.settings.rules import Rule
from components.settings.stack_outputs import StackOutput, stack_output


class StackOutputError(pulumi.RunError):
    """Another stack's output cannot be used for the setting that refers to it."""


@dataclass(frozen=True)
class _Found:
    value: Any
    secret: bool
    """Whether the other stack marks the value as secret. No error shows a secret, which may be named by mistake."""


class StackReferences:
    """The other stacks that one run refers to. The engine reads each once, in previews too."""

    def __init__(self) -> None:
        self._stacks: dict[str, pulumi.StackReference] = {}

    def text(self, value: str, *, key: str, rule: Rule) -> pulumi.Input[str]:
        """`value` itself, or the output that it refers to, which must be text that `rule` accepts.

        The Output fails with `StackOutputError`, so that nothing is made from a wrong value.
        """
        reference = stack_output(value)
        if reference is None:
            return value
        return self._found(reference, key).apply(lambda found: _checked(found.value, found, reference, key, rule))

    def texts(
        self, values: Sequence[str], *, key: str, rule: Rule, least: int = 1
    ) -> pulumi.Input[list[pulumi.Input[str]]]:
        """A list whose members may each refer to a text or a list of texts. Needs `least` members in all, no two
        equal."""
        if not any(stack_output(value) for value in values):
            return list(values)
        members = [self._members(value, f"{key}[{index}]", rule) for index, value in enumerate(values)]
        return pulumi.Output.all(*members).apply(lambda lists: _joined(lists, key, least))

    def each(self, values: Sequence[str], *, key: str, rule: Rule) -> list[pulumi.Input[str]]:
        """As `text`, for each member of a list, no two of which may be equal; a literal is returned unchanged."""
        if not any(stack_output(value) for value in values):
            return list(values)
        members = [self.text(value, key=f"{key}[{index}]", rule=rule) for index, value in enumerate(values)]
        # Otherwise one secret member would make the others secret.
        joined = pulumi.Output.unsecret(pulumi.Output.all(*members)).apply(
            lambda found: _joined([[value] for value in found], key, 1)
        )
        return [
            member if isinstance(member, str) else pulumi.Output.all(member, joined).apply(lambda both: str(both[0]))
            for member in members
        ]

    def _members(self, value: str, key: str, rule: Rule) -> pulumi.Input[list[str]]:
        reference = stack_output(value)
        if reference is None:
            return [value]
        return self._found(reference, key).apply(
            lambda found: [
                _checked(item, found, reference, key, rule)
                for item in (found.value if isinstance(found.value, list) else [found.value])
            ]
        )

    def _found(self, reference: StackOutput, key: str) -> pulumi.Output[_Found]:
        if reference.stack not in self._stacks:
            # The stack's name is a unique resource name, and tells readers of a preview which stack is read.
            self._stacks[reference.stack] = pulumi.StackReference(reference.stack)
        stack = self._stacks[reference.stack]
        # Read by name, so that one secret output does not make the others secret.
        read = pulumi.Output.all(
            stack.get_output(reference.output),
            stack.get_output(reference.output.split(".")[0]),
            pulumi.Output.unsecret(stack.outputs.apply(sorted)),
        )
        secret: pulumi.Output[bool] = pulumi.Output.from_input(asyncio.ensure_future(read.is_secret()))
        return pulumi.Output.all(read, secret).apply(lambda both: _Found(_at_path(both[0], reference, key), both[1]))


def _at_path(read: Sequence[Any], reference: StackOutput, key: str) -> Any:
    """The output of exactly that name, or else the inner value to which the dotted path leads."""
    whole, part, names = read
    if whole is not None:
        return whole
    for step in reference.output.split(".")[1:]:
        part = part.get(step) if isinstance(part, Mapping) else None
    if part is None:
        known = f"it has {', '.join(names)}" if names else "it has none, so deploy it first or correct its name"
        rule = f"refers to output {reference.output} of {reference.stack}, which is not there"
        raise StackOutputError(str(Problem(key, rule, known)))
    return part


def _checked(value: Any, found: _Found, reference: StackOutput, key: str, rule: Rule) -> str:
    source = f"(output {reference.output} of {reference.stack})"
    if not isinstance(value, str):
        raise StackOutputError(str(Problem(key, f"{source} is not text", f"let that stack export {rule.statement}")))
    if not rule.accepts(value):
        reason = rule.because(value) or f"is not {rule.statement}"
        remedy = "correct that stack's output, or name another one"
        raise StackOutputError(str(Problem(key, f"{source} {reason}", remedy, None if found.secret else shown(value))))
    return value


def _joined(lists: Sequence[Sequence[str]], key: str, least: int) -> list[pulumi.Input[str]]:
    values = [value for members in lists for value in members]
    if len(set(values)) < max(least, len(values)):
        rule = f"has {len(values)} members, and {least} or more are needed, all different"
        remedy = "correct the outputs that it refers to"
        raise StackOutputError(str(Problem(key, rule, remedy)))
    return [*values]
