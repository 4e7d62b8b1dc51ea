"""One command for many environments: limited concurrency, a line for each, failures last. The runner of these tests
runs no engine."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from pulumi import automation
from typer.testing import CliRunner

from operations import __main__ as command_line
from operations import fleet_engine
from operations.fleet import FleetError, FleetOperation, Outcome, changes_in_words, closing_lines, run_fleet
from operations.fleet_engine import EngineCommand, EngineRun, engine_error
from operations.stack import StackError

pytestmark = pytest.mark.unit

LOGS = Path("/logs")
STACKS = ["dev", "staging", "production"]


class Recorder:
    """Counts how many environments run at once, and fails where a test asks it to."""

    def __init__(self, failing: Mapping[str, str] | None = None, seconds: float = 0.0) -> None:
        self.failing = failing or {}
        self.seconds = seconds
        self.began: list[str] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, stack: str, log: Path) -> Mapping[str, int]:
        with self._lock:
            self.began.append(stack)
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        if stack in self.failing:
            raise FleetError(self.failing[stack])
        return {"create": 2, "same": 40}


def without_seconds(line: str) -> str:
    return re.sub(r"(ok|FAILED) +\d+\.\d s ", lambda found: f"{found[1]:<6}  N s ", line)


def test_each_has_a_line_of_status_as_it_ends() -> None:
    said: list[str] = []
    report = run_fleet(STACKS, Recorder(), parallel=1, logs=LOGS, say=said.append)
    assert [without_seconds(line) for line in said] == [
        "dev         ok      N s  2 create",
        "staging     ok      N s  2 create",
        "production  ok      N s  2 create",
    ]
    assert report.exit_code == 0
    assert closing_lines(report) == ["3 of 3 went well"]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 4])
def test_no_more_are_under_way_than_allowed(parallel: int) -> None:
    run = Recorder(seconds=0.02)
    names = [f"environment-{number}" for number in range(12)]
    report = run_fleet(names, run, parallel=parallel, logs=LOGS, say=lambda line: None)
    assert run.most == parallel
    assert sorted(outcome.stack for outcome in report.outcomes) == sorted(names)


def test_one_that_fails_stops_no_other_and_is_said_last_with_its_log() -> None:
    said: list[str] = []
    report = run_fleet(STACKS, Recorder({"dev": "no valid credentials"}), parallel=1, logs=LOGS, say=said.append)
    assert without_seconds(said[0]) == "dev         FAILED  N s  no valid credentials"
    assert len(said) == 3
    assert report.exit_code == 1
    assert closing_lines(report) == ["2 of 3 went well", "dev: no valid credentials", "  log: /logs/dev.log"]


def test_after_enough_failures_no_other_begins() -> None:
    run = Recorder({"dev": "broken"})
    report = run_fleet(STACKS, run, parallel=1, logs=LOGS, say=lambda line: None, max_failures=1)
    assert run.began == ["dev"]
    assert report.exit_code == 1
    assert closing_lines(report) == [
        "0 of 3 went well",
        "not begun: staging, production",
        "dev: broken",
        "  log: /logs/dev.log",
    ]


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Give SIGINT Python's default handler during the test: a test runner may ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_those_under_way_and_begins_no_other(as_in_a_terminal: None) -> None:
    said: list[str] = []

    def run(stack: str, log: Path) -> Mapping[str, int]:
        # A terminal sends this signal on Ctrl-C.
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        return {}

    report = run_fleet(STACKS, run, parallel=1, logs=LOGS, say=said.append)
    assert said[0] == "interrupted: waiting for dev; once more cancels them"
    assert [outcome.stack for outcome in report.outcomes] == ["dev"]
    assert report.not_begun == ["staging", "production"]
    assert report.exit_code == 1


def test_a_second_interrupt_cancels_those_under_way_and_loses_no_report(as_in_a_terminal: None) -> None:
    cancelled: list[bool] = []

    def run(stack: str, log: Path) -> Mapping[str, int]:
        for heard in (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 60
            while len(said) < heard and time.monotonic() < deadline:
                time.sleep(0.01)
        raise FleetError("it was cancelled")

    said: list[str] = []
    report = run_fleet(STACKS, run, parallel=1, logs=LOGS, say=said.append, cancel=lambda: cancelled.append(True))
    assert said[:2] == ["interrupted: waiting for dev; once more cancels them", "interrupted again: cancelling dev"]
    assert cancelled == [True]
    assert closing_lines(report)[:3] == ["0 of 3 went well", "not begun: staging, production", "dev: it was cancelled"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whatever_else_ends_a_command_cancels_those_under_way_at_once(number: signal.Signals) -> None:
    """If the fleet were simply killed, nobody would read its engines' output; they would die of that in the middle of a
    step."""
    cancelled: list[bool] = []
    before = signal.signal(number, signal.SIG_DFL)

    def run(stack: str, log: Path) -> Mapping[str, int]:
        os.kill(os.getpid(), number)
        deadline = time.monotonic() + 60
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        raise FleetError("it was cancelled")

    said: list[str] = []
    try:
        report = run_fleet(STACKS, run, parallel=1, logs=LOGS, say=said.append, cancel=lambda: cancelled.append(True))
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert said[0] == "told to end: cancelling dev"
    assert cancelled == [True]
    assert report.not_begun == ["staging", "production"]
    assert report.exit_code == 1


def test_what_is_ignored_stays_ignored() -> None:
    """`nohup` ignores a signal so that the command outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def run(stack: str, log: Path) -> Mapping[str, int]:
        os.kill(os.getpid(), signal.SIGHUP)
        return {}

    try:
        report = run_fleet(STACKS, run, parallel=1, logs=LOGS, say=lambda line: None)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert [outcome.stack for outcome in report.outcomes] == list(STACKS)


