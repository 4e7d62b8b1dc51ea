"""The Teleport side on the real engine: a running Teleport that is adopted, one that the stack makes, and their owners.

The tests of this module are one story on a sandbox of its own: each begins where the one before it ended.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.host_authorities import parse_authorities
from operations.address_book import AddressBook
from sandbox.existing_teleport import CLUSTER, VALUES
from sandbox.home import CHECKOUT
from tests.engine.conftest import RunningSandbox, started_sandbox
from tests.engine.waiting import eventually
from tests.unit.program.stack import host_authority

pytestmark = pytest.mark.engine

SECOND = "second.example.com"
GRAPH = "teleport-access-graph"
SECOND_VALUES = {
    "clusterName": SECOND,
    "chartMode": "standalone",
    "enterprise": True,
    "service": {"type": "ClusterIP"},
}
# Values with which no node takes the pod.
NOWHERE = {"nodeSelector": {"nowhere": "there"}}

Values = dict[str, Any]


@pytest.fixture(scope="module")
def side() -> Iterator[RunningSandbox]:
    """A started sandbox with a Teleport and nothing of the stack deployed yet; it is removed at the end."""
    with started_sandbox() as running:
        yield running


def changed(sandbox: RunningSandbox, change: Callable[[dict[str, Any]], None]) -> None:
    """Edits the stack's configuration file as a person would; `change` gets the settings without their namespace."""
    document = yaml.safe_load(sandbox.configuration.read_text())
    prefix = "teleport-access-graph:"
    settings = {key.removeprefix(prefix): value for key, value in document["config"].items() if key.startswith(prefix)}
    change(settings)
    document["config"].update({prefix + key: value for key, value in settings.items()})
    sandbox.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def entry(sandbox: RunningSandbox, cluster: str = CLUSTER, **changes: Any) -> None:
    """Changes the entry of a Teleport cluster; Ellipsis removes a key."""

    def change(settings: dict[str, Any]) -> None:
        merged = {**settings["teleport"].get(cluster, {}), **changes}
        settings["teleport"][cluster] = {key: value for key, value in merged.items() if value is not ...}

    changed(sandbox, change)


def values_file(sandbox: RunningSandbox) -> Path:
    """The values of the adopted release, the source of truth."""
    return sandbox.home.stack / "values" / f"{CLUSTER}.yaml"


def edit_values(sandbox: RunningSandbox, change: Callable[[Values], None]) -> None:
    values = yaml.safe_load(values_file(sandbox).read_text())
    change(values)
    values_file(sandbox).write_text(yaml.safe_dump(values, sort_keys=False))


def chart(sandbox: RunningSandbox) -> Path:
    (found,) = sandbox.home.charts.glob("teleport-cluster-*.tgz")
    return found


def project_path(path: Path) -> str:
    return os.path.relpath(path, CHECKOUT)


def pods(sandbox: RunningSandbox, component: str, namespace: str = "teleport") -> dict[str, dict[str, Any]]:
    """Name -> pod, without pods that are terminating. A pod that is replaced gets another name."""
    label = "app.kubernetes.io/name" if component == GRAPH else "app.kubernetes.io/component"
    items = sandbox.get("pods", "--namespace", namespace, "--selector", f"{label}={component}")["items"]
    return {pod["metadata"]["name"]: pod for pod in items if "deletionTimestamp" not in pod["metadata"]}


