"""The workflows: actions are pinned, no token that can write is beside unmerged code, and every command exists."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from operations.__main__ import app
from operations.preview.publish import _parser

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
NAMES = [file.stem for file in FILES]


@functools.cache
def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yaml").read_text())
    return found


def jobs(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = workflow(name)["jobs"]
    return found


def scripts(name: str) -> Iterator[str]:
    for job in jobs(name).values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"].replace("\\\n", " ")


def test_there_are_four() -> None:
    assert NAMES == ["deploy", "drift", "preview", "test"]


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_by_its_commit_and_names_its_version(name: str) -> None:
    lines = [line.strip() for line in (ROOT / ".github/workflows" / f"{name}.yaml").read_text().splitlines()]
    used = [line for line in lines if re.match(r"(- )?uses:", line)]
    assert used
    assert [line for line in used if not re.fullmatch(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_one_action_has_one_version_everywhere() -> None:
    text = "\n".join(file.read_text() for file in FILES)
    pins = set(re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (\S+)", text))
    assert len(pins) == len({action for action, _, _ in pins})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_permitted_that_a_job_does_not_ask_for(name: str) -> None:
    assert workflow(name)["permissions"] == {}
    for job in jobs(name).values():
        assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 90


def test_only_the_jobs_that_need_it_may_do_more_than_read() -> None:
    more = {
        (name, job): {what: level for what, level in given["permissions"].items() if what != "contents"}
        for name in NAMES
        for job, given in jobs(name).items()
        if given["permissions"] != {"contents": "read"}
    }
    assert more == {
        ("preview", "preview"): {"id-token": "write"},
        ("preview", "comment"): {"pull-requests": "write"},
        ("preview", "withdraw"): {"pull-requests": "write"},
        ("deploy", "deploy"): {"id-token": "write"},
        ("drift", "drift"): {"id-token": "write", "issues": "write"},
    }


def test_what_a_fork_may_start_has_no_secret_and_no_environment() -> None:
    """Every test runs for anybody's pull request, as `.ci/run` does on a fresh machine."""
    assert set(workflow("test")[True]) == {"pull_request", "push"}
    text = (ROOT / ".github" / "workflows" / "test.yaml").read_text()
    assert re.findall(r"secrets\.|vars\.|github\.token", text) == []
    assert [job for job in jobs("test").values() if "environment" in job] == []
    assert ".ci/run" in {step.get("run") for step in jobs("test")["test"]["steps"]}


def test_code_of_a_pull_request_never_runs_beside_a_token_that_writes() -> None:
    parsed = workflow("preview")
    # YAML 1.1 reads the key `on` as true.
    assert list(parsed[True]) == ["pull_request"]
    writing = {name for name, job in parsed["jobs"].items() if "write" in job["permissions"].get("pull-requests", "")}
    assert writing == {"comment", "withdraw"}
    for name in writing:
        (checkout,) = [step for step in parsed["jobs"][name]["steps"] if "checkout" in step.get("uses", "")]
        # The default branch, not the pull request's target branch: that may be anybody's.
        assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
        assert "id-token" not in parsed["jobs"][name]["permissions"]