def test_an_error_that_nobody_thought_of_is_that_environments_alone() -> None:
    def run(stack: str, log: Path) -> Mapping[str, int]:
        if stack == "dev":
            raise NotADirectoryError(20, "Not a directory", "/dev/null/x")
        return {}

    report = run_fleet(STACKS, run, parallel=1, logs=LOGS, say=lambda line: None)
    assert closing_lines(report)[:2] == [
        "2 of 3 went well",
        "dev: NotADirectoryError: [Errno 20] Not a directory: '/dev/null/x'",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "no change"),
        ({"same": 40}, "no change"),
        ({"same": 1, "update": 2, "create": 1, "delete": 3}, "3 delete, 1 create, 2 update"),
        ({"replace": 2, "create-replacement": 2, "delete-replaced": 2}, "2 replace"),
        ({"import": 1, "unheard-of": 1}, "1 import, 1 unheard-of"),
    ],
)
def test_changes_are_said_worst_first(changes: Mapping[str, int], words: str) -> None:
    assert changes_in_words(changes) == words


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("\n code: 255\n stdout: \nstderr: error: no stack named 'x' found\n", "no stack named 'x' found"),
        (
            "Diagnostics:\n  pulumi:pulumi:Stack (x):\n    error: aws.region: is missing\n    more",
            "aws.region: is missing",
        ),
        (
            " ~  kubernetes:helm.sh/v3:Release x **updating failed** error: 1 error occurred:\n"
            "    pulumi:pulumi:Stack y running error: update failed\nDiagnostics:\n  pulumi:pulumi:Stack (y):\n"
            "    error: update failed\n  kubernetes:helm.sh/v3:Release (x):\n    error: 1 error occurred:\n"
            '    \t* Helm release "x" failed to initialize completely\n',
            'Helm release "x" failed to initialize completely',
        ),
        (
            " +  pulumi:pulumi:Stack x create error: The configuration has 2 problems:\n"
            "    pulumi:pulumi:Stack x  error: The configuration has 2 problems:\n"
            "    pulumi:pulumi:Stack x  1 error\nDiagnostics:\n  pulumi:pulumi:Stack (x):\n"
            "    error: The configuration has 2 problems:\n      aws.region: is missing\n      tls.mode: is missing\n",
            "aws.region: is missing",
        ),
        (
            "    error: What the configuration points to has 1 problem:\n      a.pem: is no certificate\n",
            "a.pem: is no certificate",
        ),
        ("error: 2 errors occurred:\n", "error: 2 errors occurred:"),
        ("error: update failed\nmore", "update failed"),
        ("\n code: -9\n stdout: \n stderr: ", "killed by signal 9"),
        ("\n code: 137\n stdout: Previewing update (dev):\n\n stderr: ", "killed by signal 9"),
        ("\n code: -15\n stdout: \n stderr: error: cancelled", "cancelled"),
        ("\n code: 255\n stdout: Previewing update (dev):\n\n stderr: ", "Previewing update (dev):"),
        ("\n code: 255\n stdout: \n stderr: ", "it failed without a word, with exit code 255"),
        ("", "it failed without a word"),
    ],
)
def test_the_engines_own_word_is_the_error(said: str, error: str) -> None:
    assert engine_error(said) == error


