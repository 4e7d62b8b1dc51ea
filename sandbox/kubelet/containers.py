"""One container of a pod: prepares, starts, probes, restarts and stops it, and keeps its record up to date.

Owns the container's life and restart policy. The pod decides when the container starts and when it must stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sandbox.kubelet.api import Object
from sandbox.kubelet.environment import ConfigurationError, PathMapping, expand
from sandbox.kubelet.images import Image, ImageUnknown, find_image, normalized
from sandbox.kubelet.log import timestamp
from sandbox.kubelet.node_context import NodeContext
from sandbox.kubelet.probes import Prober, ProbeTarget
from sandbox.kubelet.processes import ContainerProcess, StartFailed, run_command
from sandbox.kubelet.state import ContainerRecord, Running, Terminated, Waiting
from sandbox.kubelet.volumes import MountFailed, mount

_TERMINATION_LOG = "/dev/termination-log"
_TERMINATION_BYTES = 4096
_FALLBACK_BYTES = 2048


class Surroundings(Protocol):
    """What a container needs from its pod."""

    node: NodeContext
    pod: Object
    directory: Path
    volume_directories: dict[str, Path]
    stopping: asyncio.Event

    @property
    def bind_address(self) -> str: ...
    def mounts(self, container: Object) -> list[Object]: ...
    def variables(self, container: Object) -> dict[str, str]: ...
    def machine_variables(self, container: Object, image: Image, root: Path) -> dict[str, str]: ...
    def changed(self) -> None: ...
    async def pause(self, seconds: float) -> None: ...


class Container:
    """Runs until its policy considers it finished, or the pod stops."""

    def __init__(self, pod: Surroundings, spec: Object, record: ContainerRecord, policy: str) -> None:
        self._pod = pod
        self._spec = spec
        self.record = record
        # An init container that has succeeded is finished, whatever the pod's policy.
        self._policy = "OnFailure" if record.is_init and policy == "Always" else policy
        self._process: ContainerProcess | None = None
        self._ended = asyncio.Event()
        self._environment: dict[str, str] = {}
        self._mapping = PathMapping(self.root, ())
        self._crashes = 0

    @property
    def root(self) -> Path:
        """The root directory of the container's file system on this machine."""
        return self._pod.directory / "roots" / str(self._spec["name"])

    def log_file(self, previous: bool = False) -> Path:
        number = self.record.restarts - (1 if previous else 0)
        return self._pod.directory / "logs" / str(self._spec["name"]) / f"{number}.log"

    async def run(self) -> None:
        """Restart as the policy demands. Returns once the record is terminated for good, or when the pod stops."""
        while not self._pod.stopping.is_set():
            began = time.monotonic()
            if not await self._run_once():
                continue
            state = self.record.state
            assert isinstance(state, Terminated)
            if self._policy == "Never" or (self._policy == "OnFailure" and state.exit_code == 0):
                return
            if self._pod.stopping.is_set():
                return
            if time.monotonic() - began > self._pod.node.settings.backoff_reset:
                self._crashes = 0
            await self._back_off(state)

    async def stop(self, grace: float) -> None:
        """Runs preStop, then sends SIGTERM, then SIGKILL; returns when the process is gone."""
        if self._process is None:
            return
        self._event("Normal", "Killing", f"Stopping container {self._spec['name']}")
        await self._pre_stop(grace)
        await self._end(grace)

    async def _run_once(self) -> bool:
        """One start and one end. False if the container could not start for a reason that may pass."""
        try:
            image = find_image(self._spec["image"])
        except ImageUnknown as error:
            await self._image_unknown(error)
            return False
        self._event("Normal", "Pulled", f'Container image "{self._spec["image"]}" already present on machine')
        try:
            self._check_user(image)
            command = self._prepare(image)
        except (ConfigurationError, MountFailed) as error:
            self._set(Waiting("CreateContainerConfigError", str(error)))
            self._event("Warning", "Failed", f"Error: {error}")
            await self._pod.pause(self._pod.node.settings.mount_retry)
            return False
        self.record.container_id = f"sandbox://{secrets.token_hex(32)}"
        started = timestamp()
        try:
            log = self._new_log()
            program = self._program(command[0], image)
            process = await ContainerProcess.start([program, *command[1:]], self._environment, self.root, log)
        except StartFailed as error:
            self._event("Warning", "Failed", f"Error: failed to create containerd task: {error}")
            self._terminated(128, 0, started, "StartError", str(error))
            return True
        self._process = process
        self._ended.clear()
        self._event("Normal", "Created", f"Created container {self._spec['name']}")
        self._event("Normal", "Started", f"Started container {self._spec['name']}")
        self._set(Running(started))
        watchers = self._watchers()
        try:
            code, number = await process.wait()
        except asyncio.CancelledError:
            process.signal(signal.SIGKILL)
            raise
        finally:
            for watcher in watchers:
                watcher.cancel()
            self._process = None
            self._ended.set()
        self._terminated(code, number, started, "Completed" if code == 0 else "Error", self._termination_message(code))
        return True

    def _prepare(self, image: Image) -> list[str]:
        """Lays out mounts and variables; returns the command line. Raises ConfigurationError and MountFailed."""
        mounts = self._pod.mounts(self._spec)
        termination = self._spec.get("terminationMessagePath") or _TERMINATION_LOG
        self._mapping = PathMapping(self.root, [*(str(entry["mountPath"]) for entry in mounts), termination])
        self.root.mkdir(parents=True, exist_ok=True)
        variables = self._pod.variables(self._spec)
        mount(self.root, mounts, self._pod.volume_directories, lambda text: expand(text, variables))
        message = self.root / termination.lstrip("/")
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_text("")
        self._environment = {
            **{name: self._mapping.rewrite(value) for name, value in variables.items()},
            **self._pod.machine_variables(self._spec, image, self.root),
        }
        command = list(self._spec.get("command") or image.entrypoint)
        arguments = self._spec.get("args")
        if arguments is None:
            arguments = [] if self._spec.get("command") else image.arguments
        return [self._mapping.rewrite(expand(part, variables)) for part in [*command, *arguments]]

    def _program(self, name: str, image: Image) -> str:
        """The machine's program for one named in the container. Raises StartFailed if the image lacks it."""
        path = self._pod.node.launchers.path(image)
        own = {command for command, _ in image.commands}
        base = os.path.basename(name)
        if "/" not in name:
            found = shutil.which(name, path=path)
            if found is None:
                raise StartFailed(f'exec: "{name}": executable file not found in $PATH')
            return found
        if base in own:
            found = shutil.which(base, path=path)
            if found:
                return found
        if Path(name).exists() and (image.shell or Path(name).is_relative_to(self.root)):
            return name
        raise StartFailed(f'exec: "{name}": stat {name}: no such file or directory')

    def _check_user(self, image: Image) -> None:
        pod = self._pod.pod["spec"].get("securityContext") or {}
        own = self._spec.get("securityContext") or {}
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            return
        user = own.get("runAsUser", pod.get("runAsUser"))
        if user == 0:
            raise ConfigurationError("container's runAsUser breaks non-root policy")
        if user is None and image.root_user:
            raise ConfigurationError("container has runAsNonRoot and image will run as root")

    def _watchers(self) -> list[asyncio.Task[None]]:
        """Starts the probes and postStart of a container that has just started."""
        record = self.record
        target = ProbeTarget(self._pod.bind_address, self._named_ports(), self._execute)
        settings = self._pod.node.settings
        record.started = "startupProbe" not in self._spec
        record.ready = record.started and "readinessProbe" not in self._spec and not record.is_init
        self._pod.changed()
        tasks = [asyncio.create_task(self._post_start())] if self._lifecycle("postStart") else []
        results: dict[str, tuple[Callable[[], None], Callable[[str, bool], None]]] = {
            "startupProbe": (self._startup_passed, self._startup_failed),
            "readinessProbe": (self._readiness_passed, self._readiness_failed),
            "livenessProbe": (lambda: None, self._liveness_failed),
        }
        for field, (passed, failed) in results.items():
            if field in self._spec:
                prober = Prober(field, self._spec[field], target, settings, self._eager(field))
                tasks.append(asyncio.create_task(prober.run(passed, failed)))
        return tasks

    def _eager(self, field: str) -> Callable[[], bool]:
        if field == "startupProbe":
            return lambda: not self.record.started
        # Liveness failures count towards a threshold: probing more often would kill sooner than configured.
        return (lambda: not self.record.ready) if field == "readinessProbe" else (lambda: False)

    def _startup_passed(self) -> None:
        if not self.record.started:
            self.record.started = True
            self.record.ready = "readinessProbe" not in self._spec
            self._pod.changed()

    def _startup_failed(self, error: str, past_threshold: bool) -> None:
        if self.record.started:
            return
        self._event("Warning", "Unhealthy", f"Startup probe failed: {error}")
        if past_threshold:
            self._kill(f"Container {self._spec['name']} failed startup probe, will be restarted")

    def _readiness_passed(self) -> None:
        if self.record.started and not self.record.ready:
            self.record.ready = True
            self._pod.changed()

    def _readiness_failed(self, error: str, past_threshold: bool) -> None:
        self._event("Warning", "Unhealthy", f"Readiness probe failed: {error}")
        if past_threshold and self.record.ready:
            self.record.ready = False
            self._pod.changed()

    def _liveness_failed(self, error: str, past_threshold: bool) -> None:
        if not self.record.started:
            return
        self._event("Warning", "Unhealthy", f"Liveness probe failed: {error}")
        if past_threshold:
            self._kill(f"Container {self._spec['name']} failed liveness probe, will be restarted")

    def _kill(self, why: str) -> None:
        self._event("Normal", "Killing", why)
        grace = float(self._pod.pod["spec"].get("terminationGracePeriodSeconds", 30))
        self._pod_task = asyncio.create_task(self._end(grace))

    async def _end(self, grace: float) -> None:
        process = self._process
        if process is None:
            return
        process.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), min(grace, self._pod.node.settings.grace_longest))
        except asyncio.TimeoutError:
            process.signal(signal.SIGKILL)
            await self._ended.wait()

    async def _pre_stop(self, grace: float) -> None:
        hook = self._lifecycle("preStop")
        limit = min(grace, self._pod.node.settings.pre_stop_longest)
        if hook and "exec" in hook:
            await self._execute(list(hook["exec"]["command"]), limit)
        elif hook and "sleep" in hook:
            await asyncio.sleep(min(limit, float(hook["sleep"]["seconds"])))

    async def _post_start(self) -> None:
        hook = self._lifecycle("postStart") or {}
        if "exec" in hook:
            code, output = await self._execute(list(hook["exec"]["command"]), 60)
            if code:
                self._event("Warning", "FailedPostStartHook", f"PostStartHook failed: {output[-300:]}")
                self._kill("FailedPostStartHook")

    async def _execute(self, command: list[str], timeout: float) -> tuple[int, str]:
        image = find_image(self._spec["image"])
        rewritten = [self._mapping.rewrite(part) for part in command]
        try:
            program = self._program(rewritten[0], image)
        except StartFailed as error:
            return 126, str(error)
        return await run_command([program, *rewritten[1:]], self._environment, self.root, timeout)

    async def _image_unknown(self, error: ImageUnknown) -> None:
        self._set(Waiting("ErrImagePull", str(error)))
        self._event("Warning", "Failed", f"Error: {error}")
        await self._pod.pause(self._pod.node.settings.backoff_first)
        self._set(Waiting("ImagePullBackOff", f'Back-off pulling image "{self._spec["image"]}": ErrImagePull: {error}'))
        self._event("Normal", "BackOff", f'Back-off pulling image "{self._spec["image"]}"')
        await self._pod.pause(self._pod.node.settings.backoff_longest)

    async def _back_off(self, state: Terminated) -> None:
        """The first restart comes at once, later ones after a pause that doubles each time."""
        settings, name = self._pod.node.settings, self._spec["name"]
        self.record.last = state
        pause = 0.0
        if self._crashes:
            pause = min(settings.backoff_first * 2 ** (self._crashes - 1), settings.backoff_longest)
        self._crashes += 1
        if pause:
            where = f"{self._pod.pod['metadata']['name']}_{self._pod.pod['metadata']['namespace']}"
            self._set(
                Waiting("CrashLoopBackOff", f"back-off {pause:g}s restarting failed container={name} pod={where}")
            )
            self._event("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {where}")
            await self._pod.pause(pause)
        self.record.restarts += 1

    def _terminated(self, code: int, number: int, started: str, reason: str, message: str) -> None:
        self.record.ready = self.record.started = False
        ended = Terminated(code, reason, started, timestamp(), message, number, self.record.container_id)
        self._set(ended)

    def _termination_message(self, code: int) -> str:
        path = self._spec.get("terminationMessagePath") or _TERMINATION_LOG
        with contextlib.suppress(OSError):
            written = (self.root / path.lstrip("/")).read_bytes()[:_TERMINATION_BYTES].decode(errors="replace")
            if written:
                return written
        if code and self._spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            with contextlib.suppress(OSError):
                lines = self.log_file().read_bytes()[-_FALLBACK_BYTES:].decode(errors="replace").splitlines()
                return "\n".join(line.split(" ", 3)[-1] for line in lines)
        return ""

    def _new_log(self) -> Path:
        """The log file of this run. The previous run's file is kept for `logs --previous`; older ones are deleted."""
        log = self.log_file()
        log.parent.mkdir(parents=True, exist_ok=True)
        for older in log.parent.glob("*.log"):
            if older.stem.isdigit() and int(older.stem) < self.record.restarts - 1:
                older.unlink()
        log.touch(mode=0o600)
        return log

    def _named_ports(self) -> dict[str, int]:
        ports = self._spec.get("ports") or []
        return {port["name"]: int(port["containerPort"]) for port in ports if "name" in port}

    def _lifecycle(self, hook: str) -> Object | None:
        return (self._spec.get("lifecycle") or {}).get(hook)

    def _set(self, state: Waiting | Running | Terminated) -> None:
        self.record.state = state
        if not isinstance(state, Running):
            self.record.ready = False
        self._pod.changed()

    def _event(self, kind: str, reason: str, message: str) -> None:
        events = self._pod.node.events
        (events.normal if kind == "Normal" else events.warning)(self._pod.pod, reason, message)


def image_name(spec: Object) -> str:
    return normalized(str(spec["image"]))
