"""What is measured against what: each function returns rows and says what each side does.

Uses the engine tests' own sandbox, in a home of its own beside the user's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench import alone, flat_program, terraform
from bench.measuring import Command, Figure, by_turns, peak_memory, python
from sandbox import existing_teleport
from sandbox.charts import ACCESS_GRAPH, TELEPORT, package_chart
from sandbox.home import CHECKOUT
from sandbox.kubelet.settings import PROBES_AS_WRITTEN
from tests.engine.conftest import RunningSandbox, started_sandbox
from tests.engine.stacks import aws_position, aws_writes, own_stack, secret_values

BASELINES = CHECKOUT / "bench" / "baselines"
GRAPH_NAMESPACE = GRAPH_RELEASE = "teleport-access-graph"
FLAT = "flat"
PLAIN = "plain"
TERRAFORM = "graph-terraform"
PROBES = "pods are probed as their charts say"
Say = Callable[[str], None]


@contextmanager
def measured_sandbox() -> Iterator[RunningSandbox]:
    """A sandbox whose pods become ready as on a real node: that wait is most of a rollout."""
    with started_sandbox(PROBES_AS_WRITTEN) as running:
        yield running


def program_alone(runs: int) -> list[Figure]:
    """Processor time and memory of the program without an engine, against importing the SDK modules that it loads."""
    memory: dict[str, list[float]] = {"ours": [], "baseline": [], "libraries": []}

    def measure(side: str, command: Command) -> float:
        seconds, megabytes = command.usage()
        memory[side].append(megabytes)
        return seconds

    with alone.program_process() as program:
        libraries = alone.modules_of(program)
        modules = alone.of_sdks(libraries)
        sides = {"ours": program, "baseline": alone.importing(modules), "libraries": alone.importing(libraries)}
        found = by_turns(runs, {side: partial(measure, side, command) for side, command in sides.items()})
    return [
        Figure(
            "program alone: start to last registration / importing its SDK modules",
            1.4,
            found["ours"],
            found["baseline"],
            remark=f"{len(modules)} modules of the SDKs; processor time; the recording monitor is another process",
        ),
        Figure("memory of the program / of its SDK modules", 1.2, memory["ours"], memory["baseline"], unit="MB"),
        Figure(
            "memory of the program / of all that it imports",
            1.2,
            memory["ours"],
            memory["libraries"],
            unit="MB",
            remark=f"{len(libraries)} modules: the SDKs, pydantic, cryptography and what these need",
        ),
    ]


def clusters_on_one_access_graph(runs: int) -> list[Figure]:
    """The cost of a further Teleport cluster, averaged up to 50, against up to 10: equal if it is linear."""
    command = python(CHECKOUT, "-m", "bench.alone", "1", "10", "50")
    ours, baseline = [], []
    for _ in range(runs):
        one, ten, fifty = json.loads(command.output())
        ours.append((fifty - one) / 49)
        baseline.append((ten - one) / 9)
    remark = "processor time of a warm process"
    return [Figure("a further Teleport cluster, up to 50 / up to 10", 1.2, ours, baseline, remark=remark)]


def unchanged_stack(deployed: RunningSandbox, runs: int) -> list[Figure]:
    """Preview and no-op `up` of the whole stack, against an empty program and a flat one with the same resources."""
    with _empty_stack(deployed) as empty, _flat_stack(deployed) as flat:
        options = ("--non-interactive", "--expect-no-changes")
        up = (*options, "--yes", "--skip-preview")
        ours = _engine(deployed, CHECKOUT, "preview", *options, "--config-file", str(deployed.configuration))
        ours_up = _engine(deployed, CHECKOUT, "up", *up, "--config-file", str(deployed.configuration))
        # An empty program creates its stack resource only at its first `up`, so changes are expected.
        sides = {
            "empty": _engine(deployed, empty, "preview", "--non-interactive", stack="empty"),
            "flat": _engine(deployed, flat, "preview", *options, stack=FLAT),
            "ours": ours,
        }
        ups = {"flat": _engine(deployed, flat, "up", *up, stack=FLAT), "ours": ours_up}
        # The first run of each compiles the program and starts what is cached later.
        for command in (*sides.values(), *ups.values()):
            command.output()
        previews = by_turns(runs, {name: command.seconds for name, command in sides.items()})
        no_op = by_turns(runs, {name: command.seconds for name, command in ups.items()})
    return [
        Figure("preview of the unchanged stack / an empty program", 3.0, previews["ours"], previews["empty"]),
        Figure("preview of the unchanged stack / a flat program", 1.10, previews["ours"], previews["flat"]),
        Figure("up of the unchanged stack / a flat program", 1.10, no_op["ours"], no_op["flat"]),
    ]


def against_terraform(deployed: RunningSandbox, runs: int, cold_runs: int) -> list[Figure]:
    """A stack of the same program without AWS, on an existing database, against the same resources by OpenTofu."""
    uri = secret_values(deployed, GRAPH_NAMESPACE, f"{GRAPH_NAMESPACE}-postgres")["uri"]
    for namespace in (f"graph-{PLAIN}", TERRAFORM):
        deployed.kubectl("create", "namespace", namespace)
        deployed.kubectl(
            "--namespace", namespace, "create", "secret", "generic", "database", f"--from-literal=uri={uri}"
        )
    with own_stack(deployed, PLAIN, _without_aws) as stack, tempfile.TemporaryDirectory() as directory:
        stack.pulumi("up")
        exported = json.loads(stack.pulumi("stack", "export", "--show-secrets").stdout)
        written = terraform.configuration(exported["deployment"], TERRAFORM, str(deployed.home.kubeconfig))
        with terraform.deployed_by_terraform(written, Path(directory), deployed.environment()) as theirs:
            options = ("--non-interactive", "--config-file", str(stack.configuration))
            preview = _engine(stack, CHECKOUT, "preview", "--expect-no-changes", *options)
            plan = theirs.command("plan", "-detailed-exitcode")
            previews = by_turns(runs, {"ours": preview.seconds, "theirs": plan.seconds})
            ups = by_turns(
                cold_runs,
                {
                    "ours": partial(
                        _anew,
                        _engine(stack, CHECKOUT, "destroy", "--yes", "--skip-preview", *options),
                        _engine(stack, CHECKOUT, "up", "--yes", "--skip-preview", *options),
                    ),
                    "theirs": partial(
                        _anew, theirs.command("destroy", "-auto-approve"), theirs.command("apply", "-auto-approve")
                    ),
                },
            )
    remark = f"{sum(map(len, written['resource'].values()))} resources on {len(terraform.PROVIDERS)} providers"
    return [
        Figure(
            "preview of a stack without AWS / OpenTofu's plan of the same",
            2.0,
            previews["ours"],
            previews["theirs"],
            remark=remark,
        ),
        Figure(
            "up of it from nothing / OpenTofu's apply", 1.0, ups["ours"], ups["theirs"], remark=f"{remark}; {PROBES}"
        ),
    ]


def _anew(remove: Command, make: Command) -> float:
    remove.output()
    return make.seconds()


def _without_aws(settings: dict[str, Any]) -> None:
    del settings["aws"]
    settings["database"] = {
        "mode": "existing",
        "secret": {"name": "database"},
        "caBundleFile": settings["database"]["caBundleFile"],
    }
    settings["accessGraph"] |= {"createNamespace": False}


def writes_of_nothing(deployed: RunningSandbox) -> list[Figure]:
    """Writes to the Kubernetes API and to AWS in an `up` that has nothing to do; dry runs do not count."""
    cluster, cloud = deployed.audit_position(), aws_position(deployed)
    deployed.pulumi("up", "--expect-no-changes")
    count = len(deployed.writes(since=cluster)) + len(aws_writes(deployed, since=cloud))
    return [Figure("writes to Kubernetes and AWS in an up without a change", 0, [count], [], unit="requests")]


def replicas_changed(deployed: RunningSandbox, runs: int) -> list[Figure]:
    """One setting changed and changed back, against Helm's own upgrade of the same release."""
    chart = package_chart(deployed.home, ACCESS_GRAPH, deployed.environment())

    def ours(replicas: int) -> float:
        _configure(deployed, replicas)
        return _engine(
            deployed,
            CHECKOUT,
            "up",
            "--non-interactive",
            "--yes",
            "--skip-preview",
            "--config-file",
            str(deployed.configuration),
        ).seconds()

    def by_helm(replicas: int) -> float:
        arguments = ["upgrade", GRAPH_RELEASE, str(chart), "--namespace", GRAPH_NAMESPACE, "--reuse-values", "--wait"]
        arguments += ["--set", f"replicaCount={replicas}"]
        return Command([deployed.home.bin / "helm", *arguments], CHECKOUT, deployed.environment()).seconds()

    # Each side changes it and changes it back before the other begins, so the release is again as the stack says.
    found: dict[str, dict[str, list[float]]] = {way: {"ours": [], "baseline": []} for way in ("raised", "lowered")}
    for _ in range(runs):
        for side, measure in (("ours", ours), ("baseline", by_helm)):
            found["raised"][side].append(measure(3))
            found["lowered"][side].append(measure(2))
    return [
        Figure(f"replicas {way} / helm upgrade --wait", 1.3, measured["ours"], measured["baseline"], remark=PROBES)
        for way, measured in found.items()
    ]


