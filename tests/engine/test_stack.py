"""The whole life of a stack on the real engine, from the first `up` to `destroy`, in an operator's order.

The tests of this module are one story on one sandbox: each begins where the one before it ended.
"""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.existing_teleport import CLUSTER, VALUES
from tests.engine.conftest import RunningSandbox, started_sandbox

pytestmark = pytest.mark.engine

NAMESPACE = "teleport-access-graph"
# `read`, because the stack reads its own earlier outputs, which changes nothing.
QUIET = ("same", "read")
HOST = "teleport-access-graph.teleport-access-graph.svc.cluster.local"


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[RunningSandbox]:
    """A sandbox of the story's own, because the story begins with nothing of the stack deployed."""
    with started_sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def deployed(running_sandbox: RunningSandbox) -> RunningSandbox:
    running_sandbox.pulumi("up")
    return running_sandbox


def changed(sandbox: RunningSandbox, change: Callable[[dict[str, Any]], None]) -> None:
    """Edits the stack's configuration file as a person would; `change` gets the settings without their namespace."""
    document = yaml.safe_load(sandbox.configuration.read_text())
    prefix = "teleport-access-graph:"
    settings = {key.removeprefix(prefix): value for key, value in document["config"].items() if key.startswith(prefix)}
    change(settings)
    document["config"].update({prefix + key: value for key, value in settings.items()})
    sandbox.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def operations(preview: dict[str, Any]) -> dict[str, str]:
    """Name of each resource that a preview changes -> the operation on it."""
    return {step["urn"].rsplit("::", 1)[1]: step["op"] for step in preview["steps"] if step["op"] not in QUIET}


def restarts(sandbox: RunningSandbox, component: str) -> set[str]:
    """Names of Teleport's pods. A pod that is replaced gets another name."""
    selector = f"app.kubernetes.io/component={component}"
    pods = sandbox.get("pods", "--namespace", "teleport", "--selector", selector)["items"]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def tag_pods(sandbox: RunningSandbox) -> set[str]:
    selector = "app.kubernetes.io/name=teleport-access-graph"
    pods = sandbox.get("pods", "--namespace", NAMESPACE, "--selector", selector)["items"]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def restart_teleport(sandbox: RunningSandbox) -> None:
    """Deletes all of Teleport's pods and waits until their successors are ready, as when nodes are drained."""
    for component in ("auth", "proxy"):
        selector = f"app.kubernetes.io/component={component}"
        sandbox.kubectl("delete", "pods", "--namespace", "teleport", "--selector", selector, "--wait=true")
        sandbox.kubectl(
            "rollout", "status", f"deployment/teleport-{component}", "--namespace", "teleport", "--timeout=120s"
        )


def live_values(sandbox: RunningSandbox) -> dict[str, Any]:
    done = sandbox.helm("get", "values", "teleport", "--namespace", "teleport", "--output", "json")
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def secret(sandbox: RunningSandbox, name: str) -> dict[str, str]:
    data = sandbox.get("secret", name, "--namespace", NAMESPACE)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def ours(sandbox: RunningSandbox) -> list[str]:
    """What is in the cluster of the objects that only this stack makes."""
    found = sandbox.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", "name").stdout.split()
    found += sandbox.kubectl(
        "get",
        "configmap",
        "teleport-access-graph-ca",
        "--namespace",
        "teleport",
        "--ignore-not-found",
        "--output",
        "name",
    ).stdout.split()
    proxy = sandbox.get("deployment", "teleport-proxy", "--namespace", "teleport")
    annotations = proxy["spec"]["template"]["metadata"].get("annotations", {})
    return found + [key for key in annotations if "access-graph" in key]


def test_a_preview_before_anything_exists_shows_creations_and_the_adoption(running_sandbox: RunningSandbox) -> None:
    steps = running_sandbox.preview()["steps"]
    adopted = [step["op"] for step in steps if step["urn"].endswith(f"::teleport-{CLUSTER}-release")]
    assert adopted == ["import", "update"]
    others = {step["op"] for step in steps if not step["urn"].endswith(f"::teleport-{CLUSTER}-release")}
    assert others - set(QUIET) == {"create"}


