"""What a command of `python -m operations` loads before it says its first word."""

from __future__ import annotations

import pytest

from bench.measuring import python
from sandbox.home import CHECKOUT

pytestmark = [pytest.mark.unit, pytest.mark.slow]

# Large modules that only a program which registers resources has a use for, and AWS's, which few of the commands ask.
UNWANTED = ("pulumi_kubernetes.", "pulumi_aws.rds", "pulumi_aws.ec2", "boto")


def test_no_command_waits_for_the_sdks_of_resources() -> None:
    code = f"import sys, operations.__main__; print([name for name in sys.modules if name.startswith({UNWANTED})])"
    assert python(CHECKOUT, "-c", code).output().strip() == "[]"
