"""One thing goes wrong at a time, on a small stack: the operator sees what it is, and needs only a short way to go on.

Each test leaves the stack as it found it.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.home import CHECKOUT
from sandbox.plugins.faults import Point
from sandbox.stack import PROJECT
from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import Settings, secret_values
from tests.engine.waiting import eventually
from tests.faults import etcd
from tests.faults.walk import LOCKED, FaultyStack, Kept, faulty_stack, said
from tests.faults.way import way_to

pytestmark = pytest.mark.engine

TLS = "teleport-access-graph-tls"
SECRET = "kubernetes:core/v1:Secret"


def small(settings: Settings) -> None:
    """Only certificates, a namespace and a Secret, so that an `up` takes seconds instead of a minute."""
    del settings["aws"]
    settings["database"] = {"mode": "existing", "secret": {"name": "database"}}
    settings["accessGraph"] |= {"enabled": False}
    settings["labels"] = {"turn": "0"}


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[FaultyStack]:
    with faulty_stack(running_sandbox, "small", small) as configured:
        configured.pulumi("up")
        yield configured


@pytest.fixture(autouse=True)
def _nothing_is_lost(stack: FaultyStack) -> Iterator[None]:
    kept = Kept()
    kept.check(stack.recorded())
    yield
    kept.check(stack.recorded())


def next_turn(stack: FaultyStack) -> None:
    """Makes a change of the settings that changes all of the stack's objects in the cluster."""

    def turn(settings: Settings) -> None:
        settings["labels"] = {"turn": str(int(settings["labels"]["turn"]) + 1)}

    stack.change(turn)


def failed(stack: FaultyStack, *words: str) -> None:
    done = stack.pulumi("up", check=False)
    assert done.returncode != 0
    for word in words:
        assert word in said(done)
    assert "Traceback" not in said(done)


def diagnosed(stack: FaultyStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.operations("diagnose", "--json", check=False).stdout)
    return found


