"""The policy pack on the real engine: in a preview, and on an exported state, without the program or any login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT
from tests.engine.conftest import Finished, RunningSandbox
from tests.engine.stacks import OwnStack, own_stack

pytestmark = pytest.mark.engine

PACK = str(CHECKOUT / "policy")
# Rules that the sandbox violates on purpose, because nothing in it outlives `make down`.
UNPROTECTED = {"stateful-resources-are-protected", "authority-keys-are-protected", "database-is-hard-to-delete"}


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    """A configured stack of which nothing is deployed."""
    with own_stack(running_sandbox, "policy") as configured:
        yield configured


def levels(environment: str) -> str:
    return str(CHECKOUT / "policy" / "levels" / f"{environment}.json")


def said(done: Finished) -> str:
    return done.stdout + done.stderr


def test_what_development_does_without_is_told_and_stops_nothing(stack: OwnStack) -> None:
    done = stack.pulumi("preview", "--policy-pack", PACK, "--policy-pack-config", levels("dev"))
    assert "[mandatory]" not in said(done)
    for rule in UNPROTECTED:
        assert f"[advisory]  {rule}" in said(done)
    assert "deletionProtection is not true" in said(done)


def test_production_would_be_stopped_by_it_before_anything_is_made(stack: OwnStack) -> None:
    done = stack.pulumi("preview", "--policy-pack", PACK, "--policy-pack-config", levels("prod"), check=False)
    assert done.returncode != 0
    for rule in (*UNPROTECTED, "database-has-a-standby"):
        assert f"[mandatory]  {rule}" in said(done)
    assert "Traceback" not in said(done)


def test_a_state_is_judged_without_the_program(stack: OwnStack, tmp_path: Path) -> None:
    """As a security team does with an export. The rules do not need the values that cannot be decrypted."""
    state = tmp_path / "state.json"
    stack.pulumi("up")
    state.write_text(stack.pulumi("stack", "export").stdout)
    arguments = ("policy", "analyze", "--file", str(state), "--policy-pack", PACK, "--policy-pack-config")
    assert "[mandatory]" not in said(stack.pulumi(*arguments, levels("dev")))
    strict = stack.pulumi(*arguments, levels("prod"), check=False)
    assert strict.returncode != 0
    assert "[mandatory]  stateful-resources-are-protected" in said(strict)
