"""The purposes for which somebody accesses a stack's world, and the extent of each."""

from __future__ import annotations

from enum import Enum


class Purpose(str, Enum):
    """Ordered by what they allow."""

    CONSUMER = "consumer"
    """Reads the stack's outputs, from its state."""

    PREVIEW = "preview"
    """Reads, but no Secrets."""

    VALIDATED_PREVIEW = "validated-preview"
    """Also asks the API server for dry runs; a policy of its own denies all real writes."""

    DRIFT = "drift"
    """A preview that refreshes: it also reads Secrets, where Helm keeps its releases."""

    DEPLOY = "deploy"
    """Creates, changes and deletes."""

    @property
    def reads_world(self) -> bool:
        return self is not Purpose.CONSUMER

    @property
    def reads_secrets(self) -> bool:
        return self in (Purpose.DRIFT, Purpose.DEPLOY)

    @property
    def writes(self) -> bool:
        return self is Purpose.DEPLOY
