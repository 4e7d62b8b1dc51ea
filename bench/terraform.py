"""The same resources in Terraform's language: written from a deployed stack, planned and applied.

Owns the configuration and the pinned versions of OpenTofu and the providers. They are compiled once per machine from
what Go's module proxy has: the Kubernetes and Helm providers date from 2020, those of tls and random are the ones
inside the sandbox's plugins, and OpenTofu does not speak the protocol of AWS's. The comparison therefore uses a stack
without AWS.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from platform import machine
from typing import Any

from bench.flat_program import SECRET_SIGNATURE, is_provider, resources_of_plugins, snake
from bench.measuring import Command
from sandbox.home import CHECKOUT, Cache
from sandbox.toolchain.tools import BRIDGED_PLUGINS, GoProgram, contents
from tests.engine.go_programs import built

HOST = "terraform.invalid/bench"
VERSION = "1.0.0"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PLATFORM = f"linux_{_ARCHITECTURES.get(machine(), machine())}"
_TYPES = {
    "tls:index/privateKey:PrivateKey": "tls_private_key",
    "tls:index/selfSignedCert:SelfSignedCert": "tls_self_signed_cert",
    "tls:index/certRequest:CertRequest": "tls_cert_request",
    "tls:index/locallySignedCert:LocallySignedCert": "tls_locally_signed_cert",
    "random:index/randomPassword:RandomPassword": "random_password",
    "kubernetes:core/v1:Secret": "kubernetes_secret",
    "kubernetes:core/v1:ConfigMap": "kubernetes_config_map",
    "kubernetes:helm.sh/v3:Release": "helm_release",
}
# Attributes that refer to another resource, with what they refer to.
_REFERENCES = {
    ("tls_self_signed_cert", "private_key_pem"): ("tls_private_key", "private_key_pem"),
    ("tls_cert_request", "private_key_pem"): ("tls_private_key", "private_key_pem"),
    ("tls_locally_signed_cert", "ca_private_key_pem"): ("tls_private_key", "private_key_pem"),
    ("tls_locally_signed_cert", "ca_cert_pem"): ("tls_self_signed_cert", "cert_pem"),
    ("tls_locally_signed_cert", "cert_request_pem"): ("tls_cert_request", "cert_request_pem"),
}


def _provider(name: str, version: str, *replacements: str) -> GoProgram:
    module = f"github.com/hashicorp/terraform-provider-{name}"
    return GoProgram(
        name=f"terraform-provider-{name}",
        title=f"Terraform's provider of {name}",
        version=version,
        module=module,
        package=module,
        expected_seconds=90,
        workspace=f"terraform-provider-{name}",
        # Its go.mod's own replacements, which have no effect here, and the present address of a module whose domain is
        # gone.
        replacements=("vbom.ml/util => github.com/fvbommel/util v0.0.0-20180919145318-efcd4e0f9787", *replacements),
    )


def _bridged(name: str, owner: str) -> GoProgram:
    """A provider from the module whose checksums are kept with the sandbox's plugins."""
    module = f"github.com/{owner}/terraform-provider-{name}"
    sources = BRIDGED_PLUGINS[name].sources
    assert sources is not None
    return replace(_provider(name, contents(sources)), module=module, package=module, sources=sources, replacements=())


OPENTOFU = GoProgram(
    name="tofu",
    title="OpenTofu",
    version="1.12.6",
    module="github.com/opentofu/opentofu",
    package="github.com/opentofu/opentofu/cmd/tofu",
    expected_seconds=240,
    workspace="opentofu",
    replacements=(
        "github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828",
    ),
)
PROVIDERS = {
    "kubernetes": _provider(
        "kubernetes",
        "1.13.4",
        "github.com/go-openapi/spec => github.com/go-openapi/spec v0.19.5",
        "k8s.io/cli-runtime => k8s.io/cli-runtime v0.19.1",
        "k8s.io/client-go => k8s.io/client-go v0.19.1",
        "github.com/Azure/go-autorest/autorest => "
        "github.com/tombuildsstuff/go-autorest/autorest v0.10.1-0.20200416184303-d4e299a3c04a",
    ),
    "helm": _provider(
        "helm",
        "1.3.2",
        "github.com/Azure/go-autorest => github.com/Azure/go-autorest v13.3.3+incompatible",
        # The Helm inside lacks a template function that the charts use.
        "github.com/Masterminds/sprig/v3 => github.com/Masterminds/sprig/v3 v3.2.3",
    ),
    "tls": _bridged("tls", "hashicorp"),
    "random": _bridged("random", "terraform-providers"),
}