def test_up_makes_everything_and_says_where_it_is(deployed: RunningSandbox) -> None:
    outputs = deployed.outputs()
    assert outputs["outputsVersion"] == 1
    assert outputs["endpoint"] == f"{HOST}:443"
    assert outputs["chartVersion"] == "1.30.2"
    assert outputs["databaseName"] == "access_graph"
    assert len(outputs["hostAuthorityFingerprints"][CLUSTER]) == 1
    assert outputs["ledger"]["authority"] == {"generation": 1, "phase": "stable", "algorithms": {"1": "ECDSA"}}
    assert len(tag_pods(deployed)) == 2


def test_everything_is_proven_from_outside(deployed: RunningSandbox) -> None:
    findings = json.loads(deployed.door("verify", "--json").stdout)["findings"]
    assert len(findings) >= 20
    assert [finding for finding in findings if finding["outcome"] != "pass"] == []


def test_a_second_up_changes_nothing_and_writes_nothing(deployed: RunningSandbox) -> None:
    position = deployed.audit_position()
    requests = deployed.home.logs / "aws-requests.jsonl"
    before = len(requests.read_text().splitlines())
    done = deployed.pulumi("up", "--expect-no-changes")
    assert "unchanged" in done.stdout
    assert deployed.writes(since=position) == []
    later = [json.loads(line) for line in requests.read_text().splitlines()[before:]]
    assert [request["action"] for request in later if request["write"]] == []


def test_a_refresh_finds_no_drift(deployed: RunningSandbox) -> None:
    deployed.pulumi("refresh", "--expect-no-changes")
    assert operations(deployed.preview()) == {}


