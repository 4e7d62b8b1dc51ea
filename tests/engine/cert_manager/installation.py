"""Installs cert-manager in a sandbox's cluster, removes it again, and requests renewals."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sandbox.plugins.kubernetes import kubeconfig
from sandbox.plugins.kubernetes.connection import ApiServer
from sandbox.plugins.kubernetes.kubeconfig import Credentials
from tests.engine.cert_manager.controller import NAMESPACE, CertManager, condition, rfc3339
from tests.engine.conftest import RunningSandbox

HERE = Path(__file__).parent
DEFINITIONS = HERE / "definitions.yaml"
SECONDS = 180


@contextmanager
def cert_manager(sandbox: RunningSandbox) -> Iterator[CertManager]:
    """cert-manager in the sandbox's cluster; removes its objects and definitions at the end."""
    parts = (DEFINITIONS, HERE / "authorization.yaml", HERE / "admission.yaml")
    files = [argument for part in parts for argument in ("--filename", str(part))]
    sandbox.kubectl("apply", *files)
    try:
        sandbox.kubectl("wait", "--for=condition=Established", "--filename", str(DEFINITIONS), f"--timeout={SECONDS}s")
        token = sandbox.kubectl("create", "token", "cert-manager", "--namespace", NAMESPACE, "--duration=8h").stdout
        config, directory = kubeconfig.load(str(sandbox.home.kubeconfig), {})
        administrator = kubeconfig.resolve(config, directory, None, None)
        manager = CertManager(ApiServer(replace(administrator, credentials=Credentials(token=token.strip()))))
        manager.start()
        try:
            yield manager
        finally:
            manager.stop()
            assert manager.failures == []
    finally:
        sandbox.kubectl("delete", *files, "--ignore-not-found", "--wait=true", "--timeout=120s")


def renew(sandbox: RunningSandbox, namespace: str, name: str) -> None:
    """Request a renewal, and wait until the certificate has changed."""
    before = ask(sandbox, namespace, name)
    deadline = time.monotonic() + SECONDS
    while (
        sandbox.get("certificate.cert-manager.io", name, "--namespace", namespace)["status"].get("revision")
        == before["status"].get("revision")  # none if the certificate was found and not issued
    ):
        assert time.monotonic() < deadline, f"{namespace}/{name} was not renewed"
        time.sleep(0.2)


def ask(sandbox: RunningSandbox, namespace: str, name: str) -> dict[str, Any]:
    """Sets the condition, as `cmctl renew` does. Returns the Certificate as it was before."""
    live = sandbox.get("certificate.cert-manager.io", name, "--namespace", namespace)
    kept = [one for one in live["status"]["conditions"] if one["type"] != "Issuing"]
    asked = condition("Issuing", "True", "ManuallyTriggered", "Certificate re-issuance manually triggered")
    asked |= {
        "lastTransitionTime": rfc3339(datetime.now(timezone.utc)),
        "observedGeneration": live["metadata"]["generation"],
    }
    patch = json.dumps({"status": {"conditions": [*kept, asked]}})
    sandbox.kubectl(
        "patch", "certificate.cert-manager.io", name, "--namespace", namespace,
        "--subresource=status", "--type=merge", "--patch", patch,
    )  # fmt: skip
    return live
