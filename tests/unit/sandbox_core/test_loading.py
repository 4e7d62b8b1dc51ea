"""What a command of the door loads before it says its first word."""

from __future__ import annotations

import pytest

from bench.measuring import python
from sandbox.home import CHECKOUT

pytestmark = pytest.mark.unit

# AWS's stand-in and what talks to it: a second and a half.
UNWANTED = ("moto", "boto", "psycopg", "pulumi")


def test_no_command_waits_for_the_parts_of_the_sandbox() -> None:
    code = f"import sys, sandbox.cli; print([name for name in sys.modules if name.startswith({UNWANTED})])"
    assert python(CHECKOUT, "-c", code).output().strip() == "[]"
