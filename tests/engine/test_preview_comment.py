"""A pull request's whole way on the sandbox: the workflows' own scripts, from the engine to what reviewers read.

The tests are one story on one stack: nothing deployed, a change that would delete the database, a missing object, a
killed preview.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.home import CHECKOUT
from sandbox.plugins.faults import kill_tree
from tests.engine.conftest import COMMAND_SECONDS, RunningSandbox
from tests.engine.stacks import OwnStack, own_stack, secret_values
from tests.engine.waiting import eventually

pytestmark = pytest.mark.engine

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The identifier of a cluster that is not the sandbox's.
STRANGER = "00000000-0000-4000-8000-000000000000"


def step(workflow: str, job: str, name: str) -> tuple[str, dict[str, str]]:
    """The script of a step, as GitHub's runner gets it, and those of its variables that are not expressions."""
    parsed = yaml.safe_load((CHECKOUT / ".github" / "workflows" / f"{workflow}.yaml").read_text())
    (found,) = [one for one in parsed["jobs"][job]["steps"] if one.get("name") == name]
    return found["run"], {key: value for key, value in found.get("env", {}).items() if "${{" not in value}


class Runner:
    """Stands for GitHub's runner of one job: the checkout with its `.venv`, and files for outputs and the summary.

    The scripts write beside the program, because a stack's paths are relative to it; `clean` removes what they wrote.
    """

    def __init__(self, stack: OwnStack, directory: Path) -> None:
        self._stack = stack
        self.configuration = CHECKOUT / f"Pulumi.{stack.stack_name}.yaml"
        self.outputs = directory / "outputs"
        self.summary = directory / "summary.md"

    def clean(self) -> None:
        shutil.rmtree(CHECKOUT / "report", ignore_errors=True)
        for name in ("events.jsonl", "preflight.json", "preview.json", "preview.log", self.configuration.name):
            (CHECKOUT / name).unlink(missing_ok=True)

    def step(self, workflow: str, job: str, name: str, **variables: str) -> dict[str, str]:
        """Runs one step's script with bash, as the runner does, and returns its outputs."""
        self.outputs.write_text("")
        script, literals = step(workflow, job, name)
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=CHECKOUT,
            env=self.environment()
            | {"GITHUB_OUTPUT": str(self.outputs), "GITHUB_STEP_SUMMARY": str(self.summary), **literals, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(line.split("=", 1) for line in self.outputs.read_text().splitlines())

    def environment(self) -> dict[str, str]:
        environment = self._stack.environment()
        return {
            **environment,
            "STACK": self._stack.stack_name,
            # Only needed here: on a runner the file is Pulumi.<stack>.yaml beside the program.
            "PULUMI_OPTION_CONFIG_FILE": str(self._stack.configuration),
            "PATH": os.pathsep.join([str(self._stack.home.bin), environment.get("PATH", os.defpath)]),
        }

    def read(self, name: str) -> str:
        return (CHECKOUT / "report" / name).read_text()

    def preview(self, *labels: str, levels: str = "dev", asked: str = "done") -> tuple[dict[str, str], str]:
        """Runs the four steps of a pull request's job, and returns the last one's outputs and the comment."""
        # Copied to where it is on a runner, because some commands look only there.
        shutil.copy(self._stack.configuration, self.configuration)
        self.step("preview", "preview", "Whether the live world would let it work")
        validation = self.step("preview", "preview", "Whether the API server may be asked what it would do")["answer"]
        # The tests run as the cluster's administrator, who may do everything.
        assert validation == asked
        code = self.step("preview", "preview", "Preview", POLICY_LEVELS=levels)["code"]
        reported = self.step(
            "preview",
            "preview",
            "What it means",
            CODE=code,
            VALIDATION=validation,
            COMMIT=COMMIT,
            LABELS=json.dumps(labels),
            REPORT="https://x/y",
        )
        assert self.summary.read_text().endswith(self.read("comment.md"))
        return reported, self.read("comment.md")

    def drift(self) -> str | None:
        """Runs the two steps of the nightly job, and returns the issue's text, if there is one."""
        code = self.step("drift", "drift", "Preview against the live world")["code"]
        self.step("drift", "drift", "Why it is not empty", CODE=code, REPORT="https://x/y")
        return self.read("issue.md") if (CHECKOUT / "report" / "issue.md").exists() else None


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    with own_stack(running_sandbox, "reviewed", _cheap) as own:
        yield own


def _cheap(settings: dict[str, Any]) -> None:
    settings["database"]["onDestroy"] = "delete"


@pytest.fixture
def runner(stack: OwnStack, tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(stack, tmp_path)
    runner.clean()
    yield runner
    runner.clean()


def test_the_first_preview_says_that_nothing_is_lost(runner: Runner) -> None:
    reported, comment = runner.preview()
    assert reported == {"code": "0"}
    lines = comment.splitlines()
    assert lines[0] == "<!-- teleport-access-graph preview: reviewed -->"
    assert lines[1] == "### ⚪ `reviewed`: nothing restarts, nothing is lost"
    assert "| comes | `CN=teleport.example.com,O=teleport.example.com` |" in comment
    page = runner.read("report.html")
    assert page.count('class="node plain"') > 20
    assert page.count('class="node red"') == 0


def test_a_deployed_stack_is_quiet_and_its_secrets_are_nowhere(runner: Runner, stack: OwnStack) -> None:
    stack.pulumi("up")
    reported, comment = runner.preview()
    assert reported == {"code": "0"}
    assert comment.splitlines()[1] == "### ⚪ `reviewed`: nothing changes"
    assert runner.drift() is None
    uri = secret_values(stack, stack.namespace, "teleport-access-graph-postgres")["uri"]
    key = secret_values(stack, stack.namespace, "teleport-access-graph-tls")["tls.key"]
    for canary in (uri.split("://", 1)[1].split("@", 1)[0].split(":", 1)[1], *key.splitlines()[1:2]):
        for file in ("comment.md", "report.html"):
            assert canary not in runner.read(file)


def test_a_change_that_costs_the_database_fails_until_a_label_allows_it(runner: Runner, stack: OwnStack) -> None:
    good = stack.configuration.read_text()
    try:
        stack.database(databaseName="other_name")
        reported, comment = runner.preview()
        allowed, again = runner.preview("allow-red/reviewed")
    finally:
        stack.configuration.write_text(good)
    assert reported == {"code": "1"}
    assert comment.splitlines()[1] == "### 🔴 `reviewed`: 1 thing that cannot be undone, restarts of the access graph"
    assert "| replace | `database-instance` | lost: the database with everything in it (because of dbName) |" in comment
    assert "1. `the access graph, 2 pods`" in comment
    assert 'class="node red"' in runner.read("report.html")
    assert allowed == {"code": "0"}
    assert "A label allows what is red." in again


def test_what_production_is_held_to_fails_it_and_says_which_rule(runner: Runner) -> None:
    reported, comment = runner.preview("allow-red", levels="prod")
    assert reported == {"code": "1"}
    assert comment.splitlines()[1] == "### ⛔ `reviewed`: The preview failed."
    assert "#### ⛔ Stands against it, whatever the labels" in comment
    assert "| `database-is-hard-to-delete` | `database-instance` |" in comment
    _, held_to_less = runner.preview(levels="dev")
    assert "Stands against it" not in held_to_less
    assert "database-is-hard-to-delete: database-instance:" in held_to_less


def test_what_the_live_world_would_refuse_fails_it_too(runner: Runner, stack: OwnStack) -> None:
    good = stack.configuration.read_text()
    try:
        stack.change(lambda settings: settings["kubernetes"].update(clusterIdentifier=STRANGER))
        reported, comment = runner.preview()
    finally:
        stack.configuration.write_text(good)
    assert reported == {"code": "1"}
    assert "#### ⛔ Stands against it, whatever the labels" in comment
    assert "| `kubernetes" in comment


def test_a_refused_setting_is_the_comment(runner: Runner, stack: OwnStack) -> None:
    good = stack.configuration.read_text()
    try:
        stack.change(lambda settings: settings["accessGraph"].update(replica=3))
        reported, comment = runner.preview(asked="unknown")
    finally:
        stack.configuration.write_text(good)
    assert reported == {"code": "1"}
    assert comment.splitlines()[1] == "### ⛔ `reviewed`: The preview failed."
    assert "accessGraph.replica: is not a setting; did you mean replicas?" in comment


def test_a_missing_object_is_drift(runner: Runner, stack: OwnStack) -> None:
    stack.kubectl("delete", "secret", "teleport-access-graph-tls", "--namespace", stack.namespace)
    issue = runner.drift()
    assert issue is not None
    assert "The nightly preview of `reviewed` found: **drift**." in issue
    assert "- create `credentials-tls`" in issue.splitlines()
    stack.pulumi("up", "--refresh")
    assert runner.drift() is None


def test_a_killed_preview_has_a_comment_too(runner: Runner) -> None:
    said = CHECKOUT / "preview.json"
    said.unlink(missing_ok=True)
    script, literals = step("preview", "preview", "Preview")
    process = subprocess.Popen(
        ["bash", "-e", "-c", script],
        cwd=CHECKOUT,
        env=runner.environment() | {"GITHUB_OUTPUT": str(runner.outputs), **literals, "POLICY_LEVELS": "dev"},
        stdin=subprocess.DEVNULL,
    )
    # Once the file exists, the preview is under way; it prints nothing before its end.
    eventually(said.exists, 180, "the preview's beginning")
    # The whole tree, because `timeout` makes a process group of its own.
    kill_tree(process.pid)
    process.wait(timeout=300)
    reported = runner.step(
        "preview", "preview", "What it means", CODE="137", COMMIT=COMMIT, LABELS="[]", REPORT="https://x/y"
    )
    assert reported == {"code": "1"}
    assert runner.read("comment.md").splitlines()[1] == (
        "### ⛔ `reviewed`: The preview did not end by itself: it was killed. It had said nothing yet."
    )