def test_the_certificates_hold_for_openssl(deployed: RunningSandbox, tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_text(secret(deployed, "teleport-access-graph-tls")["tls.crt"])
    config_map = deployed.get("configmap", "teleport-access-graph-ca", "--namespace", "teleport")
    (tmp_path / "ca.pem").write_text(config_map["data"]["ca.pem"])

    def openssl(*arguments: str) -> str:
        return subprocess.run(
            ["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
        ).stdout

    arguments = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", HOST, "-CAfile", "ca.pem", "leaf.pem"]
    assert openssl("verify", *arguments) == "leaf.pem: OK\n"
    leaf = openssl("x509", "-in", "leaf.pem", "-noout", "-text")
    assert f"DNS:{HOST}" in leaf
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in leaf
    assert "ASN1 OID: prime256v1" in leaf
    authority = openssl("x509", "-in", "ca.pem", "-noout", "-text")
    assert "CA:TRUE" in authority
    assert "Certificate Sign, CRL Sign" in authority


def test_no_secret_is_in_clear_in_the_state_in_helms_records_or_in_logs(deployed: RunningSandbox) -> None:
    uri = secret(deployed, "teleport-access-graph-postgres")["uri"]
    password = uri.split("://", 1)[1].split("@", 1)[0].split(":", 1)[1]
    key_lines = secret(deployed, "teleport-access-graph-tls")["tls.key"].splitlines()[1:2]
    state = deployed.pulumi("stack", "export").stdout
    records = "".join(
        deployed.helm("get", "all", release, "--namespace", namespace).stdout
        for release, namespace in ((NAMESPACE, NAMESPACE), ("teleport", "teleport"))
    )
    logs = "".join(
        path.read_text(errors="replace") for path in deployed.home.logs.iterdir() if path.name != "audit.jsonl"
    )
    for name, text in (("state", state), ("Helm's records", records), ("logs", logs)):
        for canary in (password, *key_lines):
            assert canary not in text, f"a secret is in clear in {name}"
            assert base64.b64encode(canary.encode()).decode().rstrip("=")[:-2] not in text, name


def test_one_setting_touches_one_release(deployed: RunningSandbox) -> None:
    teleport = restarts(deployed, "auth") | restarts(deployed, "proxy")
    changed(deployed, lambda settings: settings["accessGraph"].update(replicas=3))
    assert operations(deployed.preview()) == {"access-graph-release": "update"}
    deployed.pulumi("up")
    assert len(tag_pods(deployed)) == 3
    assert restarts(deployed, "auth") | restarts(deployed, "proxy") == teleport
    changed(deployed, lambda settings: settings["accessGraph"].update(replicas=2))
    deployed.pulumi("up")


def test_a_targeted_run_is_not_remembered_as_what_it_left_out(deployed: RunningSandbox) -> None:
    """Otherwise the next run would believe that the certificate has the new name, and give that name to Teleport."""
    ledger = deployed.outputs()["ledger"]
    state = json.loads(deployed.pulumi("stack", "export").stdout)["deployment"]
    (namespace,) = [item["urn"] for item in state["resources"] if item["urn"].endswith("::namespace-namespace")]
    changed(deployed, lambda settings: settings["tls"].update(extraDnsNames=["graph.example.net"]))
    done = deployed.pulumi("up", "--target", namespace, check=False)
    assert done.returncode != 0
    assert (
        "the server certificate's names: the settings change it, but this run leaves it as it was"
        in done.stdout + done.stderr
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert deployed.outputs()["ledger"] == ledger
    changed(deployed, lambda settings: settings["tls"].pop("extraDnsNames"))
    assert operations(deployed.preview()) == {}


def test_another_login_rolls_the_access_graph_and_nothing_of_teleport(deployed: RunningSandbox) -> None:
    pods, teleport = tag_pods(deployed), restarts(deployed, "auth") | restarts(deployed, "proxy")
    changed(deployed, lambda settings: settings["database"].update(rotation=1))
    deployed.pulumi("up")
    assert secret(deployed, "teleport-access-graph-postgres")["uri"].startswith("postgres://access_graph_b:")
    assert not pods & tag_pods(deployed)
    assert restarts(deployed, "auth") | restarts(deployed, "proxy") == teleport
    assert deployed.outputs()["ledger"]["rotation"] == 1


def test_a_due_certificate_is_renewed_by_a_plain_up(deployed: RunningSandbox, tmp_path: Path) -> None:
    """The test moves the certificate's recorded end into the renewal window, as time would. Teleport keeps running."""
    teleport, pods = restarts(deployed, "auth") | restarts(deployed, "proxy"), tag_pods(deployed)
    before = secret(deployed, "teleport-access-graph-tls")["tls.crt"]
    state = json.loads(deployed.pulumi("stack", "export").stdout)
    (leaf,) = [item for item in state["deployment"]["resources"] if item["urn"].endswith("::certificates-server")]
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=30)
    leaf["outputs"]["validityEndTime"] = soon.strftime("%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "state.json").write_text(json.dumps(state))
    deployed.pulumi("stack", "import", "--file", str(tmp_path / "state.json"))
    steps = {step["urn"].rsplit("::", 1)[1]: step for step in deployed.preview()["steps"] if step["op"] not in QUIET}
    assert steps["certificates-server"]["op"] == "replace"
    assert steps["certificates-server"]["replaceReasons"] == ["readyForRenewal"]
    assert set(steps) == {"certificates-server", "credentials-tls", "access-graph-release"}
    assert deployed.pulumi("preview", "--expect-no-changes", check=False).returncode != 0
    deployed.pulumi("up")
    assert secret(deployed, "teleport-access-graph-tls")["tls.crt"] != before
    assert not pods & tag_pods(deployed)
    assert restarts(deployed, "auth") | restarts(deployed, "proxy") == teleport
    assert operations(deployed.preview()) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda settings: settings["database"].update(backupRetentionDays=0),
            ("database.backupRetentionDays: 0", "1 to 35"),
        ),
        (lambda settings: settings["accessGraph"].update(replica=3), ("accessGraph.replica", "replicas")),
        (
            lambda settings: settings["accessGraph"].update(chart={"path": "charts/absent.tgz"}),
            ("accessGraph.chart.path", "charts/absent.tgz"),
        ),
    ],
    ids=["out-of-range", "misspelt", "absent-chart"],
)
def test_bad_input_is_one_clear_error_and_changes_nothing(
    deployed: RunningSandbox, change: Callable[[dict[str, Any]], None], words: tuple[str, ...]
) -> None:
    good = deployed.configuration.read_text()
    state = deployed.pulumi("stack", "export").stdout
    try:
        changed(deployed, change)
        refused = deployed.pulumi("preview", check=False)
    finally:
        deployed.configuration.write_text(good)
    output = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert all(word in output for word in words), output
    assert "Traceback" not in output
    assert output.partition("Diagnostics:")[2].count("error:") == 1, output
    assert deployed.pulumi("stack", "export").stdout == state


def test_a_release_that_gets_not_ready_is_rolled_back_and_the_next_up_passes(deployed: RunningSandbox) -> None:
    good = deployed.configuration.read_text()
    pods, ledger = tag_pods(deployed), deployed.outputs()["ledger"]
    changed(
        deployed,
        # An image that does not exist.
        lambda settings: settings["accessGraph"].update(image="registry.example.com/absent", timeoutSeconds=30),
    )
    failed = deployed.pulumi("up", check=False)
    assert failed.returncode != 0
    assert "has been rolled back due to atomic being set" in failed.stdout + failed.stderr
    assert deployed.outputs()["ledger"] == ledger
    assert pods <= tag_pods(deployed)
    deployed.configuration.write_text(good)
    deployed.pulumi("up")
    assert operations(deployed.preview()) == {}


