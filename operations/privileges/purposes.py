"""Why somebody reaches a stack's world, and how far each of these reasons goes."""

from __future__ import annotations

from enum import Enum


class Purpose(str, Enum):
    """In the order of what it allows."""

    CONSUMER = "consumer"
    """Reads the stack's outputs, from its state."""

    PREVIEW = "preview"
    """Reads; Secrets it does not."""

    VALIDATED_PREVIEW = "validated-preview"
    """As well asks the API server what it would do (dry runs), and by a policy of its own can write nothing."""

    DRIFT = "drift"
    """A preview that refreshes: it reads Secrets too, where Helm keeps its releases."""

    DEPLOY = "deploy"
    """Makes, changes and deletes."""

    @property
    def reads_world(self) -> bool:
        return self is not Purpose.CONSUMER

    @property
    def reads_secrets(self) -> bool:
        return self in (Purpose.DRIFT, Purpose.DEPLOY)

    @property
    def writes(self) -> bool:
        return self is Purpose.DEPLOY