def environments_at_once(deployed: RunningSandbox, runs: int) -> list[Figure]:
    """Previews of 1, 5 and 20 environments, one per processor at a time: time of each, memory of all."""
    workers = os.cpu_count() or 1
    one = _engine(deployed, CHECKOUT, "preview", "--non-interactive", "--config-file", str(deployed.configuration))

    def preview(count: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda _: one.output(), range(count)))

    def seconds_each(count: int) -> float:
        began = time.monotonic()
        preview(count)
        return (time.monotonic() - began) / count

    def megabytes(count: int) -> float:
        # Separate from the times, because measuring memory takes time.
        with peak_memory() as peak:
            preview(count)
        return peak.megabytes

    one.output()
    times = by_turns(runs, {"1": lambda: seconds_each(1), "5": lambda: seconds_each(5), "20": lambda: seconds_each(20)})
    memory = by_turns(runs, {"5": lambda: megabytes(5), "20": lambda: megabytes(20)})
    remark = f"{workers} at a time"
    return [
        Figure("an environment's preview, 5 at once / one alone", 1.0, times["5"], times["1"], remark=remark),
        Figure("an environment's preview, 20 at once / one alone", 1.0, times["20"], times["1"], remark=remark),
        Figure("memory of 20 previews at once / of 5", 1.1, memory["20"], memory["5"], unit="MB", remark=remark),
    ]