class Terraform:
    """A working directory with the configuration, ready to plan and apply."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        cache = Cache.from_environment()
        self._directory = directory
        self._program = built(cache, OPENTOFU)
        mirror = directory / "providers"
        for name, provider in PROVIDERS.items():
            place = mirror / HOST / name / VERSION / PLATFORM
            place.mkdir(parents=True)
            (place / f"{provider.name}_v{VERSION}").symlink_to(built(cache, provider))
        settings = directory / "settings.tfrc"
        settings.write_text(f"provider_installation {{ filesystem_mirror {{ path = {json.dumps(str(mirror))} }} }}\n")
        self._environment = {
            **environment,
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def command(self, *arguments: str) -> Command:
        return Command([self._program, *arguments, "-no-color"], self._directory, self._environment)


@contextmanager
def deployed_by_terraform(
    resources: Mapping[str, Any], directory: Path, environment: Mapping[str, str]
) -> Iterator[Terraform]:
    """Apply the configuration; destroys everything at the end."""
    terraform = Terraform(directory, environment)
    (directory / "main.tf.json").write_text(json.dumps(resources))
    terraform.command("init").output()
    try:
        terraform.command("apply", "-auto-approve").output()
        yield terraform
    finally:
        terraform.command("destroy", "-auto-approve").output()


def configuration(deployment: Mapping[str, Any], namespace: str, kubeconfig: str) -> dict[str, Any]:
    """The deployment's Kubernetes, Helm, tls and random resources in another namespace, with the same references
    between them. Raises KeyError for a type that the old Terraform providers lack."""
    deployed = [one for one in resources_of_plugins(deployment) if not is_provider(one)]
    names = {one["urn"]: re.sub(r"\W", "_", one["urn"].rpartition("::")[2]) for one in deployed}
    types = {one["urn"]: _TYPES[one["type"]] for one in deployed}
    found: dict[str, dict[str, Any]] = {}
    for one in deployed:
        type_ = types[one["urn"]]
        body = _body(type_, _plain(one["inputs"]), namespace)
        for property_, urns in one.get("propertyDependencies", {}).items():
            source, output = _REFERENCES.get((type_, snake(property_)), ("", ""))
            for urn in urns:
                if types.get(urn) == source:
                    body[snake(property_)] = f"${{{source}.{names[urn]}.{output}}}"
        before = sorted(f"{types[urn]}.{names[urn]}" for urn in one.get("dependencies", []) if urn in names)
        found.setdefault(type_, {})[names[one["urn"]]] = {**body, **({"depends_on": before} if before else {})}
    cluster = {"config_path": kubeconfig}
    return {
        "terraform": {
            "required_providers": {name: {"source": f"{HOST}/{name}", "version": VERSION} for name in PROVIDERS}
        },
        "provider": {"kubernetes": cluster, "helm": {"kubernetes": cluster}},
        "resource": found,
    }


def _body(type_: str, inputs: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """The arguments of the resource."""
    if type_ == "helm_release":
        return {
            "name": inputs["name"],
            "namespace": namespace,
            "chart": str((CHECKOUT / inputs["chart"]).resolve()),
            "values": [_literal(json.dumps(inputs["values"]))],
            "wait": True,
            "atomic": True,
            "timeout": inputs["timeout"],
        }
    if type_.startswith("kubernetes_"):
        named = {key: _literal(inputs["metadata"].get(key) or {}) for key in ("labels", "annotations")}
        encoded = inputs.get("data") or {}
        if type_ == "kubernetes_secret":
            encoded = {key: base64.b64decode(value).decode() for key, value in encoded.items()}
        body = {
            "metadata": [{"name": inputs["metadata"]["name"], "namespace": namespace, **named}],
            "data": _literal({**encoded, **inputs.get("stringData", {})}),
        }
        return body | ({"type": inputs["type"]} if "type" in inputs else {})
    body = {snake(key): _literal(value) for key, value in inputs.items()}
    if "subject" in body:
        body["subject"] = [{snake(key): value for key, value in body["subject"].items()}]
    return body


def _plain(value: Any) -> Any:
    """A value of an export with its secrets shown: secrets as plain values, without the plugins' internal keys."""
    if isinstance(value, dict):
        if SECRET_SIGNATURE in value:
            return _plain(json.loads(value["plaintext"]))
        return {key: _plain(item) for key, item in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _literal(value: Any) -> Any:
    """Escapes the value, because Terraform reads templates in strings."""
    return json.loads(json.dumps(value).replace("${", "$${").replace("%{", "%%{"))
