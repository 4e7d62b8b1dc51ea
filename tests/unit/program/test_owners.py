"""A Teleport that somebody else owns: what the stack hands over, what it waits for, and what it leaves to the owner."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from components.digests import content_checksum
from tests.samples import OTHER_CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.unit.monitor import PROJECT, STACK, Recording, Secret, leaves, unsealed
from tests.unit.program.stack import COMPUTED, OF_THE_STACK, OWN_VALUES, configuration, host_authority, run_program

TELEPORT = f"teleport-{TELEPORT_CLUSTER}"
VALUES = {"mode": "values", "chart": ...}
ENDPOINT = "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"


def run(directory: Path, entry: dict[str, Any], *, enabled: bool = True, **options: Any) -> Recording:
    config = configuration(directory, entry=entry)
    config["accessGraph"]["enabled"] = enabled
    return run_program(config, directory, **options)


def of_teleport(stack: Recording) -> set[str]:
    return {item.name.removeprefix(f"{TELEPORT}-") for item in stack.custom() if item.name.startswith(TELEPORT)}


def handed_over(stack: Recording) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(stack[f"{TELEPORT}-values"].plain("data")["values.yaml"])
    return values


@pytest.mark.slow
def test_the_values_are_handed_over_in_an_output_and_in_the_cluster(tmp_path: Path) -> None:
    stack = run(tmp_path, VALUES)
    assert of_teleport(stack) == {"ca", "values"}
    config_map = stack[f"{TELEPORT}-values"]
    assert config_map.plain("metadata") == {
        "name": "teleport-access-graph-values",
        "namespace": "teleport",
        "annotations": OF_THE_STACK,
    }
    values = handed_over(stack)
    assert values == unsealed(stack.outputs)["teleportValues"][TELEPORT_CLUSTER]
    assert [volume["name"] for volume in values["auth"]["extraVolumes"]] == ["corp-ca", "tag-ca"]
    assert {key: values[key] for key in OWN_VALUES} == OWN_VALUES
    assert values["auth"]["annotations"]["pod"]["checksum/access-graph-ca"] == content_checksum(
        stack.outputs["caBundle"]
    )


@pytest.mark.slow
def test_the_values_are_handed_over_only_when_their_config_map_is_there(tmp_path: Path) -> None:
    stack = run(tmp_path, VALUES)
    for earlier, later in itertools.pairwise(["access-graph-release", f"{TELEPORT}-ca", f"{TELEPORT}-values"]):
        assert earlier in stack.ancestors(later)


@pytest.mark.slow
def test_switched_off_the_owner_is_handed_their_own_values(tmp_path: Path) -> None:
    stack = run(tmp_path, VALUES, enabled=False)
    assert handed_over(stack) == OWN_VALUES
    (line,) = unsealed(stack.outputs)["teleportCleanUp"][TELEPORT_CLUSTER]
    assert line == (
        "after `destroy`, once the owner of the release teleport has rolled it out without the patch: "
        "kubectl --context test --namespace teleport delete configmap teleport-access-graph-ca"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("rollout", "trust"), [({"rollout": {}}, "bundle"), ({}, "system")])
def test_switched_off_nothing_is_left_to_an_owner_whose_rollout_was_awaited_or_who_mounts_nothing(
    rollout: dict[str, Any], trust: str, tmp_path: Path
) -> None:
    config = configuration(tmp_path, entry={**VALUES, **rollout}, tls={"mode": "generated", "trust": trust})
    config["accessGraph"]["enabled"] = False
    assert unsealed(run_program(config, tmp_path).outputs)["teleportCleanUp"] == {TELEPORT_CLUSTER: []}


@pytest.mark.slow
@pytest.mark.parametrize("entry", [{"timeoutSeconds": 1800}, {**VALUES, "rollout": {"timeoutSeconds": 1800}}])
def test_the_proxies_have_the_time_that_is_set(tmp_path: Path, entry: dict[str, Any]) -> None:
    """Helm's own wait does not cover the proxies: Helm rolls only auth."""
    assert run(tmp_path, entry)[f"{TELEPORT}-proxies"].timeouts == {"create": "1800s", "update": "1800s"}


