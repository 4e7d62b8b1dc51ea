"""The tags of every AWS object of the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.settings.names import STACK_TAG

if TYPE_CHECKING:
    from components.settings import Settings


def stack_tags(settings: Settings) -> dict[str, pulumi.Input[str]]:
    """The user's tags, and one by which everything of this stack is found, orphans included."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{settings.stack}"
    return {**settings.tags, STACK_TAG: stack}
