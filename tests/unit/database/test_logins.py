"""The retirement of logins: when it runs, as which user, and which logins it keeps."""

from __future__ import annotations

from typing import Any

import pytest

from components.database_script import RETIRE_LOGINS
from tests.unit.database.graph import BY_IAM, record_access
from tests.unit.monitor import Recording

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_access()


def pod(recording: Recording, job: str) -> dict[str, Any]:
    found: dict[str, Any] = recording[job].inputs["spec"]["template"]["spec"]
    return found


def name(recording: Recording) -> str:
    found: str = recording["database-logins-job"].inputs["metadata"]["name"]
    return found


def environment(recording: Recording) -> dict[str, Any]:
    variables = pod(recording, "database-logins-job")["containers"][0]["env"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in variables}


def test_it_waits_for_the_roll_out_and_for_the_login(recording: Recording) -> None:
    assert {"release", "database-access-job"} <= recording.ancestors("database-logins-job")


@pytest.mark.parametrize(
    ("changes", "login"),
    [({}, "access_graph_a"), ({"rotation": 1}, "access_graph_b"), (BY_IAM, "access_graph_iam")],
    ids=["slot-a", "slot-b", "iam"],
)
def test_it_leaves_the_present_login_and_knows_all_three(changes: dict[str, Any], login: str) -> None:
    found = environment(record_access(**changes))
    assert found["LOGIN_ROLE"] == login
    assert found["LOGIN_ROLES"] == "access_graph_a access_graph_b access_graph_iam"


@pytest.mark.parametrize("managed", [True, False])
def test_its_pod_is_the_access_jobs_but_for_what_it_runs(managed: bool) -> None:
    """The pod is hardened in the same way, has the same ServiceAccount, and gets the master password by the same
    route."""
    recording = record_access(managed=managed)
    access, logins = pod(recording, "database-access-job"), pod(recording, "database-logins-job")
    for spec in (access, logins):
        (container,) = spec["containers"]
        script = container.pop("command")[2]
        container["env"] = [item for item in container["env"] if item["name"].startswith("PG")]
        assert (RETIRE_LOGINS in script) == (spec is logins)
    assert logins == access


def test_it_has_the_time_for_which_it_waits(recording: Recording) -> None:
    job = recording["database-logins-job"].inputs
    assert environment(recording)["GRACE_SECONDS"] == "40"
    assert job["spec"]["activeDeadlineSeconds"] == 640
    assert job["metadata"]["annotations"] == {
        "pulumi.com/replaceUnready": "true",
        "pulumi.com/timeoutSeconds": "760",
    }


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"rotation": 1}, {"image": "postgres:18"}, {"host": "elsewhere"}, BY_IAM])
def test_whatever_changes_what_it_does_runs_it_again(recording: Recording, changes: dict[str, Any]) -> None:
    assert name(record_access(**changes)) != name(recording)
    assert name(record_access()) == name(recording)


def test_it_runs_again_when_the_access_job_did(recording: Recording) -> None:
    """Taking back a rotation that failed half way runs a Job of the same name again. The login that the failed rotation
    left must end all the same."""
    again = record_access(computed={"kubernetes:batch/v1:Job": {"metadata": {"uid": "another"}}})
    assert again["database-access-job"].inputs == recording["database-access-job"].inputs
    assert name(again) != name(recording)


def test_kubernetes_expands_nothing_and_values_come_by_environment() -> None:
    assert "$$" not in RETIRE_LOGINS
    assert "$(" not in RETIRE_LOGINS
    assert "access_graph_" not in RETIRE_LOGINS
    for variable in ("LOGIN_ROLE", "LOGIN_ROLES", "GRACE_SECONDS"):
        assert f" {variable}\n" in RETIRE_LOGINS, "read by psql's \\getenv, never by the shell"