def test_forks_are_skipped_before_anything_else() -> None:
    first = jobs("preview")["environments"]
    assert first["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert "environments" in jobs("preview")["preview"]["needs"]
    assert "environments" in jobs("preview")["withdraw"]["needs"]


@pytest.mark.parametrize(
    ("name", "job", "cancelled"), [("preview", "preview", True), ("deploy", "deploy", False), ("drift", "drift", False)]
)
def test_one_stack_has_one_run_at_a_time_and_an_up_is_never_broken_off(name: str, job: str, cancelled: bool) -> None:
    concurrency = jobs(name)[job]["concurrency"]
    assert "${{ matrix.stack }}" in concurrency["group"]
    assert concurrency["cancel-in-progress"] is cancelled


def test_roles_are_three_and_only_one_deploys() -> None:
    roles = {
        name: step["with"]["role-to-assume"]
        for name in NAMES
        for job in jobs(name).values()
        for step in job["steps"]
        if "configure-aws-credentials" in step.get("uses", "")
    }
    assert roles == {
        "preview": "${{ vars.AWS_PREVIEW_ROLE_ARN }}",
        "deploy": "${{ vars.AWS_DEPLOY_ROLE_ARN }}",
        "drift": "${{ vars.AWS_DRIFT_ROLE_ARN }}",
    }
    changing = {
        name for name in NAMES for script in scripts(name) if re.search(r"pulumi (up|destroy|refresh)\b", script)
    }
    assert changing == {"deploy"}
    assert jobs("deploy")["deploy"]["environment"] == {"name": "${{ matrix.stack }}"}


@pytest.mark.parametrize("name", NAMES)
def test_no_script_has_a_value_of_the_event_pasted_into_it(name: str) -> None:
    assert [script for script in scripts(name) if "${{" in script] == []
    for job in jobs(name).values():
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_ours_has_the_options_that_it_is_given(name: str) -> None:
    given = 0
    for script in scripts(name):
        for line in script.splitlines():
            found = re.search(r"-m operations ([\w-]+)(.*)", line)
            if found is None:
                continue
            given += 1
            command = get_command(app).commands[found.group(1)]  # type: ignore[attr-defined]
            known = {option for parameter in command.params for option in parameter.opts}
            words = [word for word in shlex.split(found.group(2).split("||")[0]) if word.startswith("--")]
            assert set(words) <= known, (found.group(1), set(words) - known)
    assert given == {"preview": 3, "deploy": 2, "drift": 1, "test": 2}[name]


@pytest.mark.parametrize(("name", "title"), [("preview", "Preview"), ("deploy", "Deploy")])
def test_a_preview_and_its_up_are_held_to_the_environments_policies(name: str, title: str) -> None:
    """The `up` is checked as well: in the preview, a rule about a value that is still unknown says nothing."""
    (step,) = [step for step in jobs(name)[name]["steps"] if step.get("name") == title]
    assert "--policy-pack policy " in step["run"]
    assert step["env"]["POLICY_LEVELS"] == "${{ vars.POLICY_LEVELS }}"
    # Without the variable the strictest level applies, and each level that the variable may name exists.
    (levels,) = re.findall(r'--policy-pack-config "([^"]+)"', step["run"])
    assert levels == "policy/levels/${POLICY_LEVELS:-prod}.json"
    assert json.loads((ROOT / "policy" / "levels" / "prod.json").read_text()) == {"all": "mandatory"}


def test_what_the_live_world_says_is_for_the_comment_and_ends_no_job_by_itself() -> None:
    steps = [step.get("name") for step in jobs("preview")["preview"]["steps"]]
    assert steps.index("Whether the live world would let it work") < steps.index("Preview") < len(steps)
    (script,) = [script for script in scripts("preview") if "operations preflight" in script]
    assert re.search(r"--json > preflight\.json\s+\|\| echo", script)
    (report,) = [script for script in scripts("preview") if "operations comment" in script]
    assert "--preflight preflight.json" in report
    assert "--events events.jsonl" in report


@pytest.mark.parametrize(("name", "what"), [("preview", "comment"), ("preview", "withdraw"), ("drift", "issue")])
def test_what_is_published_is_called_as_it_wants_to_be(name: str, what: str) -> None:
    lines = [line for script in scripts(name) for line in script.splitlines()]
    (line,) = [line for line in lines if f"operations.preview.publish {what}" in line]
    words = [word for word in shlex.split(line.split("publish", 1)[1]) if word != "$@"]
    parsed = _parser().parse_args(["7" if word == "$NUMBER" else word for word in words])
    assert parsed.what == what
    assert parsed.label == "drift" if what == "issue" else parsed.number == 7


def test_a_deployment_takes_nothing_from_a_cache_that_a_pull_request_could_fill() -> None:
    used = [step.get("uses", "") for job in jobs("deploy").values() for step in job["steps"]]
    assert not [action for action in used if action.startswith("actions/cache")]
    assert not [step for job in jobs("deploy").values() for step in job["steps"] if "cache" in step.get("with", {})]


def test_the_engine_is_the_one_that_the_program_asks_for() -> None:
    wanted = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["requiredPulumiVersion"].removeprefix(">=")
    versions = {
        step["with"]["pulumi-version"]
        for name in NAMES
        for job in jobs(name).values()
        for step in job["steps"]
        if step.get("uses", "").startswith("pulumi/actions")
    }
    assert versions == {wanted}


@pytest.mark.parametrize(
    ("code", "said", "ends"),
    [(0, False, 0), (1, True, 0), (1, False, 1), (2, False, 2), (137, True, 137)],
    ids=["as deployed", "something to say", "broke off", "refused", "killed"],
)
def test_a_night_that_found_nothing_out_ends_the_job_before_the_issue(
    code: int, said: bool, ends: int, tmp_path: Path
) -> None:
    (script,) = [script for script in scripts("drift") if "operations drift" in script]
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nmkdir report\n{'echo why > report/issue.md' if said else ''}\nexit {code}\n")
    python.chmod(0o755)
    summary = tmp_path / "summary"
    given = {
        "PATH": os.environ["PATH"],
        "STACK": "prod",
        "CODE": "0",
        "REPORT": "",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, env=given).returncode == ends
    assert summary.exists() is (ends == 0 and said)
