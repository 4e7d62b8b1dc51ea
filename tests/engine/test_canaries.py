"""Looks for every secret of a running stack, in clear text, wherever the engine, Helm and the cluster write something:
state, previews, errors, logs, events, objects, release records, command lines, temporary files.

The stack runs beside the sandbox's own. Its secrets are the canaries.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.existing_teleport import CLUSTER
from tests.engine.conftest import Finished, RunningSandbox
from tests.engine.stacks import PREFIX, OwnStack, Settings, own_stack, secret_values

pytestmark = pytest.mark.engine

NAMESPACE = "teleport-canaries"
TOKEN = "canary-of-an-operator-0123456789"
# Seconds between two looks at processes and files while the engine works.
PAUSE = 0.02
LARGEST = 1 << 20
SECRET_VALUE = "plaintext"
# Resources and keys that must contribute canaries.
MADE_BY = {
    "database-access-login-a",
    "digest-key",
    "certificates-ca-1-key",
    "certificates-server-key",
    "uri",
    "login-verifier",
    "master-password",
    "teleportSecretValues",
}


@dataclass
class Watch:
    """Records the command lines of all processes and the files of one directory until it is stopped."""

    directory: Path
    commands: set[bytes] = field(default_factory=set)
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Path -> mode and content of each file that was seen."""
    rounds: int = 0

    def __enter__(self) -> Watch:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(PAUSE):
            self.rounds += 1
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    self._look_at(process)
            for path in self.directory.rglob("*"):
                try:
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST:
                        self.files[str(path)] = (stat.S_IMODE(status.st_mode), path.read_bytes())
                except OSError:
                    continue  # gone in between

    def _look_at(self, process: Path) -> None:
        try:
            self.commands.add((process / "cmdline").read_bytes())
        except OSError:
            pass  # gone in between


class CanaryStack(OwnStack):
    """A stack whose engine writes its temporary files into `temporary`."""

    temporary: Path

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "TMPDIR": str(self.temporary)}


@dataclass
class Told:
    """What was written while the stack lived, by place."""

    canaries: dict[str, str]
    texts: dict[str, str]
    watch: Watch
    names: set[str]


def configure(settings: Settings) -> None:
    settings["database"]["masterPassword"] = "generated"
    entry = settings["teleport"][CLUSTER]
    settings["teleport"] = {
        CLUSTER: {
            "mode": "values",
            "namespace": NAMESPACE,
            "emitSecretValues": True,
            "hostAuthorities": entry["hostAuthorities"],
        }
    }


@pytest.fixture(scope="module")
def told(running_sandbox: RunningSandbox) -> Iterator[Told]:
    temporary = Path(tempfile.mkdtemp(prefix="can-"))
    running_sandbox.kubectl("create", "namespace", NAMESPACE)
    CanaryStack.temporary = temporary
    try:
        with own_stack(running_sandbox, "canaries", configure):
            stack = CanaryStack(running_sandbox, "canaries")
            secret = {CLUSTER: {"auth": {"extraEnv": [{"name": "TOKEN", "value": TOKEN}]}}}
            stack.pulumi("config", "set", "--secret", f"{PREFIX}teleportSecretValues", json.dumps(secret))
            with Watch(temporary) as watch:
                texts = {"up": said(stack.pulumi("up", "--diff"))} | previews(stack) | written(stack)
            yield Told(canaries_of(stack), texts, watch, set(stack.recorded()))
    finally:
        running_sandbox.kubectl("delete", "namespace", NAMESPACE, "--wait=true")
        shutil.rmtree(temporary)


def said(done: Finished) -> str:
    return done.stdout + done.stderr


def previews(stack: OwnStack) -> dict[str, str]:
    """Output of the engine and the commands with a pending change, without one, and with one that is refused."""
    good = stack.configuration.read_text()
    stack.change(lambda settings: settings["accessGraph"].update(replicas=1, logLevel="DEBUG"))
    stack.database(rotation=1)
    texts = {
        "preview": said(stack.pulumi("preview")),
        "preview --diff": said(stack.pulumi("preview", "--diff")),
        "preview --json": said(stack.pulumi("preview", "--json")),
    }
    stack.database(rotation=3)
    refused = stack.pulumi("preview", check=False)
    assert refused.returncode != 0
    stack.configuration.write_text(good)
    return texts | {
        "an error": said(refused),
        "refresh": said(stack.pulumi("refresh", "--diff")),
        "verify": said(stack.operations("verify", check=False)),
        "verify --json": said(stack.operations("verify", "--json", check=False)),
        "diagnose": said(stack.operations("diagnose", check=False)),
        "outputs": said(stack.pulumi("stack", "output", "--json")),
    }


