"""The component provider on the real engine: its schema, and a program that knows nothing of our code but tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.package import COMPONENTS, NAME, VERSION
from sandbox.home import CHECKOUT
from tests.engine.conftest import RunningSandbox
from tests.engine.programs import other_program, write_program

pytestmark = pytest.mark.engine

PROVIDER = CHECKOUT / "provider"
# As a generated SDK does it, in any language: a type token, inputs by their schema's names, and `remote`.
PROGRAM = """
import pulumi


class Certificates(pulumi.ComponentResource):
    def __init__(self, name, inputs):
        outputs = {"caPem": None, "privateKeyPem": None, "trustBundle": None}
        super().__init__("teleport-access-graph:index:Certificates", name, {**inputs, **outputs}, remote=True)


inputs = {
    "dnsNames": [pulumi.Output.from_input("graph.example.com")],
    "caValidityHours": pulumi.Output.from_input(87600),
    "generation": 1,
    "protect": False,
}
certificates = Certificates("graph", inputs)
pulumi.export("authority", certificates.caPem)
pulumi.export("bundle", certificates.trustBundle)
pulumi.export("key", certificates.privateKeyPem)
"""


def test_the_engine_is_told_the_schema(running_sandbox: RunningSandbox) -> None:
    done = running_sandbox.pulumi("package", "get-schema", str(PROVIDER), check=False)
    # An output of one component is a resource of Kubernetes': to look that up, the engine asks that plugin for its own.
    if done.returncode != 0:
        assert "the stand-in for kubernetes has no schema; install the official plugin" in done.stderr
    schema = json.loads(done.stdout)
    assert (schema["name"], schema["version"]) == (NAME, VERSION)
    assert set(schema["resources"]) == {f"{NAME}:index:{component.__name__}" for component in COMPONENTS}


def test_a_program_without_our_code_has_its_certificates(running_sandbox: RunningSandbox, tmp_path: Path) -> None:
    plugins = {"providers": [{"name": NAME, "path": str(PROVIDER)}]}
    directory = write_program(tmp_path / "program", "elsewhere", PROGRAM, plugins=plugins)
    with other_program(running_sandbox, directory) as program:
        program.pulumi("up")
        types = sorted(
            resource["urn"].split("::")[2] for resource in json.loads(program.state())["deployment"]["resources"]
        )
        ours = f"{NAME}:index:Certificates"
        assert [kind for kind in types if kind.startswith(NAME)] == [
            ours,
            f"{ours}$tls:index/certRequest:CertRequest",
            f"{ours}$tls:index/locallySignedCert:LocallySignedCert",
            f"{ours}$tls:index/privateKey:PrivateKey",
            f"{ours}$tls:index/privateKey:PrivateKey",
            f"{ours}$tls:index/selfSignedCert:SelfSignedCert",
        ]
        outputs = program.outputs()
        assert outputs["bundle"] == outputs["authority"]
        assert outputs["authority"].startswith("-----BEGIN CERTIFICATE-----")
        assert outputs["key"] == "[secret]"
        assert "PRIVATE KEY" not in program.state()
        program.pulumi("up", "--expect-no-changes")