class Engine(automation.PulumiCommand):
    """Answers as the CLI does, and keeps its calls."""

    def __init__(self, code: int = 0) -> None:
        self.asked: list[list[str]] = []
        self.code = code
        self.command = "pulumi"
        self.version = None

    def interrupt(self) -> None:
        pass

    def run(self, args, cwd, additional_env, on_output=None, on_error=None):  # type: ignore[no-untyped-def]
        self.asked.append(args)
        if on_output is not None:
            on_output("previewing")
        if self.code:
            raise automation.CommandError(
                automation.CommandResult(stdout="", stderr="error: the stack is locked", code=self.code)
            )
        return automation.CommandResult(stdout="", stderr="", code=0)


def test_a_stack_is_looked_for_and_never_selected(tmp_path: Path) -> None:
    engine = Engine()
    workspace = fleet_engine._Workspace(work_dir=str(tmp_path), pulumi_command=engine)
    automation.Stack.select("dev", workspace)
    assert engine.asked == [["stack", "--stack", "dev"]]


def test_an_engine_that_fails_leaves_its_log_to_its_owner_alone(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "dev.log"
    run = EngineRun(operation=FleetOperation.preview, root=tmp_path, command=Engine(code=255))
    with pytest.raises(FleetError, match=r"^the stack is locked$"):
        run("dev", log)
    assert log.stat().st_mode & 0o777 == 0o600


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no file that is always full")
@pytest.mark.parametrize("code", [0, 255])
def test_a_log_that_cannot_be_written_ends_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on a full disk: an `up` that is broken off leaves a lock and half-made resources."""
    ended = tmp_path / "ended"
    put_engine(
        *(tmp_path, monkeypatch),
        "for _ in $(seq 20000); do echo said; echo aside >&2; done",
        f"echo error: refused >&2; touch {ended}; exit {code}",
    )
    command = EngineCommand()

    def update(run: EngineRun, stack: str, write: Callable[[str], None]) -> Mapping[str, int]:
        run.command.run(["up"], str(tmp_path), {}, write, write)
        return {"update": 2}

    monkeypatch.setattr(EngineRun, "_run", update)
    said = (
        "refused" if code else r"it went well \(2 update\), but its log could not be written: No space left on device"
    )
    with pytest.raises(FleetError, match=f"^{said}$"):
        EngineRun(operation=FleetOperation.up, root=tmp_path, command=command)("dev", FULL)
    assert ended.exists()


def put_engine(directory: Path, monkeypatch: pytest.MonkeyPatch, *body: str, version: str = "v3.300.0") -> None:
    """Put a CLI on PATH that prints this version, and runs `body` for every other command."""
    engine = directory / "pulumi"
    lines = ["#!/bin/sh", f'[ "$1" = version ] && echo {version} && exit', *body]
    engine.write_text("\n".join(lines) + "\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/usr/bin:/bin")
    monkeypatch.delenv("PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK", raising=False)


@pytest.mark.slow
def test_an_engine_runs_in_a_session_of_its_own_and_is_told_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_engine(
        *(tmp_path, monkeypatch),
        f"exec {sys.executable} -c \"import os, sys; print(os.getsid(0), sys.argv[1:], os.environ['OWN']); "
        'print(\'aside\', file=sys.stderr)" "$@"',
    )
    heard: list[str] = []
    complained: list[str] = []
    done = EngineCommand().run(["up", "--yes"], str(tmp_path), {"OWN": "x"}, heard.append, complained.append)
    session, _, rest = done.stdout.partition(" ")
    assert int(session) != os.getsid(0)
    assert rest == "['--non-interactive', 'up', '--yes'] x"
    assert (heard, complained, done.stderr, done.code) == ([done.stdout], ["aside"], "aside", 0)


@pytest.mark.slow
def test_an_interrupt_reaches_the_engine_when_it_is_meant_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_engine(
        *(tmp_path, monkeypatch),
        "trap 'echo error: cancelled >&2; exit 255' INT",
        "echo begun",
        "for _ in $(seq 200); do sleep 0.05; done",
    )
    command = EngineCommand()
    # As in a fleet. A shell that is started with SIGINT ignored, as a background job is, could not trap it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(automation.CommandError) as ended:
            command.run(["up"], str(tmp_path), {}, lambda line: command.interrupt())
    finally:
        signal.signal(signal.SIGINT, before)
    assert engine_error(str(ended.value)) == "cancelled"


@pytest.mark.parametrize(
    ("version", "said"),
    [(None, "^pulumi: is not on PATH"), ("abc", "its version cannot be used: .*parse"), ("v1.0.0", "cannot be used")],
)
def test_a_cli_that_does_not_serve_is_said_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, said: str
) -> None:
    if version is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        put_engine(tmp_path, monkeypatch, version=version)
    with pytest.raises(StackError, match=said):
        EngineCommand()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("dev", "prod", "prod.deploy", "sandbox"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text("config: {}\n")
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    return tmp_path


def ran(monkeypatch: pytest.MonkeyPatch, *arguments: str, failing: Mapping[str, str] | None = None) -> tuple[int, str]:
    recorder = Recorder(failing)
    monkeypatch.setattr(fleet_engine.EngineRun, "__call__", lambda self, stack, log: recorder(stack, log))
    monkeypatch.setattr(fleet_engine, "EngineCommand", Engine)
    result = CliRunner().invoke(command_line.app, ["fleet", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_all_are_those_that_have_a_file_the_sandbox_aside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = ran(monkeypatch, "preview", "--all", "--parallel", "1")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == ["dev", "prod", "2"]


def test_a_failure_is_the_commands_exit_code(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = ran(monkeypatch, "preview", "--stacks", "dev, prod", failing={"prod": "no credentials"})
    assert code == 1
    assert said.splitlines()[-2] == "prod: no credentials"
    assert said.splitlines()[-1].endswith("report/fleet/prod.log")


def test_a_deployment_begins_no_other_after_the_first_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = ran(monkeypatch, "up", "--all", "--yes", "--parallel", "1", failing={"dev": "broken"})
    assert code == 1
    assert "not begun: prod" in said.splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["preview"], "say which environments by --stacks, or --all"),
        (["preview", "--all", "--stacks", "dev"], "say which environments by --stacks, or --all"),
        (["preview", "--stacks", "dev,staging"], "no Pulumi.<name>.yaml for staging"),
        (["preview", "--stacks", "prod.deploy"], "no Pulumi.<name>.yaml for prod.deploy"),
        (["preview", "--stacks", ","], "no Pulumi.<name>.yaml for any environment"),
        (["preview", "--stacks", "dev,dev"], "named twice"),
        (["up", "--stacks", "dev"], "nothing was deployed; say --yes"),
    ],
)
def test_what_is_unclear_is_refused_before_anything_begins(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    with pytest.raises(StackError, match=said):
        ran(monkeypatch, *arguments)


def test_logs_that_cannot_be_written_are_said_before_anything_begins(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("/dev/null/logs", "/proc"):
        with pytest.raises(OSError, match=place):
            ran(monkeypatch, "preview", "--all", "--logs", place)


def test_the_engine_is_given_a_directory_of_configurations_by_its_whole_path(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine runs in the program's directory, where a path relative to the command's directory may lead nowhere."""
    elsewhere = root / "elsewhere" / "configurations"
    elsewhere.mkdir(parents=True)
    (elsewhere / "Pulumi.west.yaml").write_text("config: {}\n")
    monkeypatch.chdir(elsewhere.parent)
    given: list[Path] = []

    def run(self: EngineRun, stack: str, log: Path) -> Mapping[str, int]:
        assert self.configuration is not None
        given.append(self.configuration(stack))
        return {}

    monkeypatch.setattr(fleet_engine.EngineRun, "__call__", run)
    monkeypatch.setattr(fleet_engine, "EngineCommand", Engine)
    done = CliRunner().invoke(command_line.app, ["fleet", "preview", "--all", "--config-directory", "configurations"])
    assert (done.exit_code, given) == (0, [elsewhere / "Pulumi.west.yaml"])


def test_an_outcome_knows_whether_it_went_well() -> None:
    assert Outcome(stack="dev", seconds=12.34, log=LOGS, changes={"update": 1}).line == "ok        12.3 s  1 update"
