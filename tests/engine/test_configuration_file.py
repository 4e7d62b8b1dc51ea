"""The operations read a configuration file's scalars as the engine does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.engine.conftest import RunningSandbox
from tests.unit.operations.test_engine_yaml import SCALARS, document

pytestmark = pytest.mark.engine


def test_the_engine_says_the_same_of_every_scalar(running_sandbox: RunningSandbox, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: scalars\nruntime: yaml\n")
    (tmp_path / "Pulumi.scalars.yaml").write_text(document("scalars", "o"))
    environment = {**running_sandbox.environment(), "PULUMI_STACK": "scalars"}

    def pulumi(*arguments: str) -> str:
        return subprocess.run(
            [running_sandbox.home.bin / "pulumi", *arguments, "--non-interactive"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    pulumi("stack", "init", "scalars", "--secrets-provider", "passphrase")
    # The original document again: by now the engine has rewritten the file, in a form that is easier to read.
    (tmp_path / "Pulumi.scalars.yaml").write_text(document("scalars", "o"))
    found = json.loads(pulumi("config", "--json"))["scalars:o"]["objectValue"]
    pulumi("stack", "rm", "scalars", "--yes")
    assert [found[f"s{number}"] for number in range(len(SCALARS))] == list(SCALARS.values())
