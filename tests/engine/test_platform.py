"""What platforms require, on the real API server: labels and annotations on every object, network policies, a load
balancer, and namespaces that the stack does not own.

The sandbox's network enforces no policies (docs/sandbox.md). These tests prove that the API server accepts them, and
that they select the running pods.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.network_policies import access_graph_policy, database_jobs_policy
from components.surroundings import network_policies_args
from operations.stack import read_stack_file
from sandbox.existing_teleport import CLUSTER
from tests.engine.conftest import RunningSandbox
from tests.engine.definitions import define, loose_definition, prometheus_definitions
from tests.engine.stacks import OwnStack, Settings, own_stack

pytestmark = pytest.mark.engine

LABELS = {"example.com/team": "identity"}
ANNOTATIONS = {"example.com/contact": "#identity, day and night"}
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
HOSTNAME = "graph.example.com"
ADDRESS = "lb-1.elb.example.com"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
# Name prefixes of what Kubernetes' controllers put into every namespace, and Helm beside a release.
NOT_OURS = ("kube-root-ca.crt", "default", "sh.helm.release.v1.")


def platform(settings: Settings) -> None:
    """All platform settings at once, in an existing namespace."""
    settings |= {"labels": LABELS, "annotations": ANNOTATIONS}
    settings["tls"]["extraDnsNames"] = [HOSTNAME]
    settings["accessGraph"] |= {
        "createNamespace": False,
        "imageDigest": DIGEST,
        "external": {
            "hostname": HOSTNAME,
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"},
            "sourceRanges": ["10.0.0.0/8"],
        },
        "networkPolicy": {
            "enabled": True,
            "clientCidrs": ["10.0.0.0/8"],
            "databaseCidrs": ["10.20.0.0/24", "10.20.1.0/24"],
        },
    }


@contextmanager
def cloud_controller(sandbox: RunningSandbox, namespace: str, service: str) -> Iterator[None]:
    """Gives the Service an address a while after its creation, as a cloud does."""
    done = threading.Event()
    status = {"status": {"loadBalancer": {"ingress": [{"hostname": ADDRESS}]}}}

    def assign() -> None:
        patch = ["patch", "service", service, "--namespace", namespace, "--subresource=status", "--type=merge"]
        while not done.wait(2):
            if sandbox.kubectl(*patch, "--patch", json.dumps(status), check=False).returncode == 0:
                return

    thread = threading.Thread(target=assign)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    """A deployed stack in a namespace that it does not own, which must outlive the stack."""
    namespace = OwnStack(running_sandbox, "platform").namespace
    running_sandbox.kubectl("create", "namespace", namespace)
    running_sandbox.kubectl("label", "namespace", namespace, RESTRICTED)
    with own_stack(running_sandbox, "platform", platform) as stack:
        with cloud_controller(stack, namespace, "teleport-access-graph-external"):
            stack.pulumi("up")
        yield stack
    found = running_sandbox.get("namespace", namespace)
    assert found["status"]["phase"] == "Active"
    assert ours(running_sandbox, namespace) == []
    running_sandbox.kubectl("delete", "namespace", namespace)


def ours(sandbox: RunningSandbox, namespace: str) -> list[dict[str, Any]]:
    """Every object of the stack and of TAG's release in the namespace, including pods."""
    kinds = "configmaps,secrets,serviceaccounts,services,jobs,pods,deployments,networkpolicies,poddisruptionbudgets"
    items: list[dict[str, Any]] = sandbox.get(kinds, "--namespace", namespace)["items"]
    return [item for item in items if not item["metadata"]["name"].startswith(NOT_OURS)]


def of_the_chart(item: dict[str, Any]) -> bool:
    """Whether the object is one of the chart's that get no labels and annotations: only pods and their ServiceAccount
    have values for them."""
    return item["kind"] not in ("Pod", "ServiceAccount") and (
        item["metadata"].get("annotations", {}).get("meta.helm.sh/release-name") is not None
    )


