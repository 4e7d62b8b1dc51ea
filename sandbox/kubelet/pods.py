"""One pod on this node, from its binding to its removal: volumes, init containers, containers, status, deletion.

Owns the order of events in a pod. Containers run themselves; the node starts the pod and informs it of changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sandbox.kubelet.addresses import bind_address
from sandbox.kubelet.api import ApiError, Object, is_missing
from sandbox.kubelet.containers import Container, image_name
from sandbox.kubelet.environment import pod_fields, variables_of
from sandbox.kubelet.images import Image
from sandbox.kubelet.log import say, timestamp
from sandbox.kubelet.node_context import HOST_IP, NODE_NAME, NodeContext
from sandbox.kubelet.reaper import POD_MARKER
from sandbox.kubelet.state import OWN_CONDITIONS, ContainerRecord, Terminated, Waiting, phase_of, pod_status
from sandbox.kubelet.volumes import (
    MountFailed,
    TokenRequest,
    VolumeSources,
    decode_secret,
    materialize,
    references,
)
from sandbox.kubelet.workload_identity import Identity, identities_of
from sandbox.processes import MARKER

_WRITE_RETRY_SECONDS = 1.0
# A token is renewed once this share of its lifetime has passed, as on real kubelets.
_TOKEN_RENEWAL = 0.8
_TERMINAL = ("Succeeded", "Failed")


class Pod:
    """A bound pod. `run` returns when the pod is gone from the API server and from this machine."""

    def __init__(self, node: NodeContext, pod: Object) -> None:
        self.node = node
        self.pod = pod
        metadata = pod["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.directory: Path = node.pods_directory / self.uid
        self.volume_directories: dict[str, Path] = {}
        # Containers must end and not restart; the API object stays, unless `_leaving` is set too.
        self.stopping = asyncio.Event()
        self._leaving = asyncio.Event()
        self._gone = asyncio.Event()
        self._dirty = asyncio.Event()
        self._sources_changed = asyncio.Event()
        self._identities: list[Identity] = []
        self._failure: tuple[str, str] | None = None
        status = pod.get("status") or {}
        self._conditions = [one for one in status.get("conditions") or [] if one["type"] in OWN_CONDITIONS]
        self._finished = status.get("phase") in _TERMINAL
        self._start_time = status.get("startTime") or timestamp()
        self._pod_ip = ""
        known = str(status.get("podIP") or "")
        if not self._finished and known and node.addresses.claim(known):
            self._pod_ip = known
        policy = pod["spec"].get("restartPolicy", "Always")
        self.inits = [self._container(spec, True, policy) for spec in pod["spec"].get("initContainers") or []]
        self.mains = [self._container(spec, False, policy) for spec in pod["spec"]["containers"]]

    @property
    def bind_address(self) -> str:
        return bind_address(self._pod_ip)

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    def container(self, name: str) -> Container | None:
        return next((one for one in [*self.inits, *self.mains] if one.record.name == name), None)

    def update(self, pod: Object) -> None:
        """The object changed: volumes may show its labels, a deletion may have begun, or somebody overwrote our
        conditions.

        The node controller marks every pod unready after a while without word from the node, for example when the
        machine has slept; the returning node must then write the true conditions again.
        """
        self.pod = pod
        said = {one["type"]: one["status"] for one in (pod.get("status") or {}).get("conditions") or []}
        if any(said.get(one["type"], one["status"]) != one["status"] for one in self._conditions):
            self._dirty.set()
        if pod["metadata"].get("deletionTimestamp"):
            self.stopping.set()
            self._leaving.set()

    def removed(self) -> None:
        """The object has disappeared from the API server."""
        self._gone.set()
        self.stopping.set()
        self._leaving.set()

    def source_changed(self, kind: str, name: str) -> None:
        if (kind, name) in references(self.pod):
            self._sources_changed.set()

    def claim_changed(self, name: str) -> None:
        volumes = self.pod["spec"].get("volumes") or []
        if any((one.get("persistentVolumeClaim") or {}).get("claimName") == name for one in volumes):
            self._sources_changed.set()

    def changed(self) -> None:
        self._dirty.set()

    async def pause(self, seconds: float) -> None:
        """Sleeps; returns early when the pod is to stop."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    async def run(self) -> None:
        writer = asyncio.create_task(self._write_statuses())
        work = asyncio.create_task(self._work())
        deadline = asyncio.create_task(self._deadline())
        try:
            await self._leaving.wait()
            await self._terminate(work)
            await self._remove_object()
            await self._gone.wait()
        finally:
            for task in (writer, work, deadline):
                task.cancel()
            await asyncio.gather(writer, work, deadline, return_exceptions=True)
        self._clean_up()

    async def kill(self) -> None:
        """The node stops: end the processes but leave the objects as they are, for the next kubelet."""
        self.stopping.set()
        await asyncio.gather(*(one.stop(self.node.settings.grace_longest) for one in [*self.inits, *self.mains]))

    def mounts(self, container: Object) -> list[Object]:
        own = list(container.get("volumeMounts") or [])
        return [*own, *(identity.mount for identity in self._identities)]

    def variables(self, container: Object) -> dict[str, str]:
        """The environment as the image would see it, before paths are rewritten. Raises ConfigurationError."""
        node = self.node
        given = variables_of(container, self._fields(), node.lookup(self.namespace), decode_secret)
        found = {
            "HOME": "/",
            "LANG": "C.UTF-8",
            "HOSTNAME": self.name,
            "KUBERNETES_SERVICE_HOST": node.client.host,
            "KUBERNETES_SERVICE_PORT": str(node.client.port),
            **node.cloud_environment(),
        }
        for identity in self._identities:
            found |= identity.variables
        return found | given

    def machine_variables(self, container: Object, image: Image, root: Path) -> dict[str, str]:
        """The variables that tie the process to this machine; their paths are never rewritten as the container's."""
        node = self.node
        home = str(node.home.root)
        return {
            "PATH": node.launchers.path(image),
            **node.launchers.environment(),
            "POD_BIND_ADDRESS": self.bind_address,
            "SANDBOX_ROOT": str(root),
            "SANDBOX_IMAGE": str(container["image"]),
            "ACCESS_GRAPH_ADDRESS_BOOK": str(node.home.names),
            POD_MARKER: f"{home}/:{self.uid}/{container['name']}/",
            # The supervisor's own mark, by which it finally kills whatever has survived everything else.
            MARKER: os.environ.get(MARKER, f"{home}/:kubelet"),
        }

    def _container(self, spec: Object, is_init: bool, policy: str) -> Container:
        record = ContainerRecord(spec["name"], image_name(spec), is_init)
        self._seed(record)
        return Container(self, spec, record, policy)

    def _seed(self, record: ContainerRecord) -> None:
        """Continue from the status an earlier kubelet wrote; the processes ended with that kubelet."""
        policy = self.pod["spec"].get("restartPolicy", "Always")
        field = "initContainerStatuses" if record.is_init else "containerStatuses"
        for status in (self.pod.get("status") or {}).get(field) or []:
            if status["name"] != record.name:
                continue
            record.restarts = int(status.get("restartCount", 0))
            state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated")
            record.last = _terminated(last) if last else None
            if "terminated" in state:
                record.state = ended = _terminated(state["terminated"])
                again = policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)
                if again and not record.is_init:
                    record.last = ended
                    record.restarts += 1
            elif "running" in state:
                text = "The container could not be located when the node was started again"
                since = state["running"].get("startedAt") or timestamp()
                record.last = Terminated(137, "ContainerStatusUnknown", since, timestamp(), text)
                if policy == "Never":
                    record.state = record.last
                else:
                    record.restarts += 1

    async def _work(self) -> None:
        if self._finished:
            return
        try:
            self.changed()
            await self._prepare()
            refresher = asyncio.create_task(self._keep_volumes_fresh())
            try:
                await self._run_containers()
            finally:
                refresher.cancel()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            say(f"pod {self.namespace}/{self.name}: {type(error).__name__}: {error}")
            raise

    async def _prepare(self) -> None:
        """Prepare volumes, then the address. Waits as long as something is missing."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        account = self.pod["spec"].get("serviceAccountName") or "default"
        self._identities = identities_of(
            self.node.service_accounts.get(self.namespace, account),
            self.node.cloud_region(),
            self.node.pod_identity_endpoint(self.namespace, account),
        )
        while not self.stopping.is_set():
            self._sources_changed.clear()
            try:
                await self._materialize()
                break
            except (MountFailed, ApiError, OSError, asyncio.TimeoutError) as error:
                self.node.events.warning(self.pod, "FailedMount", str(error))
            await self._wait_for_sources(self.node.settings.mount_retry)
        if not self._pod_ip:
            self._pod_ip = self.node.addresses.allocate()
        for one in [*self.inits, *self.mains]:
            if isinstance(one.record.state, Waiting):
                one.record.state = Waiting("PodInitializing")
        self.changed()

    async def _run_containers(self) -> None:
        for one in self.inits:
            await one.run()
            if not one.record.succeeded:
                return
        await asyncio.gather(*(one.run() for one in self.mains if not self._done(one.record)))
        if phase_of(self.pod["spec"], self._records(True), self._records(False)) in _TERMINAL:
            self._finished = True
            self.node.addresses.release(self._pod_ip)

    def _done(self, record: ContainerRecord) -> bool:
        """Whether an earlier kubelet saw the container end for good."""
        policy = self.pod["spec"].get("restartPolicy", "Always")
        ended = isinstance(record.state, Terminated)
        return ended and (policy == "Never" or (policy == "OnFailure" and record.succeeded))

    async def _materialize(self) -> None:
        volumes = [*(self.pod["spec"].get("volumes") or []), *(identity.volume for identity in self._identities)]
        self._sources = VolumeSources(
            lookup=self.node.lookup(self.namespace),
            fields=self._fields(),
            request_token=self._request_token,
            claim_directory=self._claim_directory,
        )
        for volume in volumes:
            name = volume["name"]
            try:
                directory = self.directory / "volumes" / name
                self.volume_directories[name] = await materialize(volume, directory, self._sources)
            except MountFailed as error:
                text = str(error)
                prefix = f'MountVolume.SetUp failed for volume "{name}" : '
                raise MountFailed(text if text.startswith("MountVolume") else prefix + text) from None

    async def _keep_volumes_fresh(self) -> None:
        while True:
            shortest = self._sources.shortest_token
            await self._wait_for_sources(shortest * _TOKEN_RENEWAL if shortest else None)
            await asyncio.sleep(self.node.settings.propagation)
            self._sources_changed.clear()
            try:
                await self._materialize()
            except (MountFailed, ApiError, OSError, asyncio.TimeoutError) as error:
                # The files stay as they were; the next change, or the next renewal, tries again.
                self.node.events.warning(self.pod, "FailedMount", str(error))

    async def _wait_for_sources(self, timeout: float | None) -> None:
        waiting = {asyncio.create_task(self._sources_changed.wait()), asyncio.create_task(self.stopping.wait())}
        try:
            await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _request_token(self, wanted: TokenRequest) -> str:
        account = self.pod["spec"].get("serviceAccountName") or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid}
        spec: Object = {"expirationSeconds": max(600, wanted.expiration_seconds), "boundObjectRef": bound}
        if wanted.audience:
            spec["audiences"] = [wanted.audience]
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        answer = await self.node.client.create(path, request)
        return str(answer["status"]["token"])

    def _claim_directory(self, claim: str) -> Path:
        directory = self.node.claims.directory_of(self.namespace, claim)
        if directory is None:
            raise MountFailed(f'persistentvolumeclaim "{claim}" not found or not bound')
        return directory

    def _fields(self) -> dict[str, str]:
        return pod_fields(self.pod, self._pod_ip, HOST_IP, NODE_NAME)

    async def _deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None or self._finished:
            return
        await self.pause(float(seconds))
        if not self.stopping.is_set() and not self._finished:
            text = "Pod was active on the node longer than the specified deadline"
            self._failure = ("DeadlineExceeded", text)
            self.node.events.normal(self.pod, "DeadlineExceeded", text)
            self.stopping.set()
            for one in [*self.inits, *self.mains]:
                await one.stop(self.node.settings.grace_longest)
            self._finished = True
            self.changed()

    async def _terminate(self, work: asyncio.Task[None]) -> None:
        """Stop everything that runs, within the deletion's grace period; without any if the object is already gone."""
        grace = 0.0
        if not self._gone.is_set():
            given = self.pod["metadata"].get("deletionGracePeriodSeconds")
            grace = float(30 if given is None else given)
        await asyncio.gather(*(one.stop(grace) for one in [*self.inits, *self.mains]))
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _remove_object(self) -> None:
        """Write the last status, then delete the object for good."""
        options: Object = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while not self._gone.is_set():
            try:
                if not self._finished:
                    await self._write_status()
                await self.node.client.delete(self.path, options)
                return
            except ApiError as error:
                if is_missing(error) or error.status == 409:
                    self._gone.set()
                    return
                say(f"pod {self.namespace}/{self.name}: cannot be deleted yet: {error}")
            except (OSError, asyncio.TimeoutError) as error:
                say(f"pod {self.namespace}/{self.name}: cannot be deleted yet: {error}")
            await asyncio.sleep(_WRITE_RETRY_SECONDS)

    async def _write_statuses(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._write_status()
            except ApiError as error:
                if is_missing(error) or error.status == 409:
                    return
                say(f"pod {self.namespace}/{self.name}: status refused: {error}")
            except (OSError, asyncio.TimeoutError):
                self._dirty.set()
                await asyncio.sleep(_WRITE_RETRY_SECONDS)

    async def _write_status(self) -> None:
        status = pod_status(
            self.pod["spec"],
            self._records(True),
            self._records(False),
            previous=self._conditions,  # our own memory: the watch lags behind
            generation=self.pod["metadata"].get("generation"),
            pod_ip=self._pod_ip,
            host_ip=HOST_IP,
            start_time=self._start_time,
            sandboxed=bool(self._pod_ip),
            now=timestamp(),
            failure=self._failure,
        )
        await self.node.client.write_status(self.path, {"metadata": {"uid": self.uid}, "status": status})
        self._conditions = status["conditions"]

    def _records(self, init: bool) -> Sequence[ContainerRecord]:
        return [one.record for one in (self.inits if init else self.mains)]

    def _clean_up(self) -> None:
        if self._pod_ip:
            self.node.addresses.release(self._pod_ip)
        shutil.rmtree(self.directory, ignore_errors=True)


def _terminated(state: Object) -> Terminated:
    return Terminated(
        int(state["exitCode"]),
        state.get("reason", ""),
        state.get("startedAt") or timestamp(),
        state.get("finishedAt") or timestamp(),
        state.get("message", ""),
        int(state.get("signal", 0)),
        state.get("containerID", ""),
    )
