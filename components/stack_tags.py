"""What identifies the stack's objects: the stack's full name, and the tags of every AWS object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.settings.names import STACK_TAG

if TYPE_CHECKING:
    from components.settings import Settings


def stack_tags(settings: Settings) -> dict[str, pulumi.Input[str]]:
    """The user's tags, and one that finds everything of this stack, orphans included."""
    return {**settings.tags, STACK_TAG: full_name(settings.stack)}


def full_name(stack: str) -> str:
    """`organization/project/stack`; organization and project are those of the running stack."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
