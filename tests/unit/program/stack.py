"""Runs the whole program on the recording monitor, with a real host CA made for the test."""

from __future__ import annotations

import datetime
import gc
import os
import runpy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.refusal import ALREADY_SHOWN
from components.short_run import SDK_DEBUG_VARIABLE
from tests.samples import TELEPORT_CLUSTER, minimal_configuration, release_entry
from tests.unit.monitor import COMPUTED_OUTPUTS, PROJECT, STACK, Recording, record

ROOT = Path(__file__).resolve().parents[3]

# The annotations of every Kubernetes object in the recorded stack.
OF_THE_STACK = {"teleport-access-graph/stack": f"organization/{PROJECT}/{STACK}"}

# The user's own values; the merge must not change them.
OWN_VALUES = {
    "clusterName": TELEPORT_CLUSTER,
    "enterprise": True,
    "extraVolumes": [{"name": "corp-ca", "configMap": {"name": "corp-ca"}}],
    "extraVolumeMounts": [{"name": "corp-ca", "mountPath": "/etc/corp"}],
    "annotations": {"pod": {"team": "infra"}},
}


def host_authority(cluster: str = TELEPORT_CLUSTER, lives: datetime.timedelta = datetime.timedelta(days=3650)) -> str:
    """PEM of a CA certificate like those that Teleport issues to itself: CN and O are the cluster's name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, cluster), x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster)]
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + lives)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def values_file(directory: Path, cluster: str = TELEPORT_CLUSTER) -> str:
    """Write a values file for this cluster into `directory`. Returns its name."""
    name = "values.yaml" if cluster == TELEPORT_CLUSTER else f"{cluster}.yaml"
    (directory / name).write_text(yaml.safe_dump({**OWN_VALUES, "clusterName": cluster}))
    return name


SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
# The program parses the authority that it is to trust, so this certificate is real.
COMPUTED = {**COMPUTED_OUTPUTS, SELF_SIGNED: {**COMPUTED_OUTPUTS[SELF_SIGNED], "certPem": host_authority()}}


def configuration(directory: Path, *, entry: dict[str, Any] | None = None, **overrides: Any) -> dict[str, Any]:
    """A configuration of mode rds. Its Teleport entry has a real host CA and values of its own."""
    settings = {
        "valuesFiles": [values_file(directory)],
        "hostAuthorities": {"mode": "inline", "certificates": [host_authority()]},
        **(entry or {}),
    }
    return minimal_configuration(teleport={TELEPORT_CLUSTER: release_entry(**settings)}, **overrides)


def run_program(config: dict[str, Any], directory: Path, **options: Any) -> Recording:
    """Run the program in `directory` as the language host does. Returns what it registered, or raises the error with
    which it refused."""
    before, collecting = Path.cwd(), gc.isenabled()
    os.chdir(directory)
    try:
        # With the SDK's debug messages in the recording, the tests can search those for secrets too.
        with patch.dict(os.environ, {SDK_DEBUG_VARIABLE: "true"}):
            return record(
                lambda: runpy.run_path(str(ROOT / "__main__.py")) and None,
                config=config,
                **{"computed": COMPUTED, **options},
            )
    except SystemExit as ended:
        if ended.code == ALREADY_SHOWN and ended.__cause__ is not None:
            raise ended.__cause__ from None
        raise
    finally:
        # The program turns garbage collection off, since its own process is short-lived.
        if collecting:
            gc.enable()
        os.chdir(before)