def test_recover_takes_off_an_owner_of_the_proxies_mark_that_no_state_knows(
    deployed: RunningSandbox, tmp_path: Path
) -> None:
    """As after a kill between writing the proxies' mark and recording it: the next `up` writes the same mark as another
    field manager."""

    def recorded() -> dict[str, Any]:
        state = json.loads(deployed.pulumi("stack", "export").stdout)["deployment"]["resources"]
        (mark,) = [one for one in state if one["urn"].endswith(f"teleport-{CLUSTER}-proxies")]
        return dict(mark)

    deployed.pulumi("state", "delete", recorded()["urn"], "--yes")
    deployed.pulumi("up")
    outputs = recorded()["outputs"]
    template = {"metadata": {"annotations": {"checksum/access-graph": "another"}}}
    metadata = {"name": "teleport-proxy", "namespace": "teleport"}
    change = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
    (tmp_path / "change.json").write_text(json.dumps(change))
    as_the_plugin = ["--server-side", "--dry-run=server", f"--field-manager={outputs['__fieldManager']}"]
    apply = ["apply", *as_the_plugin, "--filename", str(tmp_path / "change.json")]
    refused = deployed.kubectl(*apply, check=False)
    assert refused.returncode != 0
    assert 'conflict with "pulumi-kubernetes-' in refused.stderr

    proxies = restarts(deployed, "proxy")
    assert "managed fields, and leave the values as they are: taken off" in deployed.door("recover", "--yes").stdout
    deployed.kubectl(*apply)
    deployed.pulumi("preview", "--expect-no-changes")
    assert restarts(deployed, "proxy") == proxies


def test_the_way_back_gives_teleport_its_own_values_and_leaves_nothing(deployed: RunningSandbox) -> None:
    """The way back is `enabled: false`, `up`, then `destroy`."""
    proxies = restarts(deployed, "proxy")
    changed(deployed, lambda settings: settings["accessGraph"].update(enabled=False))
    deployed.pulumi("up")
    assert live_values(deployed) == VALUES
    assert tag_pods(deployed) == set()
    deployed.kubectl("rollout", "status", "deployment/teleport-proxy", "--namespace", "teleport", "--timeout=120s")
    assert not proxies & restarts(deployed, "proxy")
    restart_teleport(deployed)
    deployed.pulumi("destroy")
    assert ours(deployed) == []
    assert live_values(deployed) == VALUES
    restart_teleport(deployed)


def test_a_first_up_of_some_resources_adopts_no_teleport_and_the_whole_one_goes_on(deployed: RunningSandbox) -> None:
    """The engine also imports resources that are not targets, and the state would then have a release without its
    parent."""
    changed(deployed, lambda settings: settings["accessGraph"].update(enabled=True))
    for target in ("**AccessGraphNamespace**", "**Certificates**"):
        done = deployed.pulumi("up", "--target", target, check=False)
        assert done.returncode != 0
        assert (
            "the Teleport release teleport: the settings change it, but this run leaves it as it was"
            in done.stdout + done.stderr
        )
        assert "Traceback" not in done.stdout + done.stderr
    state = json.loads(deployed.pulumi("stack", "export").stdout)["deployment"]
    types = {item["type"] for item in state["resources"]}
    assert "kubernetes:core/v1:Namespace" in types
    assert "kubernetes:helm.sh/v3:Release" not in types
    assert live_values(deployed) == VALUES


def test_a_plain_destroy_costs_teleport_its_access_graph_and_never_its_start(deployed: RunningSandbox) -> None:
    changed(deployed, lambda settings: settings["accessGraph"].update(enabled=True))
    deployed.pulumi("up")
    assert deployed.door("verify").returncode == 0
    deployed.pulumi("destroy")
    assert json.loads(deployed.pulumi("stack", "export").stdout)["deployment"].get("resources", []) == []
    assert ours(deployed) == ["configmap/teleport-access-graph-ca"]
    assert live_values(deployed)["auth"]["teleportConfig"]["access_graph"]["enabled"] is True
    restart_teleport(deployed)
