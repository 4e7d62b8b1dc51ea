"""Private registries: every image can be replaced, pinned by digest, and pulled with the registry's credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.access_graph import DEFAULT_IMAGE
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording
from tests.unit.program.stack import configuration, run_program
from tests.unit.settings.cases_tls import EXISTING

pytestmark = pytest.mark.unit

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
REGISTRY = "registry.example.com"


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory: Path = tmp_path_factory.mktemp("mirrored")
    reloader = {"mode": "restarter", "image": f"{REGISTRY}/kubectl@{DIGEST}"}
    config = configuration(directory, tls={**EXISTING, "reloader": reloader})
    (directory / "authorities.pem").write_text(
        config["teleport"][TELEPORT_CLUSTER]["hostAuthorities"]["certificates"][0]
    )
    config["accessGraph"] |= {
        "image": f"{REGISTRY}/access-graph",
        "imageDigest": DIGEST,
        "imagePullSecrets": ["registry"],
        "nodeSelector": {"pool": "identity"},
        "tolerations": [{"key": "pool", "value": "identity", "effect": "NoSchedule"}],
    }
    config["database"]["accessJob"] = {
        "image": f"{REGISTRY}/postgres@{DIGEST}",
        "awsCliImage": f"{REGISTRY}/aws-cli@{DIGEST}",
    }
    return run_program(config, directory)


def pods(stack: Recording) -> dict[str, dict[str, Any]]:
    """The pods that the program, not the chart, creates."""
    found = {name: stack[name].plain("spec.template.spec") for name in ("database-access-job", "database-logins-job")}
    found["restarter"] = stack["certificate-restarter-cron-job"].plain("spec.jobTemplate.spec.template.spec")
    return found


def images(pod: dict[str, Any]) -> list[str]:
    return [container["image"] for container in (*pod.get("initContainers", []), *pod["containers"])]


def test_every_image_is_the_registrys_and_pinned(mirrored: Recording) -> None:
    assert {name: images(pod) for name, pod in pods(mirrored).items()} == {
        "database-access-job": [f"{REGISTRY}/aws-cli@{DIGEST}", f"{REGISTRY}/postgres@{DIGEST}"],
        "database-logins-job": [f"{REGISTRY}/aws-cli@{DIGEST}", f"{REGISTRY}/postgres@{DIGEST}"],
        "restarter": [f"{REGISTRY}/kubectl@{DIGEST}"],
    }


def test_every_pod_is_pulled_and_placed_as_the_access_graphs_own(mirrored: Recording) -> None:
    values = mirrored["access-graph-release"].plain("values")
    expected = {
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "identity"},
        "tolerations": [{"key": "pool", "operator": "Equal", "value": "identity", "effect": "NoSchedule"}],
    }
    assert {key: values[key] for key in expected} == expected
    for name, pod in pods(mirrored).items():
        assert {key: pod.get(key) for key in expected} == expected, name


@pytest.mark.slow
def test_without_credentials_a_pod_names_none(tmp_path: Path) -> None:
    stack = run_program(configuration(tmp_path), tmp_path)
    pod = stack["database-access-job"].plain("spec.template.spec")
    assert not {"imagePullSecrets", "nodeSelector", "tolerations"} & pod.keys()


def values_of(directory: Path, **graph: Any) -> dict[str, Any]:
    config = configuration(directory)
    config["accessGraph"] |= graph
    values: dict[str, Any] = run_program(config, directory)["access-graph-release"].plain("values")
    return values


@pytest.mark.slow
def test_a_digest_names_the_image_alone(tmp_path: Path) -> None:
    """The chart writes `repository:tag`; `tests/charts` checks the resulting image."""
    hexadecimal = DIGEST.removeprefix("sha256:")
    assert values_of(tmp_path, imageDigest=DIGEST)["image"] == {
        "repository": f"{DEFAULT_IMAGE}@sha256",
        "tag": hexadecimal,
    }
    mirrored = values_of(tmp_path, image=f"{REGISTRY}/access-graph", imageDigest=DIGEST)["image"]
    assert mirrored == {"repository": f"{REGISTRY}/access-graph@sha256", "tag": hexadecimal}


@pytest.mark.slow
def test_without_a_digest_the_tag_is_the_charts(tmp_path: Path) -> None:
    assert values_of(tmp_path, image=f"{REGISTRY}/access-graph")["image"] == {"repository": f"{REGISTRY}/access-graph"}
    assert "image" not in values_of(tmp_path)