def written(stack: OwnStack) -> dict[str, str]:
    """The state, the configuration, the cluster's objects and events, logs, and Helm's records, by place."""
    texts = {"configuration": stack.configuration.read_text()}
    for path in (*stack.home.state.rglob("*"), *stack.home.logs.rglob("*")):
        if path.is_file() and (stack.stack_name in path.name or path.is_relative_to(stack.home.logs)):
            texts[str(path.relative_to(stack.home.root))] = path.read_text(errors="replace")
    kinds = "pods,deployments,replicasets,jobs,configmaps,serviceaccounts,services,events,endpointslices"
    for namespace in (stack.namespace, NAMESPACE):
        texts[f"objects in {namespace}"] = stack.kubectl("get", kinds, "-n", namespace, "-o", "json").stdout
    for pod in stack.get("pods", "--namespace", stack.namespace)["items"]:
        name = pod["metadata"]["name"]
        texts[f"log of {name}"] = said(stack.kubectl("logs", name, "-n", stack.namespace, check=False))
    for secret in stack.get("secrets", "--namespace", stack.namespace)["items"]:
        texts[f"annotations of {secret['metadata']['name']}"] = json.dumps(secret["metadata"])
        if secret["type"] == "helm.sh/release.v1":
            record = base64.b64decode(base64.b64decode(secret["data"]["release"]))
            texts[f"record {secret['metadata']['name']}"] = gzip.decompress(record).decode()
    return texts


def canaries_of(stack: OwnStack) -> dict[str, str]:
    """Every secret text, by the resource or key that it belongs to."""
    found = {"teleportSecretValues": TOKEN}
    for urn, resource in stack.recorded().items():
        name, outputs = urn.rpartition("::")[2], resource.get("outputs", {})
        if resource["type"] in ("random:index/randomPassword:RandomPassword", "tls:index/privateKey:PrivateKey"):
            for key in ("result", "bcryptHash", "privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"):
                if key in outputs:
                    found[name if key in ("result", "privateKeyPem") else f"{name} {key}"] = plain(outputs[key])
    for name in ("teleport-access-graph-postgres", "teleport-access-graph-database-access"):
        found |= secret_values(stack, stack.namespace, name)
    return found


def plain(value: Any) -> str:
    return str(json.loads(value[SECRET_VALUE]) if isinstance(value, dict) else value)


def needles(canary: str) -> set[str]:
    """The texts to look for: the canary, or the longest inner line of a PEM key; each also in base64 and URL-quoted."""
    lines = [line for line in canary.splitlines() if len(line) >= 16 and not line.startswith("-----")]
    texts = {max(lines, key=len)} if "\n" in canary else {canary}
    encoded = {base64.b64encode(text.encode()).decode().rstrip("=")[:-2] for text in texts}
    return texts | encoded | {quote(text, safe="") for text in texts}


def finds(told: Told, text: str) -> list[str]:
    return [name for name, canary in told.canaries.items() if any(needle in text for needle in needles(canary))]


def test_the_canaries_are_every_secret_there_is(told: Told) -> None:
    assert not MADE_BY - set(told.canaries)
    assert all(len(canary) >= 16 for canary in told.canaries.values())
    assert len(told.names) > 30


def test_nothing_that_is_written_or_said_has_one_in_clear(told: Told) -> None:
    assert len(told.texts) > 25
    assert {"up", "preview --diff", "preview --json", "an error", "refresh", "verify"} <= set(told.texts)
    assert any(where.startswith("record sh.helm.release") for where in told.texts)
    assert any(where.endswith("canaries.json") for where in told.texts)
    assert {where: found for where, text in told.texts.items() if (found := finds(told, text))} == {}
    assert [where for where, text in told.texts.items() if "PRIVATE KEY-----" in text] == []


def test_no_process_has_one_on_its_command_line(told: Told) -> None:
    commands = [command.decode(errors="replace") for command in told.watch.commands]
    assert told.watch.rounds > 50
    assert any(" up " in command.replace("\0", " ") for command in commands)
    assert {name for command in commands for name in finds(told, command)} == set()


def test_a_temporary_file_that_has_one_is_its_owners_alone(told: Told) -> None:
    open_to_others = {
        path: oct(mode)
        for path, (mode, content) in told.watch.files.items()
        if mode & 0o077 and finds(told, content.decode(errors="replace"))
    }
    assert open_to_others == {}
    assert stat.S_IMODE(os.stat(told.watch.directory).st_mode) == 0o700