@pytest.mark.slow
def test_a_rollout_is_awaited_and_then_the_proxies_restart(tmp_path: Path) -> None:
    stack = run(tmp_path, {**VALUES, "rollout": {"timeoutSeconds": 120, "imagePullSecrets": ["mirror"]}})
    assert of_teleport(stack) == {
        "ca",
        "values",
        "rollout-account",
        "rollout-role",
        "rollout-role-binding",
        "rollout-job",
        "proxies",
    }
    assert stack[f"{TELEPORT}-proxies"].timeouts == {"create": "600s", "update": "600s"}
    order = [f"{TELEPORT}-values", f"{TELEPORT}-rollout-job", f"{TELEPORT}-proxies"]
    for earlier, later in itertools.pairwise(order):
        assert earlier in stack.ancestors(later)
    spec = stack[f"{TELEPORT}-rollout-job"].plain("spec")
    environment = {item["name"]: item["value"] for item in spec["template"]["spec"]["containers"][0]["env"]}
    assert environment["WANTED_CHECKSUM"] == content_checksum(stack.outputs["caBundle"])
    assert (environment["WANTED_ENDPOINT"], environment["FORMER_ENDPOINT"]) == (ENDPOINT, "")
    assert environment["SECONDS_TO_WAIT"] == "120"
    assert spec["activeDeadlineSeconds"] == 240
    assert spec["template"]["spec"]["imagePullSecrets"] == [{"name": "mirror"}]


@pytest.mark.slow
def test_switched_off_the_rollout_without_the_patch_is_awaited_before_the_access_graph_goes(tmp_path: Path) -> None:
    stack = run(tmp_path, {**VALUES, "rollout": {}}, enabled=False)
    assert "proxies" not in of_teleport(stack)
    spec = stack[f"{TELEPORT}-rollout-job"].plain("spec")
    environment = {item["name"]: item["value"] for item in spec["template"]["spec"]["containers"][0]["env"]}
    assert (environment["WANTED_CHECKSUM"], environment["WANTED_ENDPOINT"]) == ("", "")
    assert environment["FORMER_ENDPOINT"] == ENDPOINT


@pytest.mark.slow
def test_each_hand_over_is_a_job_of_its_own_and_the_same_is_the_same(tmp_path: Path) -> None:
    entry = {**VALUES, "rollout": {}}

    def name(enabled: bool) -> str:
        return str(run(tmp_path, entry, enabled=enabled)[f"{TELEPORT}-rollout-job"].plain("metadata.name"))

    assert name(True) == name(True)
    assert name(True) != name(False)


@pytest.mark.slow
def test_the_same_values_handed_over_anew_are_awaited_anew(tmp_path: Path) -> None:
    """The owner may have rolled out another hand-over in between, so the same values need a new rollout."""

    def name(version: str) -> str:
        computed = {**COMPUTED, "kubernetes:core/v1:ConfigMap": {"metadata": {"resourceVersion": version}}}
        stack = run(tmp_path, {**VALUES, "rollout": {}}, computed=computed)
        return str(stack[f"{TELEPORT}-rollout-job"].plain("metadata.name"))

    assert name("1") == name("1") != name("2")


SECRETS = {"teleportSecretValues": {TELEPORT_CLUSTER: {"auth": {"extraEnv": [{"name": "TOKEN", "value": "canary"}]}}}}


@pytest.mark.slow
def test_the_whole_merge_is_a_secret_output_and_only_by_choice(tmp_path: Path) -> None:
    without = run(tmp_path, VALUES, secrets=SECRETS)
    assert without.outputs.get("teleportMergedValues") is None
    assert not [path for path, value, _ in leaves(without.outputs) if value == "canary"]

    chosen = run(tmp_path, {**VALUES, "emitSecretValues": True}, secrets=SECRETS)
    assert isinstance(chosen.outputs["teleportMergedValues"][TELEPORT_CLUSTER], Secret)
    values = unsealed(chosen.outputs)["teleportMergedValues"][TELEPORT_CLUSTER]
    assert values["auth"]["extraEnv"] == [{"name": "TOKEN", "value": "canary"}]
    assert values["auth"]["teleportConfig"]["access_graph"]["enabled"] is True
    # No output has the canary outside an envelope, and the ConfigMap that everybody may read does not have it at all.
    assert [path for path, value, secret in leaves(chosen.outputs) if value == "canary" and not secret] == []
    assert "canary" not in chosen[f"{TELEPORT}-values"].plain("data")["values.yaml"]


