"""Runs the commands of docs/environments.md that move an existing environment to another secrets provider and backend.

S3 and KMS are the sandbox's. The program is a small one, because only its state moves.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.home import CHECKOUT
from tests.engine.conftest import COMMAND_SECONDS, RunningSandbox
from tests.engine.programs import write_program
from tests.engine.stacks import aws
from tests.engine.state_in_s3 import state_in_s3, without_a_stack

pytestmark = pytest.mark.engine

BUCKET = "tests-pulumi-state"
CANARY = "canary-0123456789abcdef"
PROGRAM = """
import pulumi

pulumi.export("token", pulumi.Config().require_secret("token"))
"""


def commands(first: str) -> str:
    """The page's block of commands whose first line begins with `first`."""
    page = (CHECKOUT / "docs" / "environments.md").read_text()
    (block,) = [part for part in page.split("\n\n") if part.startswith(f"    {first}")]
    return "\n".join(line.removeprefix("    ") for line in block.splitlines())


@dataclass
class Shell:
    """A terminal in the program's directory, with the outputs of the stack in examples/backend as variables."""

    directory: Path
    variables: dict[str, str]

    def run(self, script: str, **variables: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.directory,
            env={**self.variables, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, script + done.stdout + done.stderr
        return done.stdout

    def token(self) -> str:
        outputs: dict[str, Any] = json.loads(self.run("pulumi stack output --stack staging --json --show-secrets"))
        token: str = outputs["token"]
        return token


@pytest.fixture
def shell(running_sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Shell]:
    """A shell for the environment `staging`, which is deployed with a passphrase on a file backend."""
    local = tmp_path / "states"
    local.mkdir()
    passphrase = "passphrase-of-before"
    with state_in_s3(running_sandbox, BUCKET) as state:
        endpoint = running_sandbox.cloud().url
        shell = Shell(
            write_program(tmp_path / "program", "moving", PROGRAM),
            {
                **without_a_stack(running_sandbox),
                "PULUMI_BACKEND_URL": local.as_uri(),
                # A person would answer the command's question.
                "PULUMI_SKIP_CONFIRMATIONS": "true",
                "passphrase": passphrase,
                # These also have the addresses of the sandbox's S3 and KMS.
                "backend": state.backend(endpoint),
                "key": state.secrets_provider(endpoint),
            },
        )
        before = {"PULUMI_CONFIG_PASSPHRASE": passphrase}
        shell.run("pulumi stack init staging --secrets-provider passphrase", **before)
        shell.run(f"pulumi config set --secret token {CANARY} --stack staging", **before)
        shell.run("pulumi up --stack staging --yes --skip-preview", **before)
        yield shell


def test_the_pages_commands_move_an_environment_and_its_secrets(running_sandbox: RunningSandbox, shell: Shell) -> None:
    configuration = shell.directory / "Pulumi.staging.yaml"
    shell.run(commands("export PULUMI_CONFIG_PASSPHRASE"))
    told = yaml.safe_load(configuration.read_text())
    assert told["secretsprovider"] == shell.variables["key"]
    assert "encryptionsalt" not in told
    # No passphrase is needed any more: KMS decrypts the stack's key.
    assert shell.token() == CANARY

    shell.run(commands("former="))
    s3 = aws(running_sandbox, "s3")
    stored = s3.get_object(Bucket=BUCKET, Key=".pulumi/stacks/moving/staging.json")["Body"].read().decode()
    assert CANARY not in stored
    assert list(Path(shell.variables["PULUMI_BACKEND_URL"].removeprefix("file://")).rglob("staging.json")) == []
    assert configuration.exists()
    assert not (shell.directory / "state.json").exists()
    shell.variables["PULUMI_BACKEND_URL"] = shell.variables["backend"]
    assert shell.token() == CANARY
    shell.run("pulumi preview --stack staging --expect-no-changes")