def serving(found: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Name of each ready pod -> how often its container was restarted."""
    return {
        name: pod["status"]["containerStatuses"][0]["restartCount"]
        for name, pod in found.items()
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    }


def live_values(sandbox: RunningSandbox, release: str = "teleport") -> Values:
    done = sandbox.helm("get", "values", release, "--namespace", release, "--output", "json")
    values: Values = json.loads(done.stdout)
    return values


def revisions(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    done = sandbox.helm("history", "teleport", "--namespace", "teleport", "--output", "json")
    history: list[dict[str, Any]] = json.loads(done.stdout)
    return history


def diagnosed(sandbox: RunningSandbox) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(sandbox.door("diagnose", "--json", check=False).stdout)
    return found


def restart_teleport(sandbox: RunningSandbox) -> None:
    """Deletes all pods of the adopted Teleport and waits until the new ones are ready, as when nodes are drained."""
    for component in ("auth", "proxy"):
        selector = f"app.kubernetes.io/component={component}"
        sandbox.kubectl("delete", "pods", "--namespace", "teleport", "--selector", selector, "--wait=true")
        rolled_out(sandbox, component)


def rolled_out(sandbox: RunningSandbox, component: str) -> None:
    name = f"deployment/teleport-{component}"
    sandbox.kubectl("rollout", "status", name, "--namespace", "teleport", "--timeout=120s")


def exported_authority(sandbox: RunningSandbox, release: str) -> str:
    """The host CA in PEM, fetched from the proxy as an operator does."""

    def ask() -> str | None:
        addresses = AddressBook(path=sandbox.home.names).resolve(f"{release}.{release}.svc.cluster.local", 443)
        if not addresses:
            return None
        host, port = addresses[0]
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the proxy's certificate is self-signed; the connection is on loopback
        url = f"https://{host}:{port}/webapi/auth/export?type=tls-host"
        try:
            with urllib.request.urlopen(url, timeout=5, context=context) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    pem = eventually(ask, 180, "the proxy's answer")
    assert "BEGIN CERTIFICATE" in pem
    return str(pem)


def order_of_writes(sandbox: RunningSandbox, since: int, namespace: str) -> list[str]:
    """The order in which Teleport's ConfigMap, auth and proxies were first written."""
    wanted = {
        ("configmaps", "teleport-access-graph-ca"): "ConfigMap",
        ("deployments", f"{namespace}-auth"): "auth",
        ("deployments", f"{namespace}-proxy"): "proxies",
    }
    order = []
    for event in sandbox.writes(since):
        about = event.get("objectRef", {})
        step = wanted.get((about.get("resource"), about.get("name")))
        # Helm writes every object of a release. What restarts the proxies is the plugin's patch of their annotation.
        if step == "proxies" and "fieldManager=pulumi" not in event["requestURI"]:
            continue
        if about.get("namespace") == namespace and step is not None and step not in order:
            order.append(step)
    return order


def started(pod: dict[str, Any]) -> datetime.datetime:
    at: str = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    return datetime.datetime.fromisoformat(at.replace("Z", "+00:00"))


def ready_since(found: dict[str, dict[str, Any]]) -> datetime.datetime:
    """When the last of the pods became ready."""
    return max(
        datetime.datetime.fromisoformat(one["lastTransitionTime"].replace("Z", "+00:00"))
        for pod in found.values()
        for one in pod["status"]["conditions"]
        if one["type"] == "Ready"
    )


def test_a_teleport_that_does_not_exist_yet_has_no_host_authority_and_is_told_the_two_steps(
    side: RunningSandbox,
) -> None:
    side.kubectl("create", "namespace", "second")
    licence = side.get("secret", "license", "--namespace", "teleport")
    (side.home.stack / "license.json").write_text(
        json.dumps({**licence, "metadata": {"name": "license", "namespace": "second"}})
    )
    side.kubectl("create", "--filename", str(side.home.stack / "license.json"))
    second = side.home.stack / "second.yaml"
    second.write_text(yaml.safe_dump(SECOND_VALUES))
    entry(
        side,
        SECOND,
        mode="release",
        namespace="second",
        release="second",
        chart={"path": project_path(chart(side))},
        valuesFiles=[project_path(second)],
        timeoutSeconds=300,
    )
    refused = side.pulumi("preview", check=False)
    assert refused.returncode != 0
    assert f"teleport.{SECOND}.hostAuthorities: is missing, and accessGraph.enabled is true" in refused.stdout
    assert "takes two `up`s: the first with accessGraph.enabled false" in refused.stdout


def test_the_first_up_makes_it_unpatched_and_leaves_the_other_as_it_is(side: RunningSandbox) -> None:
    changed(side, lambda settings: settings["accessGraph"].update(enabled=False))
    before = pods(side, "auth") | pods(side, "proxy")
    side.pulumi("up")
    assert live_values(side, "second") == SECOND_VALUES
    assert live_values(side) == VALUES
    assert set(pods(side, "auth") | pods(side, "proxy")) == set(before)
    assert len(serving(pods(side, "auth", "second"))) == 1
    assert pods(side, GRAPH, GRAPH) == {}


def test_the_second_up_connects_both_in_order(side: RunningSandbox) -> None:
    """First the access graph answers, then each Teleport's ConfigMap, auth and proxies follow."""
    authority = side.home.stack / "second-authority.pem"
    authority.write_text(exported_authority(side, "second"))
    entry(side, SECOND, hostAuthorities={"mode": "file", "path": project_path(authority)})
    changed(side, lambda settings: settings["accessGraph"].update(enabled=True))
    ahead = side.door("preflight", "--json", check=False)
    findings = json.loads(ahead.stdout)["findings"]
    assert [one for one in findings if one["outcome"] == "fail"] == []
    position = side.audit_position()
    side.pulumi("up")
    for namespace in ("teleport", "second"):
        # The first `up` already made the ConfigMap, which does not need the access graph.
        assert order_of_writes(side, position, namespace) == ["auth", "proxies"]
        auth, proxies = pods(side, "auth", namespace), pods(side, "proxy", namespace)
        graph_ready = ready_since(pods(side, GRAPH, GRAPH))
        assert graph_ready <= min(map(started, auth.values()))
        assert ready_since(auth) <= min(map(started, proxies.values()))
    checks = json.loads(side.door("verify", "--json", check=False).stdout)["findings"]
    of_teleport = {one["check"]: one["outcome"] for one in checks if one["check"].startswith("teleport.")}
    for cluster in (CLUSTER, SECOND):
        assert of_teleport[f"teleport.{cluster}.auth-connected"] == "pass"
        assert of_teleport[f"teleport.{cluster}.proxies"] == "pass"


def test_proxies_restart_only_when_what_they_read_changed(side: RunningSandbox) -> None:
    auth, proxies = pods(side, "auth"), pods(side, "proxy")
    second = pods(side, "auth", "second") | pods(side, "proxy", "second")
    edit_values(
        side,
        lambda values: values["auth"]["teleportConfig"]["auth_service"].update(message_of_the_day="Be kind"),
    )
    side.pulumi("up")
    assert not set(auth) & set(pods(side, "auth")), "auth reads its configuration at its start"
    assert set(proxies) == set(pods(side, "proxy"))
    assert set(second) == set(pods(side, "auth", "second") | pods(side, "proxy", "second"))
    findings = json.loads(side.operations("verify", "--json", check=False).stdout)["findings"]
    outcomes = {one["check"]: one["outcome"] for one in findings if one["check"].endswith(".proxies")}
    assert outcomes == {f"teleport.{cluster}.proxies": "pass" for cluster in (CLUSTER, SECOND)}


def test_an_auth_that_gets_not_ready_leaves_proxies_and_access_graph_serving(side: RunningSandbox) -> None:
    good = values_file(side).read_text()
    proxies, graph = serving(pods(side, "proxy")), serving(pods(side, GRAPH, GRAPH))
    before, ledger = live_values(side), side.outputs()["ledger"]
    edit_values(side, lambda values: values["auth"].update(NOWHERE))
    entry(side, timeoutSeconds=30)
    failed = side.pulumi("up", check=False)
    assert failed.returncode != 0
    assert "has been rolled back due to atomic being set" in failed.stdout + failed.stderr
    assert serving(pods(side, "proxy")) == proxies
    assert serving(pods(side, GRAPH, GRAPH)) == graph
    assert live_values(side) == before
    assert side.outputs()["ledger"] == ledger
    rolled_out(side, "auth")

    found = diagnosed(side)
    (release,) = [one for one in found if one["where"] == "release teleport"]
    reason = revisions(side)[-2]["description"]
    assert reason.startswith('Upgrade "teleport" failed')
    assert reason in release["evidence"]
    assert "what ran before runs again" in release["cause"]
    (event,) = [one for one in found if one["where"].startswith("event of teleport-auth-")]
    assert event["cause"] == "no node takes the pod"

    values_file(side).write_text(good)
    entry(side, timeoutSeconds=300)
    edit_values(
        side,
        lambda values: values["auth"]["teleportConfig"]["auth_service"].update(message_of_the_day="Be careful"),
    )
    side.pulumi("up")
    assert diagnosed(side) == []


def test_recover_clears_another_operation_in_progress(side: RunningSandbox) -> None:
    patch = side.home.stack / "nowhere.yaml"
    patch.write_text(yaml.safe_dump({"auth": NOWHERE}))
    command = [str(side.home.bin / "helm"), "upgrade", "teleport", str(chart(side)), "--namespace", "teleport"]
    command += ["--reuse-values", "--values", str(patch), "--wait", "--timeout", "300s"]
    upgrade = subprocess.Popen(
        command,
        env=side.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        eventually(lambda: revisions(side)[-1]["status"] == "pending-upgrade", 180, "the upgrade's beginning")
    finally:
        os.killpg(upgrade.pid, signal.SIGKILL)
        upgrade.wait()
    good = values_file(side).read_text()
    edit_values(
        side,
        lambda values: values["auth"]["teleportConfig"]["auth_service"].update(message_of_the_day="Be quick"),
    )
    refused = side.pulumi("up", check=False)
    assert refused.returncode != 0
    assert "another operation (install/upgrade/rollback) is in progress" in refused.stdout + refused.stderr
    (release,) = [one for one in diagnosed(side) if one["where"] == "release teleport"]
    assert release["remedy"] == "`recover` rolls it back"

    early = side.door("recover", "--yes", check=False)
    assert early.returncode == 1
    assert "of teleport in teleport is pending-upgrade" in early.stdout
    assert "a Helm process may still work on it, until" in early.stdout
    assert revisions(side)[-1]["status"] == "pending-upgrade"
    entry(side, timeoutSeconds=30)
    eventually(lambda: side.door("recover", "--yes", check=False).returncode == 0, 180, "the end of its time")
    rolled_out(side, "auth")
    entry(side, timeoutSeconds=300)
    side.pulumi("up")
    assert revisions(side)[-1]["status"] == "deployed"
    values_file(side).write_text(good)
    side.pulumi("up")
    assert diagnosed(side) == []


def test_a_host_authority_that_is_not_teleports_own_locks_auth_out_and_is_diagnosed(side: RunningSandbox) -> None:
    """As after a Teleport was rebuilt. Meanwhile every pod looks healthy."""
    path = side.home.stack / "host-authorities.pem"
    good = path.read_text()

    def take_over(pem: str) -> None:
        """Deploys another set of host CAs, confirmed by its fingerprints, and drops the former set by a setting."""
        path.write_text(pem)
        confirmed = {"former": "drop", "fingerprints": [one.fingerprint for one in parse_authorities(pem)]}
        changed(side, lambda settings: settings["teleport"][CLUSTER]["hostAuthorities"].update(confirmed))
        side.pulumi("up")

    take_over(host_authority(CLUSTER))
    found = eventually(
        lambda: [one for one in diagnosed(side) if "does not know the host CA" in one["cause"]], 180, "the diagnosis"
    )
    assert "could not find host CA" in found[0]["evidence"]
    assert len(serving(pods(side, GRAPH, GRAPH))) == 2
    take_over(good)
    eventually(lambda: diagnosed(side) == [], 180, "the connection")
    for key in ("former", "fingerprints"):
        changed(side, lambda settings, key=key: settings["teleport"][CLUSTER]["hostAuthorities"].pop(key))


def test_a_config_map_that_is_gone_is_diagnosed_and_comes_back(side: RunningSandbox) -> None:
    side.kubectl("delete", "configmap", "teleport-access-graph-ca", "--namespace", "teleport")
    side.kubectl("delete", "pods", "--namespace", "teleport", "--selector", "app.kubernetes.io/component=auth")
    found = eventually(
        lambda: [one for one in diagnosed(side) if "the access graph's CA is gone" in one["cause"]], 180, "the event"
    )
    assert 'configmap "teleport-access-graph-ca" not found' in found[0]["evidence"]
    side.pulumi("up", "--refresh")
    rolled_out(side, "auth")


def test_leaving_an_adopted_release_to_another_owner_leaves_it_as_it_runs(side: RunningSandbox) -> None:
    before, history, auth = live_values(side), revisions(side), pods(side, "auth")
    entry(side, mode="values", adopt=..., chart=..., timeoutSeconds=..., rollout={"timeoutSeconds": 60})
    side.pulumi("up")
    assert live_values(side) == before
    assert revisions(side) == history
    assert set(pods(side, "auth")) == set(auth)
    state = json.loads(side.pulumi("stack", "export").stdout)["deployment"]["resources"]
    assert not [item for item in state if item["urn"].endswith(f"::teleport-{CLUSTER}-release")]
    restart_teleport(side)
    assert side.outputs()["teleportValues"][CLUSTER] == before


def test_an_up_waits_for_the_owners_rollout_and_then_restarts_the_proxies(side: RunningSandbox) -> None:
    """Another validity renews the authority. Auth reads it only at its start, so its owner has to roll it out."""
    proxies, ledger = pods(side, "proxy"), side.outputs()["ledger"]
    changed(side, lambda settings: settings["tls"].update(caValidityHours=80_000))
    late = side.pulumi("up", check=False)
    assert late.returncode != 0
    assert "Let its owner roll out the values in ConfigMap teleport-access-graph-values" in late.stdout + late.stderr
    assert set(pods(side, "proxy")) == set(proxies), "never before auth"
    assert side.outputs()["ledger"] == ledger

    config_map = side.get("configmap", "teleport-access-graph-values", "--namespace", "teleport")
    handed_over = side.home.stack / "handed-over.yaml"
    handed_over.write_text(config_map["data"]["values.yaml"])
    owners = ["upgrade", "teleport", str(chart(side)), "--namespace", "teleport", "--values", str(handed_over)]
    side.helm(*owners, "--wait", "--timeout", "180s")
    side.pulumi("up")
    now = pods(side, "proxy")
    assert not set(proxies) & set(now)
    assert ready_since(pods(side, "auth")) <= min(map(started, now.values()))
    assert side.outputs()["teleportValues"][CLUSTER] == json.loads(handed_over.read_text()) == live_values(side)
    eventually(lambda: diagnosed(side) == [], 180, "the connection")


def test_a_release_of_the_stacks_own_is_not_uninstalled_by_a_change_of_mode(side: RunningSandbox) -> None:
    good = side.configuration.read_text()
    entry(side, SECOND, mode="values", chart=..., timeoutSeconds=...)
    refused = side.pulumi("up", check=False)
    assert refused.returncode != 0
    assert "would uninstall the release second in second" in refused.stdout + refused.stderr
    assert len(serving(pods(side, "auth", "second"))) == 1

    # The way that the refusal recommends.
    side.configuration.write_text(good)
    before = live_values(side, "second")
    entry(side, SECOND, adopt=True)
    side.pulumi("up")
    entry(side, SECOND, mode="values", adopt=..., chart=..., timeoutSeconds=...)
    side.pulumi("up")
    assert live_values(side, "second") == before
    assert len(serving(pods(side, "auth", "second"))) == 1


def test_taken_over_again_and_switched_off_it_has_the_values_of_before_the_adoption(side: RunningSandbox) -> None:
    values_file(side).write_text(yaml.safe_dump(copy.deepcopy(dict(VALUES)), sort_keys=False))
    entry(side, mode="release", adopt=True, chart={"path": project_path(chart(side))}, rollout=...)
    side.pulumi("up")
    assert live_values(side)["auth"]["teleportConfig"]["access_graph"]["enabled"] is True
    proxies = pods(side, "proxy")
    changed(side, lambda settings: settings["accessGraph"].update(enabled=False))
    side.pulumi("up")
    assert live_values(side) == VALUES
    rolled_out(side, "proxy")
    assert not set(proxies) & set(pods(side, "proxy"))
    # The stack does not wait for the second Teleport's owner, who has rolled out nothing, so that Teleport's auth still
    # mounts the ConfigMap.
    clean_up = side.outputs()["teleportCleanUp"]
    assert clean_up.pop(CLUSTER) == []
    assert [line.rpartition(": ")[2].partition(" --context")[0] for line in clean_up[SECOND]] == ["kubectl"]
    restart_teleport(side)
    side.pulumi("destroy")
    found = side.kubectl("get", "configmaps", "--namespace", "teleport", "--output", "name").stdout
    assert "access-graph" not in found
    restart_teleport(side)
    side.kubectl("rollout", "restart", "deployment/second-auth", "--namespace", "second")
    side.kubectl("rollout", "status", "deployment/second-auth", "--namespace", "second", "--timeout=120s")


def test_after_a_plain_destroy_the_named_clean_up_gives_teleport_back(side: RunningSandbox) -> None:
    changed(side, lambda settings: settings["accessGraph"].update(enabled=True))
    changed(side, lambda settings: settings["teleport"].pop(SECOND))
    side.pulumi("up")
    _, give_back, restart, remove = side.outputs()["teleportCleanUp"][CLUSTER]
    side.pulumi("destroy")
    assert live_values(side)["auth"]["teleportConfig"]["access_graph"]["enabled"] is True
    restart_teleport(side)

    again = json.loads(side.door("preflight", "--json", check=False).stdout)["findings"]
    (left,) = [one for one in again if one["check"] == f"teleport.{CLUSTER}.config-map"]
    assert left["outcome"] in ("fail", "not proven")
    assert "after a plain `destroy` the clean-up comes first" in left["reason"]

    helm = give_back.partition("in this order: ")[2].partition(" (and --values")[0]
    for command in (helm, restart, remove):
        program, _, arguments = command.partition(" ")
        done = subprocess.run(
            ["/bin/sh", "-c", f"{side.home.bin / program} {arguments}"],
            cwd=CHECKOUT,
            env=side.environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert live_values(side) == VALUES
    rolled_out(side, "proxy")
    restart_teleport(side)
    position = side.audit_position()
    side.pulumi("up")
    assert order_of_writes(side, position, "teleport") == ["ConfigMap", "auth", "proxies"]
    assert side.door("verify").returncode == 0