@pytest.mark.slow
def test_a_teleport_without_the_chart_gets_its_part_of_teleport_yaml_and_the_file(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config["teleport"] = {
        TELEPORT_CLUSTER: {
            "mode": "manual",
            "hostAuthorities": {"mode": "inline", "certificates": [host_authority()]},
            "auditLog": {"startDate": "2026-01-31T00:00:00Z"},
        }
    }
    stack = run_program(config, tmp_path)
    assert of_teleport(stack) == set()
    outputs = unsealed(stack.outputs)
    assert outputs["teleportConfig"] == {
        TELEPORT_CLUSTER: {
            "access_graph": {
                "enabled": True,
                "endpoint": ENDPOINT,
                "ca": "/etc/teleport-access-graph/ca.pem",
                "audit_log": {"enabled": True, "start_date": "2026-01-31T00:00:00Z"},
            }
        }
    }
    assert outputs["teleportFiles"] == {
        TELEPORT_CLUSTER: {"/etc/teleport-access-graph/ca.pem": outputs["caBundle"]},
    }
    assert outputs["teleportCleanUp"][TELEPORT_CLUSTER][-1] == "delete /etc/teleport-access-graph/ca.pem"

    config["teleport"][TELEPORT_CLUSTER]["caPath"] = "/opt/teleport/graph.pem"
    elsewhere = unsealed(run_program(config, tmp_path).outputs)
    assert elsewhere["teleportConfig"][TELEPORT_CLUSTER]["access_graph"]["ca"] == "/opt/teleport/graph.pem"
    assert set(elsewhere["teleportFiles"][TELEPORT_CLUSTER]) == {"/opt/teleport/graph.pem"}

    config["accessGraph"]["enabled"] = False
    off = unsealed(run_program(config, tmp_path).outputs)
    assert (off["teleportConfig"], off["teleportFiles"]) == ({TELEPORT_CLUSTER: {}}, {TELEPORT_CLUSTER: {}})


@pytest.mark.slow
def test_an_output_names_the_clean_up_after_a_plain_destroy(tmp_path: Path) -> None:
    adopted = unsealed(run(tmp_path, {"adopt": True}).outputs)["teleportCleanUp"][TELEPORT_CLUSTER]
    assert adopted == [
        "to leave nothing: accessGraph.enabled: false and `up` come before `destroy`",
        "after a plain `destroy`, in this order: helm upgrade teleport teleport-cluster --repo "
        "https://charts.releases.teleport.dev --version 18.10.3 --namespace teleport --kube-context test "
        "--reset-values --values values.yaml --wait (and --values with what teleportSecretValues had, if it was set)",
        "kubectl --context test --namespace teleport rollout restart deployment/teleport-proxy",
        "kubectl --context test --namespace teleport delete configmap teleport-access-graph-ca",
    ]
    others = unsealed(run(tmp_path, VALUES).outputs)["teleportCleanUp"][TELEPORT_CLUSTER]
    assert others[1].endswith("let the owner of the release teleport roll it out without the patch")
    assert others[-1] == adopted[-1]
    assert unsealed(run(tmp_path, {}).outputs)["teleportCleanUp"] == {TELEPORT_CLUSTER: []}, "ours goes with the stack"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["release", "values", "manual"])
