"""The restarter may do only its one task, and does it only when the certificate has changed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.certificate_restarter import ANNOTATION, SCRIPT, CertificateRestarter
from tests.unit.monitor import Recording, record

pytestmark = pytest.mark.unit

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

# Answers `get` from files and records `patch`; like the real kubectl, it prints the fields that the template names.
KUBECTL = """#!/bin/sh
echo "$*" >> "$STATE/calls"
case "$*" in
  "get secret pair --namespace graph --output jsonpath={.data.tls\\.crt}") cat "$STATE/certificate" ;;
  "get deployment tag --namespace graph --output jsonpath={.spec.template.metadata.annotations.ANNOTATION}")
    cat "$STATE/annotation" ;;
  "patch deployment tag --namespace graph --type merge --patch "*)
    for last in "$@"; do :; done; printf '%s' "$last" > "$STATE/patch"; echo patched ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""


def registered(**arguments: Any) -> Recording:
    def program() -> None:
        CertificateRestarter(
            "restarter",
            {
                "namespace": "graph",
                "secret_name": "pair",
                "deployment_name": "tag",
                "image": "kubectl:1",
                **arguments,
            },  # type: ignore[arg-type]
            pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", context="test")]),
        )

    return record(program)


def run_script(state: Path, *, certificate: str | None, annotation: str) -> subprocess.CompletedProcess[str]:
    (state / "bin").mkdir(exist_ok=True)
    kubectl = state / "bin" / "kubectl"
    kubectl.write_text(KUBECTL.replace("ANNOTATION", ANNOTATION))
    kubectl.chmod(0o755)
    (state / "certificate").write_text("" if certificate is None else base64.b64encode(certificate.encode()).decode())
    (state / "annotation").write_text(annotation)
    environment = {
        "PATH": f"{state / 'bin'}:{os.environ['PATH']}",
        "STATE": str(state),
        "NAMESPACE": "graph",
        "SECRET": "pair",
        "DEPLOYMENT": "tag",
    }
    return subprocess.run(
        ["/bin/sh", "-ec", SCRIPT], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def digest(certificate: str) -> str:
    return hashlib.sha256(certificate.encode()).hexdigest()


def test_another_certificate_is_written_to_the_pod_template(tmp_path: Path) -> None:
    done = run_script(tmp_path, certificate=CERTIFICATE, annotation=digest("an older one"))
    assert done.returncode == 0, done.stderr
    patch = json.loads((tmp_path / "patch").read_text())
    assert patch == {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: digest(CERTIFICATE)}}}}}
    assert f"the certificate is another one: {digest(CERTIFICATE)}" in done.stdout


def test_the_same_certificate_changes_nothing(tmp_path: Path) -> None:
    done = run_script(tmp_path, certificate=CERTIFICATE, annotation=digest(CERTIFICATE))
    assert done.returncode == 0
    assert not (tmp_path / "patch").exists()
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_a_deployment_that_was_never_looked_after_gets_its_first_annotation(tmp_path: Path) -> None:
    assert run_script(tmp_path, certificate=CERTIFICATE, annotation="").returncode == 0
    assert (tmp_path / "patch").exists()


def test_a_secret_without_a_certificate_fails_and_restarts_nothing(tmp_path: Path) -> None:
    done = run_script(tmp_path, certificate=None, annotation="")
    assert done.returncode == 1
    assert "Secret pair has no tls.crt" in done.stderr
    assert not (tmp_path / "patch").exists()


def test_an_api_that_refuses_fails_the_look(tmp_path: Path) -> None:
    done = run_script(tmp_path, certificate=CERTIFICATE, annotation="")
    assert done.returncode == 0
    broken = subprocess.run(
        ["/bin/sh", "-ec", SCRIPT],
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "STATE": str(tmp_path), "NAMESPACE": "graph",
             "SECRET": "another", "DEPLOYMENT": "tag"},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert broken.returncode != 0


def test_its_role_is_one_secret_and_one_deployment_by_name() -> None:
    role = registered()["restarter-role"]
    assert role.plain("rules") == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pair"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["tag"], "verbs": ["get", "patch"]},
    ]


def test_only_its_own_pods_get_the_tokens_of_its_own_account() -> None:
    recording = registered()
    account, binding = recording["restarter-account"], recording["restarter-role-binding"]
    assert account.plain("automountServiceAccountToken") is False
    assert binding.plain("subjects") == [
        {"kind": "ServiceAccount", "name": account.plain("metadata.name"), "namespace": "graph"}
    ]
    assert binding.plain("roleRef.name") == recording["restarter-role"].plain("metadata.name")
    assert "restarter-role-binding" in recording.edges()["restarter-cron-job"], "no look before it may look"
    pod = recording["restarter-cron-job"].plain("spec.jobTemplate.spec.template.spec")
    assert pod["serviceAccountName"] == account.plain("metadata.name")
    assert pod["automountServiceAccountToken"] is True


def test_its_pod_fits_the_restricted_standard() -> None:
    pod = registered()["restarter-cron-job"].plain("spec.jobTemplate.spec.template.spec")
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}


def test_it_looks_as_often_as_it_is_told_and_never_twice_at_once() -> None:
    spec = registered(every_minutes=7)["restarter-cron-job"].plain("spec")
    assert spec["schedule"] == "*/7 * * * *"
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 420
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 3)
    job = spec["jobTemplate"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 120), "a look that hangs gives way to the next"
    with pytest.raises(ValueError, match="every_minutes: 60 is not 1 to 59"):
        registered(every_minutes=60)


def test_it_is_placed_where_tag_is() -> None:
    pod = registered(
        image_pull_secrets=["registry"], node_selector={"disk": "ssd"}, tolerations=[{"key": "a", "operator": "Exists"}]
    )["restarter-cron-job"].plain("spec.jobTemplate.spec.template.spec")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "a", "operator": "Exists"}]


def test_the_script_asks_for_the_certificate_alone() -> None:
    assert "tls.key" not in SCRIPT.replace("\\", "")
    assert SCRIPT.count(ANNOTATION) == 2