def unmarked(sandbox: RunningSandbox, namespace: str, labels: dict[str, str]) -> list[str]:
    found = []
    for item in ours(sandbox, namespace):
        metadata = item["metadata"]
        helms = "meta.helm.sh/release-name" in metadata.get("annotations", {})
        labelled = helms or labels.items() <= metadata.get("labels", {}).items()
        annotated = ANNOTATIONS.items() <= metadata.get("annotations", {}).items()
        if not of_the_chart(item) and not (labelled and annotated):
            found.append(f"{item['kind']} {metadata['name']}")
    return found


def test_every_object_and_every_pod_has_the_marks(stack: OwnStack) -> None:
    assert unmarked(stack, stack.namespace, LABELS) == []
    kinds = {item["kind"] for item in ours(stack, stack.namespace) if not of_the_chart(item)}
    assert kinds == {"ConfigMap", "Secret", "ServiceAccount", "Service", "Job", "Pod", "NetworkPolicy"}


def test_the_policies_are_what_was_computed_and_name_the_pods_that_run(stack: OwnStack) -> None:
    file = read_stack_file(stack.stack_name, stack.configuration)
    args = network_policies_args(file.settings(), stack.namespace)
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in stack.get("networkpolicies", "--namespace", stack.namespace)["items"]
    }
    assert policies == {
        "teleport-access-graph": access_graph_policy(args),
        "teleport-access-graph-database-jobs": database_jobs_policy(args),
    }
    named = {}
    for name, spec in policies.items():
        selector = ",".join(f"{key}={value}" for key, value in spec["podSelector"]["matchLabels"].items())
        pods = stack.get("pods", "--namespace", stack.namespace, "--selector", selector)["items"]
        named[name] = {pod["metadata"]["name"] for pod in pods}
    everything = {item["metadata"]["name"] for item in ours(stack, stack.namespace) if item["kind"] == "Pod"}
    assert set.union(*named.values()) == everything
    assert len(named["teleport-access-graph"]) == 2