def from_nothing(runs: int, say: Say) -> list[Figure]:
    """The whole stack by `up`, against the guide's steps as a shell script, each on a new sandbox with a Teleport."""

    def ours() -> float:
        with measured_sandbox() as fresh:
            return _engine(
                fresh,
                CHECKOUT,
                "up",
                "--non-interactive",
                "--yes",
                "--skip-preview",
                "--config-file",
                str(fresh.configuration),
            ).seconds()

    def by_hand() -> float:
        with measured_sandbox() as fresh:
            cloud = fresh.cloud()
            arguments: list[str | Path] = [
                "bash",
                BASELINES / "manual_steps.sh",
                package_chart(fresh.home, ACCESS_GRAPH, fresh.environment()),
                package_chart(fresh.home, TELEPORT, fresh.environment()),
                existing_teleport.values_file(fresh.home),
                fresh.home.stack / "host-authorities.pem",
                cloud.rds_authorities,
                ",".join(cloud.subnet_ids),
                cloud.vpc_id,
                cloud.client_security_group_ids[0],
            ]
            environment = fresh.environment() | {"AWS_DEFAULT_REGION": cloud.region}
            return Command(arguments, CHECKOUT, environment).seconds()

    say("  each run on a sandbox of its own, started and stopped outside the measurement")
    found = by_turns(runs, {"ours": ours, "baseline": by_hand})
    return [Figure("up from nothing / the guide's steps by hand", 1.0, found["ours"], found["baseline"], remark=PROBES)]


def set_up() -> list[Figure]:
    """The set-up part of `make up` in a clone: repeated, against from nothing, which compiles the tools and the
    plugins' parts. pip's and Go's earlier downloads stay in their caches."""
    with tempfile.TemporaryDirectory(prefix="bench-setup-", ignore_cleanup_errors=True) as directory:
        clone = Path(directory) / "clone"
        Command(["git", "clone", "--quiet", "--no-hardlinks", CHECKOUT, clone], CHECKOUT).output()
        environment = {**os.environ, "SANDBOX_CACHE": str(Path(directory) / "cache")}
        steps: tuple[list[str | Path], ...] = (
            ["make", "setup"],
            [clone / ".venv" / "bin" / "python", "-m", "sandbox", "tools"],
        )

        def once() -> float:
            return sum(Command(step, clone, environment).seconds() for step in steps)

        cold = [once()]
        warm = [once() for _ in range(3)]
    return [Figure("set-up of make up, again / from nothing", 0.05, warm, cold)]


def _engine(running: RunningSandbox, directory: Path, *arguments: str, stack: str | None = None) -> Command:
    environment = running.environment() | ({"PULUMI_STACK": stack} if stack else {})
    return Command([running.home.bin / "pulumi", *arguments], directory, environment)


def _configure(running: RunningSandbox, replicas: int) -> None:
    document = yaml.safe_load(running.configuration.read_text())
    document["config"]["teleport-access-graph:accessGraph"]["replicas"] = replicas
    running.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


@contextmanager
def _empty_stack(running: RunningSandbox) -> Iterator[Path]:
    directory = BASELINES / "empty"
    _engine(running, directory, "stack", "init", "empty", "--non-interactive", stack="empty").output()
    try:
        yield directory
    finally:
        _engine(running, directory, "stack", "rm", "empty", "--force", "--yes", stack="empty").output()
        (directory / "Pulumi.empty.yaml").unlink(missing_ok=True)


@contextmanager
def _flat_stack(running: RunningSandbox) -> Iterator[Path]:
    """A stack of the flat program that adopts the deployed resources as its own; it is never deployed."""
    exported = flat_program.rooted(json.loads(running.pulumi("stack", "export", "--show-secrets").stdout), CHECKOUT)
    project = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["name"]
    directory = Path(tempfile.mkdtemp(prefix="bench-flat-"))
    try:
        flat_program.write(exported["deployment"], project, Path(sys.prefix), directory)
        state = directory / "state.json"
        state.write_text(json.dumps(flat_program.adopt_state(exported, FLAT)))
        _engine(running, directory, "stack", "init", FLAT, "--non-interactive", stack=FLAT).output()
        _engine(running, directory, "stack", "import", "--file", str(state), stack=FLAT).output()
        yield directory
        _engine(running, directory, "stack", "rm", FLAT, "--force", "--yes", stack=FLAT).output()
    finally:
        shutil.rmtree(directory)