def test_what_is_kept_and_what_is_named_agree_for_every_mode(mode: str, tmp_path: Path) -> None:
    """The clean-up names everything that outlives a plain `destroy`, and nothing else."""
    entry: dict[str, Any] = {"release": {"adopt": True}, "values": VALUES, "manual": {}}[mode]
    config = configuration(tmp_path, entry=entry)
    if mode == "manual":
        authorities = config["teleport"][TELEPORT_CLUSTER]["hostAuthorities"]
        config["teleport"] = {TELEPORT_CLUSTER: {"mode": "manual", "hostAuthorities": authorities}}
    stack = run_program(config, tmp_path)
    kept = {
        item.plain("metadata.name")
        for item in stack.custom()
        if item.retain_on_delete and item.type == "kubernetes:core/v1:ConfigMap"
    }
    lines = " ".join(unsealed(stack.outputs)["teleportCleanUp"][TELEPORT_CLUSTER])
    known = {"teleport-access-graph-ca", "teleport-access-graph-values"}
    assert {name for name in known if name in lines} == kept


@pytest.mark.slow
def test_teleports_in_this_and_in_another_kubernetes_cluster_share_one_access_graph(tmp_path: Path) -> None:
    config = configuration(tmp_path, tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]})
    elsewhere = {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}

    def entry(cluster: str, **more: Any) -> dict[str, Any]:
        return {"hostAuthorities": {"mode": "inline", "certificates": [host_authority(cluster)]}, **more}

    there = {"kubernetes": elsewhere, "endpoint": "graph.example.com:443"}
    config["teleport"] |= {
        "second.example.com": entry("second.example.com", mode="values", namespace="second"),
        "third.example.com": entry("third.example.com", mode="values", **there),
        "fourth.example.com": entry("fourth.example.com", mode="values", namespace="fourth", **there),
        "fifth.example.com": entry("fifth.example.com", mode="manual", endpoint="graph.example.com:443"),
    }
    stack = run_program(config, tmp_path)
    providers = {item.name for item in stack.of_type("pulumi:providers:kubernetes")}
    assert providers == {"kubernetes", f"kubernetes-{OTHER_CLUSTER_IDENTIFIER}"}, "one for each distinct cluster"
    placed = {
        name: stack[f"teleport-{name}.example.com-ca"].provider.split("::")[-2]
        for name in ("second", "third", "fourth")
    }
    assert placed == {
        "second": "kubernetes",
        "third": f"kubernetes-{OTHER_CLUSTER_IDENTIFIER}",
        "fourth": f"kubernetes-{OTHER_CLUSTER_IDENTIFIER}",
    }
    assert len(stack["access-graph-release"].plain("values.clusterHostCAs")) == 5
    endpoints = {
        name: part["access_graph"]["endpoint"] for name, part in unsealed(stack.outputs)["teleportConfig"].items()
    }
    assert endpoints == {
        TELEPORT_CLUSTER: ENDPOINT,
        "second.example.com": ENDPOINT,
        "third.example.com": "graph.example.com:443",
        "fourth.example.com": "graph.example.com:443",
        "fifth.example.com": "graph.example.com:443",
    }


@pytest.mark.slow
def test_a_teleport_is_followed_to_another_kubernetes_cluster_by_way_of_values(tmp_path: Path) -> None:
    """The steps of docs/backup.md after the loss of a cluster, starting from a release that the stack had installed."""
    ledger: dict[str, Any] = {}
    authorities = {"mode": "inline", "certificates": [host_authority()]}
    there = {"context": "new", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}
    steps: list[tuple[dict[str, Any], dict[str, str] | None]] = [
        ({}, None),
        ({"adopt": True}, None),
        (VALUES, there),
        ({"adopt": True}, there),
    ]
    for entry, kubernetes in steps:
        config = configuration(tmp_path, entry={**entry, "hostAuthorities": authorities})
        if kubernetes is not None:
            config["kubernetes"] = kubernetes
        stack = run_program(config, tmp_path, stacks={f"organization/{PROJECT}/{STACK}": ledger} if ledger else None)
        ledger = unsealed(stack.outputs)
    assert ledger["ledger"]["teleport"][TELEPORT_CLUSTER]["clusterIdentifier"] == OTHER_CLUSTER_IDENTIFIER
    assert of_teleport(stack) == {"ca", "release", "auth", "proxies"}