def test_the_load_balancer_is_waited_for_and_told(stack: OwnStack) -> None:
    outputs = stack.outputs()
    assert outputs["externalEndpoint"] == f"{HOSTNAME}:443"
    assert outputs["externalAddress"] == ADDRESS
    service = stack.get("service", "teleport-access-graph-external", "--namespace", stack.namespace)
    assert service["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert service["metadata"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internal"
    slices = stack.get(
        "endpointslices",
        "--namespace",
        stack.namespace,
        "--selector",
        "kubernetes.io/service-name=teleport-access-graph-external",
    )["items"]
    assert [port["port"] for one in slices for port in one["ports"]] == [9090]
    assert sum(len(one["endpoints"] or []) for one in slices) == 2


def test_the_image_is_taken_by_its_digest(stack: OwnStack) -> None:
    pods = stack.get(
        "pods", "--namespace", stack.namespace, "--selector", "app.kubernetes.io/name=teleport-access-graph"
    )["items"]
    images = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    assert images == {f"public.ecr.aws/gravitational/access-graph@{DIGEST}"}


def test_another_up_changes_nothing_and_nothing_drifts(stack: OwnStack) -> None:
    stack.pulumi("up", "--expect-no-changes")
    stack.pulumi("refresh", "--expect-no-changes")


def test_other_labels_reach_everything_in_one_up(stack: OwnStack) -> None:
    """Jobs are immutable: each is replaced under the same name and runs again, and so does what depends on it."""
    others = {"example.com/team": "access", "example.com/tier": "1"}
    before = {item["metadata"]["uid"] for item in ours(stack, stack.namespace) if item["kind"] == "Job"}
    stack.change(lambda settings: settings.update(labels=others))
    stack.pulumi("up")
    assert unmarked(stack, stack.namespace, others) == []
    after = {item["metadata"]["uid"] for item in ours(stack, stack.namespace) if item["kind"] == "Job"}
    assert len(after) == 2
    assert before & after == set()
    stack.pulumi("up", "--expect-no-changes")


def without_a_database(settings: Settings) -> None:
    """The access graph is off, so that nothing has to connect: only the namespace matters here."""
    del settings["aws"]
    settings["database"] = {"mode": "existing", "secret": {"name": "database"}}
    settings["accessGraph"] |= {"enabled": False}


def test_a_namespace_can_be_given_away(running_sandbox: RunningSandbox) -> None:
    with own_stack(running_sandbox, "given", without_a_database) as stack:
        stack.pulumi("up")
        uid = stack.get("namespace", stack.namespace)["metadata"]["uid"]
        stack.change(lambda settings: settings["accessGraph"].update(createNamespace=False))
        refused = stack.pulumi("up", check=False)
        assert refused.returncode != 0
        assert f"would delete the namespace {stack.namespace}, which this stack made" in refused.stdout + refused.stderr
        stack.change(lambda settings: settings["accessGraph"].update(createNamespace=True, keepNamespace=True))
        stack.pulumi("up")
        stack.change(lambda settings: settings["accessGraph"].update(createNamespace=False, keepNamespace=False))
        stack.pulumi("up")
        found = stack.get("namespace", stack.namespace)
        assert (found["metadata"]["uid"], found["status"]["phase"]) == (uid, "Active")
        assert "teleport-access-graph-tls" in {
            item["metadata"]["name"] for item in ours(stack, stack.namespace) if item["kind"] == "Secret"
        }
    assert running_sandbox.get("namespace", stack.namespace)["metadata"]["uid"] == uid
    running_sandbox.kubectl("delete", "namespace", stack.namespace)


def test_the_teleport_of_the_sandbox_is_admitted_by_its_pods_labels(running_sandbox: RunningSandbox) -> None:
    """The stack `sandbox` owns a Teleport release, and its policy admits that release's running auth and proxy."""
    file = read_stack_file("sandbox", running_sandbox.configuration)
    settings = file.settings()
    (peer,) = access_graph_policy(network_policies_args(settings, "graph"))["ingress"][0]["from"]
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    (expression,) = peer["podSelector"]["matchExpressions"]
    labels = [f"{key}={value}" for key, value in peer["podSelector"]["matchLabels"].items()]
    labels.append(f"{expression['key']} in ({','.join(expression['values'])})")
    pods = running_sandbox.get("pods", "--namespace", namespace, "--selector", ",".join(labels))["items"]
    components = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
    assert components == {"auth", "proxy"}
    assert settings.teleport[CLUSTER].mode == "release"
    assert running_sandbox.get("namespace", namespace)["metadata"]["labels"]["kubernetes.io/metadata.name"] == namespace


TELEPORT_ROLE = ("resources.teleport.dev", "TeleportRoleV7", "teleportrolesv7")
WATCHED = "teleport-watched"
WATCH = "teleport-access-graph-lockout-watch"


def watched(settings: Settings) -> None:
    """Monitoring and the readers' role, with a Teleport that somebody else owns."""
    (authorities,) = [entry["hostAuthorities"] for entry in settings["teleport"].values()]
    settings["accessGraph"]["metrics"] = True
    settings["monitoring"] = {
        "serviceMonitor": True,
        "rules": True,
        "labels": {"release": "prometheus"},
        "lockoutWatch": {},
    }
    settings["teleport"] = {
        CLUSTER: {
            "mode": "values",
            "namespace": WATCHED,
            "release": "watched",
            "hostAuthorities": authorities,
            "applyReaderRole": True,
        }
    }


def put(sandbox: RunningSandbox, tmp_path: Path, document: dict[str, Any]) -> None:
    file = tmp_path / "document.json"
    file.write_text(json.dumps(document))
    sandbox.kubectl("apply", "--filename", str(file))


def auth(says: str) -> dict[str, Any]:
    """A pod with auth's labels that logs `says` every second."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "auth",
            "namespace": WATCHED,
            "labels": {"app.kubernetes.io/instance": "watched", "app.kubernetes.io/component": "auth"},
        },
        "spec": {
            "containers": [
                {
                    "name": "teleport",
                    "image": "postgres:17",
                    "command": ["/bin/sh", "-c", f"while :; do echo '{says}'; sleep 1; done"],
                    "securityContext": {"runAsUser": 65532, "runAsNonRoot": True},
                }
            ],
            "terminationGracePeriodSeconds": 0,
        },
    }


def look(sandbox: RunningSandbox, name: str) -> dict[str, Any]:
    """Runs the watch once, and returns the Job's pod after its end."""
    sandbox.kubectl("create", "job", name, f"--from=cronjob/{WATCH}", "--namespace", WATCHED)
    for _ in range(120):
        status = sandbox.get("job", name, "--namespace", WATCHED).get("status", {})
        if status.get("succeeded") or status.get("failed"):
            break
        time.sleep(1)
    (pod,) = sandbox.get("pods", "--namespace", WATCHED, "--selector", f"job-name={name}")["items"]
    return dict(pod)


def ended(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return found


def test_prometheus_and_the_operator_are_told_once_their_definitions_are_there(
    running_sandbox: RunningSandbox, tmp_path: Path
) -> None:
    definitions = [*prometheus_definitions(), loose_definition(tmp_path, *TELEPORT_ROLE)]
    running_sandbox.kubectl("create", "namespace", WATCHED)
    with own_stack(running_sandbox, "watched", watched) as stack:
        created = {step["urn"].rsplit("::", 1)[1] for step in stack.preview()["steps"] if step["op"] == "create"}
        role, rules = f"reader-role-{CLUSTER}-role", f"lockout-watch-{CLUSTER}-rules"
        assert {"monitoring-service-monitor", "monitoring-rules", role, rules} <= created
        refused = stack.pulumi("up", check=False)
        assert refused.returncode != 0
        assert 'no matches for kind "TeleportRoleV7" in version "resources.teleport.dev/v1"' in refused.stdout
        define(stack, *definitions)
        stack.pulumi("up")
        monitor = stack.get("servicemonitors", "teleport-access-graph", "--namespace", stack.namespace)
        assert monitor["metadata"]["labels"] == {"release": "prometheus"}
        selector = ",".join(f"{key}={value}" for key, value in monitor["spec"]["selector"]["matchLabels"].items())
        (service,) = stack.get("services", "--namespace", stack.namespace, "--selector", selector)["items"]
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert len(stack.get("prometheusrules", "--namespace", stack.namespace)["items"]) == 1
        assert len(stack.get("prometheusrules", "--namespace", WATCHED)["items"]) == 1
        assert stack.get("teleportrolesv7", "access-graph-reader", "--namespace", WATCHED)["spec"] == {
            "allow": {"rules": [{"resources": ["access_graph"], "verbs": ["list", "read"]}]}
        }
        stack.pulumi("up", "--expect-no-changes")
        stack.pulumi("refresh", "--expect-no-changes")

        put(stack, tmp_path, auth("INFO Connected to Access Graph service"))
        stack.kubectl("wait", "pod/auth", "--namespace", WATCHED, "--for=condition=Ready", "--timeout=120s")
        assert ended(look(stack, "calm"))["exitCode"] == 0
        stack.kubectl("delete", "pod", "auth", "--namespace", WATCHED)
        put(stack, tmp_path, auth("ERROR could not find host CA"))
        stack.kubectl("wait", "pod/auth", "--namespace", WATCHED, "--for=condition=Ready", "--timeout=120s")
        time.sleep(2)
        turned_away = ended(look(stack, "alarmed"))
        assert turned_away["exitCode"] == 1
        assert "could not find host CA" in turned_away["message"]
    assert running_sandbox.get("servicemonitors", "--all-namespaces")["items"] == []
    running_sandbox.kubectl("delete", "namespace", WATCHED)
    for file in definitions:
        running_sandbox.kubectl("delete", "--filename", str(file))