def test_of_two_ups_at_once_the_second_is_refused_and_recover_leaves_the_first_alone(
    stack: FaultyStack, tmp_path: Path
) -> None:
    next_turn(stack)
    locks = stack.home.state / ".pulumi" / "locks" / "organization" / PROJECT / stack.stack_name
    with way_to(stack.home.kubeconfig, tmp_path / "kubeconfig") as way:
        # Slow enough that the second `up` comes while the first is running.
        way.delay = 0.5
        first = subprocess.Popen(
            stack.sandbox.stack.command("up", "--yes", "--skip-preview", "--non-interactive"),
            cwd=CHECKOUT,
            env={**stack.environment(), "KUBECONFIG": str(tmp_path / "kubeconfig")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: list(locks.glob("*.json")), 180, "the first one's lock")
            failed(stack, LOCKED, "pulumi cancel")
            recover = stack.operations("recover", "--yes", check=False)
            assert first.poll() is None, "the first was over before it was looked at"
            assert recover.returncode == 2
            assert f"the engine is at work (process {first.pid}" in recover.stderr
            way.delay = 0.0
        finally:
            assert first.wait(timeout=120) == 0
    assert not list(locks.glob("*.json"))


def test_what_was_edited_or_deleted_by_hand_comes_back_with_a_refresh(stack: FaultyStack) -> None:
    next_turn(stack)
    stack.pulumi("up")  # until the Secret has been changed once, even a preview takes over others' fields
    before = secret_values(stack, stack.namespace, TLS)
    here = ("--namespace", stack.namespace)
    edit = '{"data": {"tls.crt": "AAAA"}, "metadata": {"labels": {"turn": "by-hand"}}}'
    stack.kubectl("patch", "secret", TLS, *here, "--type=merge", "--patch", edit)
    preview = stack.pulumi("preview", "--refresh", check=False)
    assert 'with "kubectl-patch"' in said(preview), "with its preview no `up` would take it back"
    stack.pulumi("up", "--refresh", "--skip-preview", "--yes")
    assert secret_values(stack, stack.namespace, TLS) == before
    stack.kubectl("delete", "secret", TLS, *here)
    stack.pulumi("up", "--refresh")
    assert secret_values(stack, stack.namespace, TLS) == before


def test_a_field_of_another_manager_is_a_conflict_that_names_it_until_it_is_taken_back(stack: FaultyStack) -> None:
    theirs = ("label", "secret", TLS, "--namespace", stack.namespace, "--overwrite")
    stack.kubectl(*theirs, "turn=theirs", "--field-manager=their-controller")
    next_turn(stack)
    failed(
        stack, "Server-Side Apply field conflict detected", 'conflict with "their-controller"', ".metadata.labels.turn"
    )
    # kubectl takes the field from the controller, and the engine takes over what kubectl wrote.
    stack.kubectl(*theirs, "turn=given-back")
    stack.pulumi("up")
    labels = stack.get("secret", TLS, "--namespace", stack.namespace)["metadata"]["labels"]
    assert labels["turn"] not in ("theirs", "given-back")


def test_an_api_server_that_is_down_is_said_and_one_that_is_slow_is_waited_for(
    stack: FaultyStack, tmp_path: Path
) -> None:
    next_turn(stack)
    with way_to(stack.home.kubeconfig, tmp_path / "kubeconfig") as way:
        stack.kubeconfig = tmp_path / "kubeconfig"
        try:
            way.cut = True
            failed(stack, "configured Kubernetes cluster is unreachable")
            (found,) = [one for one in diagnosed(stack) if one["where"] == "context sandbox"]
            assert "the cluster cannot be reached" in found["evidence"]
            way.cut, way.delay = False, 0.1
            stack.pulumi("up")
        finally:
            stack.kubeconfig = None


def test_a_full_etcd_is_said_and_the_next_up_goes_on(stack: FaultyStack) -> None:
    next_turn(stack)
    with etcd.full(stack.home):
        failed(stack, "etcdserver: mvcc: database space exceeded")
    stack.pulumi("up")


def test_a_full_disk_cuts_the_record_off_and_recover_takes_the_one_before_it(stack: FaultyStack) -> None:
    next_turn(stack)
    record = stack.home.state / ".pulumi" / "stacks" / PROJECT / f"{stack.stack_name}.json"
    most = record.stat().st_size - 1000

    def no_file_becomes_longer() -> None:
        # The limit makes the write fail where it would fail on a full disk. The signal is blocked, because a full disk
        # sends none.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXFSZ])
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    full = subprocess.run(
        stack.sandbox.stack.command("up", "--yes", "--skip-preview", "--non-interactive"),
        cwd=CHECKOUT,
        env=stack.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=no_file_becomes_longer,
    )
    assert full.returncode != 0
    assert "failed to save snapshot" in said(full)
    failed(stack, "failed to load checkpoint")
    mended = stack.operations("recover", "--yes")
    assert f"{record} is cut off" in mended.stdout
    stack.pulumi("up")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_plugin_that_dies_fails_the_up_and_the_next_one_goes_on(stack: FaultyStack, moment: str) -> None:
    next_turn(stack)
    struck, done = stack.struck([Point(SECRET, "update", moment, "plugin")], "up")
    assert len(struck) == 1
    assert done.returncode > 0, "the engine itself lives"
    assert "error reading from server: EOF" in said(done)
    stack.pulumi("up")


def test_a_namespace_that_hangs_in_its_deletion_is_diagnosed(stack: FaultyStack) -> None:
    here = ("--namespace", stack.namespace)
    stack.kubectl("create", "configmap", "held", *here)
    finalizers = '{"metadata": {"finalizers": %s}}'
    held = ("patch", "configmap", "held", *here, "--type=merge", "--patch")
    stack.kubectl(*held, finalizers % '["example.com/hold"]')
    stack.kubectl("delete", "namespace", stack.namespace, "--wait=false")
    try:
        named = eventually(
            lambda: [one for one in diagnosed(stack) if "example.com/hold" in one["evidence"]], 180, "the reason"
        )
        assert named[0]["where"] == f"namespace {stack.namespace}"
        assert "kubectl patch <object>" in named[0]["remedy"]
        refused = stack.pulumi("up", "--refresh", check=False)
        assert refused.returncode != 0
        assert "because it is being terminated" in said(refused)
    finally:
        stack.kubectl(*held, finalizers % "null")
    eventually(lambda: not stack.get("namespace", stack.namespace, "--ignore-not-found"), 180, "the namespace's end")
    stack.pulumi("up", "--refresh")
    assert secret_values(stack, stack.namespace, TLS)["tls.crt"]
