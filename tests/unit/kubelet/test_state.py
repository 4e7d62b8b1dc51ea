"""The pod status that results from the states of its containers."""

from __future__ import annotations

import pytest

from sandbox.kubelet.state import (
    OWN_CONDITIONS,
    ContainerRecord,
    Running,
    Terminated,
    Waiting,
    conditions,
    phase_of,
    pod_status,
)

pytestmark = pytest.mark.unit

NOW = "2026-01-01T00:00:10Z"
EARLIER = "2026-01-01T00:00:00Z"


def ended(code: int) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", EARLIER, NOW)


def record(state, *, init: bool = False, ready: bool = False, restarts: int = 0) -> ContainerRecord:
    return ContainerRecord("c", "image:1", init, state=state, ready=ready, restarts=restarts)


@pytest.mark.parametrize(
    ("policy", "inits", "mains", "phase"),
    [
        ("Always", [], [Waiting("ContainerCreating")], "Pending"),
        ("Always", [], [Running(NOW)], "Running"),
        ("Always", [], [ended(0)], "Running"),
        ("Always", [Running(NOW)], [Waiting("PodInitializing")], "Pending"),
        ("Always", [ended(0)], [Running(NOW)], "Running"),
        ("Always", [ended(1)], [Waiting("PodInitializing")], "Pending"),
        ("Never", [ended(1)], [Waiting("PodInitializing")], "Failed"),
        ("Never", [], [ended(0)], "Succeeded"),
        ("Never", [], [ended(3)], "Failed"),
        ("Never", [], [ended(0), Running(NOW)], "Running"),
        ("Never", [], [ended(0), ended(1)], "Failed"),
        ("OnFailure", [], [ended(1)], "Running"),
        ("OnFailure", [], [ended(0)], "Succeeded"),
    ],
)
def test_phase(policy, inits, mains, phase):
    spec = {"restartPolicy": policy}
    assert phase_of(spec, [record(s, init=True) for s in inits], [record(s) for s in mains]) == phase


def test_a_container_in_backoff_has_begun():
    waiting = record(Waiting("CrashLoopBackOff"), restarts=2)
    assert phase_of({"restartPolicy": "Always"}, [], [waiting]) == "Running"


def condition(found, kind):
    return next(one for one in found if one["type"] == kind)


def test_ready_only_when_every_container_is():
    mains = [record(Running(NOW), ready=True), record(Running(NOW))]
    found = conditions("Running", [], mains, sandboxed=True, previous=[], now=NOW)
    ready = condition(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [c]"
    mains[1].ready = True
    found = conditions("Running", [], mains, sandboxed=True, previous=found, now=NOW)
    assert condition(found, "Ready")["status"] == "True"
    assert condition(found, "ContainersReady")["status"] == "True"


def test_a_transition_time_moves_only_with_its_status():
    mains = [record(Running(NOW))]
    before = conditions("Running", [], mains, sandboxed=True, previous=[], now=EARLIER)
    after = conditions("Running", [], mains, sandboxed=True, previous=before, now=NOW)
    assert condition(after, "Ready")["lastTransitionTime"] == EARLIER
    mains[0].ready = True
    last = conditions("Running", [], mains, sandboxed=True, previous=after, now=NOW)
    assert condition(last, "Ready")["lastTransitionTime"] == NOW
    assert condition(last, "Initialized")["lastTransitionTime"] == EARLIER


def test_a_node_writes_its_own_conditions_and_takes_back_what_stood_in_them():
    theirs = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": EARLIER}
    found = conditions("Running", [], [record(Running(NOW), ready=True)], sandboxed=True, previous=[theirs], now=NOW)
    assert {one["type"] for one in found} == set(OWN_CONDITIONS)
    assert (condition(found, "Ready")["reason"], condition(found, "Ready")["message"]) == (None, None)


def test_a_succeeded_pod_is_not_ready_and_says_that_it_is_complete():
    found = conditions("Succeeded", [], [record(ended(0))], sandboxed=True, previous=[], now=NOW)
    assert condition(found, "Ready")["reason"] == "PodCompleted"


def test_the_node_may_fail_a_pod_by_itself():
    status = pod_status(
        {"restartPolicy": "Never"},
        [],
        [record(Running(NOW))],
        previous=[],
        generation=1,
        pod_ip="10.93.1.1",
        host_ip="127.0.0.1",
        start_time=EARLIER,
        sandboxed=True,
        now=NOW,
        failure=("DeadlineExceeded", "too long"),
    )
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert status["podIPs"] == [{"ip": "10.93.1.1"}]
