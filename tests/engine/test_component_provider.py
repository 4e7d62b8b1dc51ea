"""The component provider on the real engine: its schema, the SDKs made from the schema, and a program that uses one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.package import COMPONENTS, NAME, VERSION
from provider.host import Host
from sandbox.home import CHECKOUT, Cache
from tests.engine.conftest import RunningSandbox
from tests.engine.go_programs import compiled
from tests.engine.programs import other_program, write_program
from tests.engine.wheel import built_wheel, installed
from tests.published import KUBERNETES_PLUGIN, fetched

pytestmark = pytest.mark.engine

PROVIDER = CHECKOUT / "provider"
GENERATOR = Path(__file__).parent / "sdk_generator"
GENERATE_SECONDS = 120
NAMESPACE = "from-an-sdk"
PROGRAM = """
import sys

import pulumi
import pulumi_kubernetes as kubernetes

sys.path.insert(0, {sdk!r})

from pulumi_teleport_access_graph import AccessGraphNamespace, Certificates, Credentials

cluster = kubernetes.Provider("kubernetes", kubeconfig="", context="sandbox", enable_secret_mutable=True)
in_cluster = pulumi.ResourceOptions(providers=[cluster])
namespace = AccessGraphNamespace("namespace", namespace={namespace!r}, opts=in_cluster)
certificates = Certificates(
    "graph",
    dns_names=[pulumi.Output.from_input("graph.example.com")],
    ca_validity_hours=pulumi.Output.from_input(87600),
    generation=1,
    protect=False,
)
credentials = Credentials(
    "credentials",
    namespace=namespace.namespace,
    certificate_pem=certificates.certificate_pem,
    private_key_pem=certificates.private_key_pem,
    digest_key=pulumi.Output.secret("k" * 64),
    database_uri=pulumi.Output.secret("postgresql://tag:{canary}@db.example.com:5432/graph?sslmode=verify-full"),
    opts=in_cluster,
)
pulumi.export("authority", certificates.ca_pem)
pulumi.export("bundle", certificates.trust_bundle)
pulumi.export("key", certificates.private_key_pem)
pulumi.export("secret", credentials.tls_secret_name)
"""
CANARY = "canary-0123456789abcdef"


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDKs that `pulumi package add` makes from our schema, by the CLI's generators: `nodejs`, and `installed` for
    Python."""
    generator = compiled(Cache.from_environment(), GENERATOR, "sdk-generator")
    directory = tmp_path_factory.mktemp("sdk")
    ours = directory / "schema.json"
    ours.write_text(str(Host().schema))
    command = [generator, ours, fetched(KUBERNETES_PLUGIN) / "schema.json", directory]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GENERATE_SECONDS)
    assert done.returncode == 0, done.stderr
    installed(built_wheel(directory / "python", directory), directory / "installed")
    return directory


def test_the_engine_is_told_the_schema(running_sandbox: RunningSandbox, tmp_path: Path) -> None:
    # In a directory outside the checkout, because the engine leaves a copy of a schema that it cannot bind.
    done = running_sandbox.pulumi("package", "get-schema", str(PROVIDER), "--cwd", str(tmp_path), check=False)
    # An output of one component is a Kubernetes resource. To look it up, the engine asks the Kubernetes plugin for its
    # schema.
    if done.returncode != 0:
        assert "the stand-in for kubernetes has no schema; install the official plugin" in done.stderr
    schema = json.loads(done.stdout)
    assert (schema["name"], schema["version"]) == (NAME, VERSION)
    assert set(schema["resources"]) == {f"{NAME}:index:{component.__name__}" for component in COMPONENTS}


def test_every_component_has_its_class_in_an_sdk(sdk: Path) -> None:
    index = (sdk / "nodejs" / "index.ts").read_text()
    for component in COMPONENTS:
        assert f"export type {component.__name__} =" in index
    done = subprocess.run(
        [sys.executable, "-c", "import pulumi_teleport_access_graph as sdk; print(*dir(sdk))"],
        env={**os.environ, "PYTHONPATH": str(sdk / "installed")},
        capture_output=True,
        text=True,
        timeout=GENERATE_SECONDS,
    )
    assert {component.__name__ for component in COMPONENTS} <= set(done.stdout.split()), done.stderr


def test_a_program_with_the_sdk_has_its_certificates_and_secrets(
    running_sandbox: RunningSandbox, sdk: Path, tmp_path: Path
) -> None:
    plugins = {"providers": [{"name": NAME, "path": str(PROVIDER)}]}
    text = PROGRAM.format(sdk=str(sdk / "installed"), namespace=NAMESPACE, canary=CANARY)
    directory = write_program(tmp_path / "program", "elsewhere", text, plugins=plugins)
    with other_program(running_sandbox, directory) as program:
        program.pulumi("up")
        types = sorted(
            resource["urn"].split("::")[2] for resource in json.loads(program.state())["deployment"]["resources"]
        )
        ours = f"{NAME}:index:Certificates"
        assert [kind for kind in types if kind.startswith(ours)] == [
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
        assert CANARY not in program.state()
        made = program.get("secret", outputs["secret"], "--namespace", NAMESPACE)
        assert (made["type"], set(made["data"])) == ("kubernetes.io/tls", {"tls.crt", "tls.key"})
        program.pulumi("up", "--expect-no-changes")
    assert running_sandbox.get("namespace", NAMESPACE, "--ignore-not-found") == {}
