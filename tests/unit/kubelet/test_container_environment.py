"""A container's variables, their expansion, and the mapping of its paths to paths on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.kubelet.environment import ConfigurationError, PathMapping, expand, pod_fields, variables_of
from sandbox.kubelet.volumes import decode_secret

pytestmark = pytest.mark.unit

CONFIG = {"data": {"level": "INFO", "port": "9090"}}
SECRET = {"data": {"uri": "cG9zdGdyZXM6Ly8="}}


def lookup(kind: str, name: str):
    return {("ConfigMap", "config"): CONFIG, ("Secret", "secret"): SECRET}.get((kind, name))


def variables(container):
    return variables_of(container, {"metadata.name": "pod-1"}, lookup, decode_secret)


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("/tmp/password", "/pod-root/tmp/password"),
        ("/tmp", "/pod-root/tmp"),
        ("/var/tmp/x", "/var/tmp/x"),
        ("/tmpfile", "/tmpfile"),
        ("/tmp.d/x", "/tmp.d/x"),
        ("--config=/etc/teleport/teleport.yaml", "--config=/pod-root/etc/teleport/teleport.yaml"),
        ("/etc/teleport-tls/tls.key", "/pod-root/etc/teleport-tls/tls.key"),
        ("cat > /tmp/a; cat '/tmp/b'", "cat > /pod-root/tmp/a; cat '/pod-root/tmp/b'"),
        ("https://example.com/tmp/x", "https://example.com/tmp/x"),
        ("/bin/sh", "/bin/sh"),
    ],
)
def test_only_whole_mount_paths_are_mapped(text, rewritten):
    mapping = PathMapping(Path("/pod-root"), ["/tmp", "/etc/teleport", "/etc/teleport-tls/"])
    assert mapping.rewrite(text) == rewritten


def test_without_mounts_nothing_is_mapped():
    assert PathMapping(Path("/pod-root"), []).rewrite("/tmp/x") == "/tmp/x"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)-$(A)", "1-1"), ("$(B)", "$(B)"), ("$$(A)", "$(A)"), ("$A $ $(", "$A $ $("), ("$$$(A)", "$1")],
)
def test_expansion_is_kubernetes_own(text, expanded):
    assert expand(text, {"A": "1"}) == expanded


def test_variables_come_from_everywhere_in_order():
    container = {
        "envFrom": [{"configMapRef": {"name": "config"}, "prefix": "C_"}, {"secretRef": {"name": "secret"}}],
        "env": [
            {"name": "URI", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "uri"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BOTH", "value": "$(NAME):$(C_port):$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
        ],
    }
    found = variables(container)
    assert found == {
        "C_level": "INFO",
        "C_port": "9090",
        "uri": "postgres://",
        "URI": "postgres://",
        "NAME": "pod-1",
        "BOTH": "pod-1:9090:$(LATER)",
        "LATER": "x",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "gone", "key": "uri"}}, 'secret "gone" not found'),
        ({"secretKeyRef": {"name": "secret", "key": "url"}}, "couldn't find key url in Secret secret"),
        ({"configMapKeyRef": {"name": "gone", "key": "k"}}, 'configmap "gone" not found'),
        ({"fieldRef": {"fieldPath": "spec.colour"}}, "unsupported fieldPath spec.colour"),
    ],
)
def test_what_is_missing_is_named(source, message):
    with pytest.raises(ConfigurationError, match=message):
        variables({"env": [{"name": "A", "valueFrom": source}]})


def test_fields_of_a_pod():
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}},
        "spec": {"serviceAccountName": "s"},
    }
    fields = pod_fields(pod, "10.93.1.1", "127.0.0.1", "sandbox")
    assert fields["metadata.labels['app']"] == "x"
    assert fields["metadata.labels"] == 'app="x"'
    assert fields["status.podIP"] == "10.93.1.1"
    assert fields["spec.nodeName"] == "sandbox"
