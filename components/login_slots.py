"""The logins of the access graph's database, which of them is in use, and the role that they act as.

A rotation moves from one slot to the other, so that pods from before and after it both have a login that works.
"""

from __future__ import annotations

from typing import NamedTuple

OWNER_ROLE = "access_graph_owner"
"""Owns the database, and cannot log in."""
LOGIN_ROLES = {"a": "access_graph_a", "b": "access_graph_b"}
IAM_ROLE = "access_graph_iam"
ALL_LOGINS = (*LOGIN_ROLES.values(), IAM_ROLE)


def active_slot(rotation: int) -> str:
    """The slot that a generation of the login uses."""
    return "b" if rotation % 2 else "a"


def login_of(*, authentication: str, rotation: int) -> str:
    """The login in use."""
    return IAM_ROLE if authentication == "iam" else LOGIN_ROLES[active_slot(rotation)]


class SlotPassword(NamedTuple):
    """The password of a slot."""

    generation: int
    """Generation that the password is made for, if the slot has none yet or is in use."""
    settled: bool
    """Whether an existing password stays, of whatever generation, because the slot is not in use. Pods may still have
    it from a rotation that failed half way and was rolled back, and need it again when the rotation is repeated."""


def slot_passwords(rotation: int) -> dict[str, SlotPassword]:
    """The password of each slot at `rotation`. Slot `b` is missing until generation 1 makes it."""
    if rotation < 0:
        raise ValueError(f"rotation: {rotation} is negative; generations count up from 0")
    return {
        active_slot(generation): SlotPassword(generation, settled=generation != rotation)
        for generation in range(max(0, rotation - 1), rotation + 1)
    }
