"""By what the stack's objects are told from others: its full name, and the tags of every AWS object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.settings.names import STACK_TAG

if TYPE_CHECKING:
    from components.settings import Settings


def stack_tags(settings: Settings) -> dict[str, pulumi.Input[str]]:
    """The user's tags, and one by which everything of this stack is found, orphans included."""
    return {**settings.tags, STACK_TAG: full_name(settings.stack)}


def full_name(stack: str) -> str:
    """`organization/project/stack`, as the engine has it of the stack that runs."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
