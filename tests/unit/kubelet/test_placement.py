"""Where pods may run, under which addresses and names they are reachable, and which program stands for an image."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest

from sandbox.kubelet.addresses import AddressesExhausted, PodAddresses, bind_address
from sandbox.kubelet.images import IMAGES, ImageUnknown, find_image, normalized
from sandbox.kubelet.names import names_table, write_table
from sandbox.kubelet.scheduler import Scheduler, why_not

pytestmark = pytest.mark.unit


def node(**spec):
    return {"metadata": {"labels": {"pool": "a", "size": "4"}}, "spec": spec}


def affinity(key, operator, *values):
    terms = [{"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


NO_MATCH = "node(s) didn't match Pod's node affinity/selector"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, ""),
        ({"nodeSelector": {"pool": "a"}}, ""),
        ({"nodeSelector": {"pool": "b"}}, NO_MATCH),
        (affinity("pool", "In", "a", "c"), ""),
        (affinity("pool", "NotIn", "a"), NO_MATCH),
        (affinity("zone", "Exists"), NO_MATCH),
        (affinity("zone", "DoesNotExist"), ""),
        (affinity("size", "Gt", "3"), ""),
        (affinity("size", "Lt", "3"), NO_MATCH),
    ],
)
def test_selectors_and_affinity(spec, reason):
    assert why_not({"spec": spec}, node()) == reason


def test_taints_and_cordons_hold_pods_off_unless_tolerated():
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    assert "untolerated taint(s) {dedicated: db}" in why_not({"spec": {}}, node(taints=[taint]))
    tolerated = {"spec": {"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "db"}]}}
    assert why_not(tolerated, node(taints=[taint])) == ""
    assert why_not({"spec": {}}, node(taints=[{**taint, "effect": "PreferNoSchedule"}])) == ""
    assert "unschedulable" in why_not({"spec": {}}, node(unschedulable=True))
    assert why_not({"spec": {"tolerations": [{"operator": "Exists"}]}}, node(unschedulable=True)) == ""


def test_a_pod_without_a_place_is_told_so_and_keeps_the_conditions_of_others():
    """The informer's copy is old: the scheduler must not overwrite what others have written since."""
    nodes = Mock(get=Mock(return_value=node()))
    client = Mock(write_status=AsyncMock())
    ready = {"type": "Ready", "status": "False"}
    metadata = {"namespace": "n", "name": "p", "uid": "u"}
    pod = {"metadata": metadata, "spec": {"nodeSelector": {"pool": "b"}}, "status": {"conditions": [ready]}}
    asyncio.run(Scheduler(client, Mock(), nodes, Mock())._try(pod))
    (path, patch) = client.write_status.call_args.args
    (condition,) = patch["status"]["conditions"]
    assert path == "/api/v1/namespaces/n/pods/p"
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "Unschedulable")


def test_addresses_are_of_the_homes_network_and_not_reused_soon(tmp_path):
    addresses = PodAddresses("127.93", tmp_path / "next")
    first = addresses.allocate()
    assert (first, bind_address(first)) == ("10.93.1.1", "127.93.1.1")
    addresses.release(first)
    assert addresses.allocate() == "10.93.1.2"
    again = PodAddresses("127.93", tmp_path / "next")
    assert again.claim("10.93.1.3")
    assert not again.claim("10.93.1.3")
    assert not again.claim("10.94.1.1")
    assert again.allocate() == "10.93.1.4"


@pytest.mark.slow
def test_addresses_end(tmp_path, monkeypatch):
    monkeypatch.setattr("sandbox.kubelet.addresses._LAST", 2)
    addresses = PodAddresses("127.93", tmp_path / "next")
    found = {addresses.allocate() for _ in range(2 * 253)}
    assert len(found) == 2 * 253
    assert {address.split(".")[2] for address in found} == {"1", "2"}
    with pytest.raises(AddressesExhausted):
        addresses.allocate()


def pod(name, ip, *, ready=True, phase="Running", leaving=False, labels=None):
    metadata = {"name": name, "namespace": "teleport", "labels": labels or {"app": "x"}}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"containers": [{"ports": [{"name": "grpc", "containerPort": 9090}]}]},
        "status": {
            "podIP": ip,
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def service(**spec):
    return {"metadata": {"name": "s", "namespace": "teleport"}, "spec": {"selector": {"app": "x"}, **spec}}


PORT = {"port": 443, "targetPort": "grpc"}


def table(services, pods):
    return names_table(services, pods, "127.0.0.1:6443")


def test_a_name_leads_to_ready_pods_on_their_named_port():
    pods = [
        pod("a", "10.93.1.1"),
        pod("b", "10.93.1.2"),
        pod("c", "10.93.1.3", ready=False),
        pod("d", "10.93.1.4", leaving=True),
        pod("e", "10.93.1.5", phase="Succeeded"),
        pod("f", "10.93.1.6", labels={"app": "y"}),
    ]
    found = table([service(ports=[PORT])], pods)
    ports = {"443": ["127.93.1.1:9090", "127.93.1.2:9090"]}
    assert found == {"s.teleport.svc.cluster.local": ports, "s.teleport.svc": ports, "s.teleport": ports}


def test_a_service_without_a_ready_pod_is_known_and_empty():
    assert table([service(ports=[PORT])], [])["s.teleport.svc"] == {"443": []}


def test_a_headless_name_leads_to_the_pods_own_ports():
    headless = service(clusterIP="None", publishNotReadyAddresses=True, ports=[PORT])
    found = table([headless], [pod("a", "10.93.1.1", ready=False)])
    assert found["s.teleport.svc"] == {"9090": ["127.93.1.1:9090"], "0": ["127.93.1.1:0"]}
    bare = service(clusterIP="None")
    assert table([bare], [])["s.teleport.svc"] == {"0": []}


def test_the_api_server_has_its_name():
    kubernetes = {"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"ports": [{"port": 443}]}}
    assert table([kubernetes], [])["kubernetes.default.svc"] == {"443": ["127.0.0.1:6443"]}


def test_the_table_is_written_only_when_it_changed(tmp_path):
    path = tmp_path / "services.json"
    assert write_table(path, {"a": {"1": []}})
    assert not write_table(path, {"a": {"1": []}})


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("public.ecr.aws/gravitational/access-graph:1.30.2", "access-graph"),
        ("public.ecr.aws/gravitational/teleport-ent-distroless:18.10.3", "teleport"),
        ("registry.example.com:5000/mirror/teleport-distroless@sha256:0", "teleport"),
        ("postgres:17-alpine", "postgres"),
        ("public.ecr.aws/aws-cli/aws-cli:2.27.49", "aws-cli"),
    ],
)
def test_images_by_the_last_part_of_their_repository(reference, name):
    assert find_image(reference).name == name


@pytest.mark.parametrize("reference", ["nginx:1", "example.com/access-graph-tools:1", "postgres/exporter"])
def test_other_images_cannot_be_pulled(reference):
    with pytest.raises(ImageUnknown, match="not found"):
        find_image(reference)


def test_every_command_of_an_image_is_a_module_that_exists():
    from importlib.util import find_spec

    for image in IMAGES:
        for _, module in image.commands:
            assert find_spec(module) is not None, module


def test_a_reference_without_tag_is_the_latest():
    assert normalized("example.com:5000/postgres") == "example.com:5000/postgres:latest"
    assert normalized("postgres:17") == "postgres:17"
