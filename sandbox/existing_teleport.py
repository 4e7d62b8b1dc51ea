"""The Teleport that runs before the stack comes: installed by Helm with its owner's values, as in a real company.

Owns its first installation and the export of its host CA. From then on the stack owns the release.
"""

from __future__ import annotations

import datetime
import http.client
import json
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from operations.address_book import AddressBook
from sandbox.home import Home
from sandbox.supervisor import SandboxError

CLUSTER = "teleport.example.com"
NAMESPACE = "teleport"
RELEASE = "teleport"
OWN_VOLUME = "session-banner"
OWN_ANNOTATION = "example.com/owner"

# Pods start within moments, but the machine may be busy with the database at the same time.
_TIMEOUT_SECONDS = 180
_EXPORT_SECONDS = 30

# The owner's choices: after the stack's changes, all of them must still be in place.
VALUES: Mapping[str, object] = {
    "clusterName": CLUSTER,
    "chartMode": "standalone",
    "enterprise": True,
    # Nothing assigns addresses to load balancers here.
    "service": {"type": "ClusterIP"},
    "log": {"level": "INFO"},
    "auth": {
        "annotations": {"pod": {OWN_ANNOTATION: "identity-team"}},
        "extraVolumes": [{"name": OWN_VOLUME, "configMap": {"name": OWN_VOLUME}}],
        "extraVolumeMounts": [{"name": OWN_VOLUME, "mountPath": "/var/run/session-banner", "readOnly": True}],
        "teleportConfig": {"auth_service": {"message_of_the_day": "Authorised use only"}},
    },
    "proxy": {"annotations": {"pod": {OWN_ANNOTATION: "identity-team"}}},
}


def values_file(home: Home) -> Path:
    """The values that its owner installed it with."""
    return home.stack / "teleport-installed-with.yaml"


def install(home: Home, chart: Path, environment: Mapping[str, str]) -> bool:
    """Install Teleport unless it is there. True if it was installed now. Raises SandboxError."""
    release = _release(home, environment)
    if release is not None:
        state, revision = release
        if revision > 1 or state == "deployed":
            return False  # now the stack's; `make recover` handles what a killed upgrade left
        # A first installation that was killed or failed has no revision to roll back to.
        _helm(home, environment, "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "60s")
    _apply(home, environment, _surroundings())
    values = values_file(home)
    values.write_text(yaml.safe_dump(dict(VALUES), sort_keys=False))
    arguments = ["install", RELEASE, str(chart), "--namespace", NAMESPACE, "--values", str(values)]
    _helm(home, environment, *arguments, "--wait", "--timeout", f"{_TIMEOUT_SECONDS}s")
    return True


def export_host_authorities(home: Home, target: Path, host: str = f"{RELEASE}.{NAMESPACE}.svc.cluster.local") -> None:
    """Write the host CAs that the running proxy exports, as an operator would by `tctl auth export --type=tls-host`.

    `host` is the proxy's Service.
    """
    deadline = time.monotonic() + _EXPORT_SECONDS
    while True:
        try:
            addresses = AddressBook(path=home.names).resolve(host, 443)
            if not addresses:
                raise OSError(f"no pod stands behind {host}")
            pem = _get(addresses[0], "/webapi/auth/export?type=tls-host")
            break
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"Teleport's proxy does not give its host CA: {error}.\n"
                    f"  remedy: `kubectl --namespace {NAMESPACE} get pods` shows what does not run"
                ) from None
            time.sleep(0.2)
    if not target.exists() or target.read_text() != pem:
        target.write_text(pem)


def _release(home: Home, environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Status and revision, or None if there is no such release."""
    done = subprocess.run(
        [home.bin / "helm", "status", RELEASE, "--namespace", NAMESPACE, "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        if "not found" in done.stderr:
            return None
        raise SandboxError(f"`helm status {RELEASE}` failed: {done.stderr.strip()}")
    status = json.loads(done.stdout)
    return str(status["info"]["status"]), int(status["version"])


def _helm(home: Home, environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run([home.bin / "helm", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SandboxError(
            f"`helm {' '.join(arguments[:2])}` failed: {done.stderr.strip()}\n"
            f"  remedy: `kubectl --namespace {NAMESPACE} get pods,events` and {home.logs}/kubelet.log say why"
        )


def _surroundings() -> list[dict[str, object]]:
    """The namespace, and the objects that the owner's values refer to."""
    metadata = {"namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "identity-team"}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        license_secret(metadata),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": OWN_VOLUME, **metadata},
            "data": {"banner.txt": "Sessions are recorded.\n"},
        },
    ]


def license_secret(metadata: Mapping[str, object]) -> dict[str, object]:
    """The Secret that the chart mounts; `metadata` contains its namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "license", **metadata},
        "stringData": {"license.pem": _license()},
    }


def _license() -> str:
    """A made-up licence in Teleport's form, a certificate with its key: nothing outside the sandbox would accept it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox licence")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (pem + private).decode()


def _apply(home: Home, environment: Mapping[str, str], objects: list[dict[str, object]]) -> None:
    done = subprocess.run(
        [home.bin / "kubectl", "apply", "--server-side", "--force-conflicts", "--filename", "-"],
        input=yaml.safe_dump_all(objects),
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SandboxError(f"`kubectl apply` failed: {done.stderr.strip()}")


def _get(address: tuple[str, int], path: str) -> str:
    # The proxy's certificate is self-signed until its owner replaces it. The connection stays on loopback, to a process
    # of ours, and the program checks the result: a CA, of this cluster, currently valid.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(*address, timeout=5, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode()
    finally:
        connection.close()
    if response.status != 200 or "BEGIN CERTIFICATE" not in body:
        raise OSError(f"{path} answers {response.status}")
    return body
