"""What a command of the Makefile's interface imports before it prints its first word."""

from __future__ import annotations

import pytest

from bench.measuring import python
from sandbox.home import CHECKOUT

pytestmark = pytest.mark.unit

# AWS's stand-in and its clients take a second and a half to import.
UNWANTED = ("moto", "boto", "psycopg", "pulumi")


def test_no_command_waits_for_the_parts_of_the_sandbox() -> None:
    code = f"import sys, sandbox.cli; print([name for name in sys.modules if name.startswith({UNWANTED})])"
    assert python(CHECKOUT, "-c", code).output().strip() == "[]"
