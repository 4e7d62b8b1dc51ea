"""A stack with its state in S3 and its secrets encrypted by KMS, with the rights on both that `privileges` writes for
each purpose: the engine may do what it needs to, and a write that the purpose does not need is refused.

S3 and KMS are the sandbox's, behind a gate that enforces the policies. The program is a small one, because it is the
engine that reads and writes the state.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components.settings import RdsDatabaseSettings
from operations.privileges.iam import State, policies
from operations.privileges.purposes import Purpose
from operations.stack import read_stack_file
from sandbox.stack import PROJECT
from tests.engine.conftest import COMMAND_SECONDS, Finished, RunningSandbox
from tests.engine.programs import write_program
from tests.engine.state_gate import StateGate, state_gate
from tests.engine.state_in_s3 import state_in_s3, without_a_stack

pytestmark = pytest.mark.engine

BUCKET = "tests-state-rights"
REFERENCED = 'import pulumi\n\npulumi.export("vpcId", "vpc-1")\n'
PROGRAM = """
import pulumi

pulumi.export("token", pulumi.Output.secret(pulumi.Config().get("token") or "none"))
pulumi.export("vpcId", pulumi.StackReference("organization/network/prod").get_output("vpcId"))
"""


@dataclass
class Backend:
    """The bucket and the key behind the gate, and each purpose's rights on the state in the bucket."""

    sandbox: RunningSandbox
    gate: StateGate
    directory: Path
    backend_url: str
    key: str

    def pulumi(self, program: str, stack: str, *arguments: str, check: bool = True) -> Finished:
        done = subprocess.run(
            ["pulumi", *arguments, "--stack", stack, "--non-interactive"],
            cwd=self.directory / program,
            env={**without_a_stack(self.sandbox), "PULUMI_BACKEND_URL": self.backend_url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0 or not check, f"{done.stdout}{done.stderr}\nrefused: {self.gate.refused}"
        return done

    def initialised(self, program: str, stack: str) -> None:
        self.pulumi(program, stack, "stack", "init", "--secrets-provider", self.key)

    def as_(self, purpose: Purpose, *arguments: str, check: bool = True) -> Finished:
        """Runs a command on the project's stack with the rights for `purpose`."""
        with self.gate.acting(self.rights(purpose)):
            return self.pulumi(PROJECT, self.sandbox.stack_name, *arguments, check=check)

    def rights(self, purpose: Purpose) -> list[dict[str, object]]:
        settings = read_stack_file(self.sandbox.stack_name, self.sandbox.configuration).settings()
        assert isinstance(settings.database, RdsDatabaseSettings)
        network = settings.database.network.model_copy(update={"vpc_id": "stack:organization/network/prod#vpcId"})
        settings = replace(settings, database=settings.database.model_copy(update={"network": network}))
        documents, _ = policies(settings, purpose, state=State(bucket=BUCKET, key_arn=self.gate.key_arn))
        return documents


@pytest.fixture
def backend(running_sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Backend]:
    cloud = running_sandbox.cloud()
    with (
        state_in_s3(running_sandbox, BUCKET) as state,
        state_gate(cloud.url, state.key_arn, cloud.region) as gate,
    ):
        yield Backend(running_sandbox, gate, tmp_path, state.backend(gate.url), state.secrets_provider(gate.url))


def test_each_purpose_reaches_of_the_state_what_it_needs_and_not_more(backend: Backend) -> None:
    write_program(backend.directory / "network", "network", REFERENCED)
    write_program(backend.directory / PROJECT, PROJECT, PROGRAM)
    backend.initialised("network", "prod")
    backend.pulumi("network", "prod", "up", "--yes", "--skip-preview")

    # The deployment may make the stack, and write everything that this takes.
    stack = backend.sandbox.stack_name
    with backend.gate.acting(backend.rights(Purpose.DEPLOY)):
        backend.initialised(PROJECT, stack)
        backend.pulumi(PROJECT, stack, "config", "set", "--secret", "token", "canary")
    backend.as_(Purpose.DEPLOY, "up", "--yes")
    assert any(one.startswith("s3:PutObject") for one in backend.gate.asked)

    backend.as_(Purpose.PREVIEW, "preview", "--expect-no-changes")
    assert any(one.startswith("kms:Decrypt") for one in backend.gate.asked)
    backend.as_(Purpose.VALIDATED_PREVIEW, "preview", "--expect-no-changes")
    backend.as_(Purpose.DRIFT, "preview", "--refresh", "--expect-no-changes")
    read = backend.as_(Purpose.CONSUMER, "stack", "output", "--json", "--show-secrets")
    assert json.loads(read.stdout) == {"token": "canary", "vpcId": "vpc-1"}

    for purpose in (Purpose.PREVIEW, Purpose.VALIDATED_PREVIEW, Purpose.DRIFT, Purpose.CONSUMER):
        refused = backend.as_(purpose, "up", "--yes", "--skip-preview", check=False)
        assert refused.returncode != 0, purpose
        assert any(one.startswith("s3:PutObject") for one in backend.gate.refused), purpose
    with backend.gate.acting(backend.rights(Purpose.DEPLOY)):
        refused = backend.pulumi("network", "prod", "up", "--yes", "--skip-preview", check=False)
    assert refused.returncode != 0
    assert any(one.startswith("s3:PutObject") for one in backend.gate.refused)

    backend.as_(Purpose.DEPLOY, "destroy", "--yes", "--skip-preview")
    backend.pulumi("network", "prod", "destroy", "--yes", "--skip-preview")
