"""Assembles the node: caches, registration, scheduler, pods, names table, logs; and shuts it down in order."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sandbox.home import Home
from sandbox.kubelet.addresses import PodAddresses
from sandbox.kubelet.api import ApiClient, Object
from sandbox.kubelet.claims import ClaimProvisioner
from sandbox.kubelet.containers import Container
from sandbox.kubelet.events import EventRecorder
from sandbox.kubelet.images import Launchers
from sandbox.kubelet.informer import Informer
from sandbox.kubelet.log import say
from sandbox.kubelet.log_server import LogServer
from sandbox.kubelet.names import names_table, write_table
from sandbox.kubelet.node import NodeRegistration
from sandbox.kubelet.node_context import NODE_NAME, NodeContext
from sandbox.kubelet.pods import Pod
from sandbox.kubelet.reaper import kill_pod_processes
from sandbox.kubelet.scheduler import Scheduler
from sandbox.kubelet.settings import KubeletSettings
from sandbox.kubelet.state import Running

# Several pods may become ready at nearly the same moment: one new table then covers them all.
_NAMES_SECONDS = 0.05
# The time that all pods together have after SIGTERM; the supervisor waits longer.
_STOP_SECONDS = 12.0


class Kubelet:
    """One run of the node."""

    def __init__(self, home: Home, settings: KubeletSettings) -> None:
        self._home = home
        self._client = ApiClient.from_kubeconfig(home.kubelet_kubeconfig)
        client = self._client
        self._pods = Informer(client, "/api/v1/pods")
        self._nodes = Informer(client, "/api/v1/nodes")
        self._services = Informer(client, "/api/v1/services")
        config_maps, secrets = Informer(client, "/api/v1/configmaps"), Informer(client, "/api/v1/secrets")
        accounts = Informer(client, "/api/v1/serviceaccounts")
        claims = Informer(client, "/api/v1/persistentvolumeclaims")
        self._informers = [config_maps, secrets, accounts, claims, self._services, self._nodes, self._pods]
        self._events = EventRecorder(client, NODE_NAME, "kubelet")
        self._claims = ClaimProvisioner(client, claims, home.kubelet)
        prefix = json.loads((home.run / "network.json").read_text())["prefix"]
        home.kubelet.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.names.mkdir(parents=True, exist_ok=True)
        launchers = Launchers(home.kubelet / "bin")
        launchers.create()
        self.node = NodeContext(
            home=home,
            settings=settings,
            client=client,
            events=self._events,
            config_maps=config_maps,
            secrets=secrets,
            service_accounts=accounts,
            claims=self._claims,
            addresses=PodAddresses(prefix, home.kubelet / "next-address.json"),
            launchers=launchers,
        )
        self._scheduling_events = EventRecorder(client, NODE_NAME, "default-scheduler")
        self._scheduler = Scheduler(client, self._pods, self._nodes, self._scheduling_events)
        self._running: dict[str, tuple[Pod, asyncio.Task[None]]] = {}
        self._names_stale = asyncio.Event()
        self._pods.subscribe(self._pod_changed)
        self._services.subscribe(lambda old, new: self._names_stale.set())
        config_maps.subscribe(lambda old, new: self._source_changed("ConfigMap", new or old))
        secrets.subscribe(lambda old, new: self._source_changed("Secret", new or old))
        claims.subscribe(lambda old, new: self._claim_changed(new or old))

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        left = kill_pod_processes(str(self._home.root))
        if left:
            say(f"ended {left} processes that an earlier kubelet left behind")
        reaper = self._start_reaper()
        pki = self._home.pki
        logs = LogServer(self._find_log, pki / "kubelet.crt", pki / "kubelet.key", pki / "ca.crt")
        port = await logs.start()
        registration = NodeRegistration(self._client, port, self.node.settings.lease_period)
        await registration.register()
        tasks = [asyncio.create_task(events.run()) for events in (self._events, self._scheduling_events)]
        tasks.append(asyncio.create_task(registration.keep_alive()))
        # Volumes read from these caches, so they must be complete before the first pod is seen.
        *sources, pods = self._informers
        tasks += [asyncio.create_task(informer.run()) for informer in sources]
        await asyncio.gather(*(informer.synced.wait() for informer in sources))
        tasks += [asyncio.create_task(self._claims.run()), asyncio.create_task(self._scheduler.run())]
        tasks.append(asyncio.create_task(pods.run()))
        await pods.synced.wait()
        self._remove_stale_directories()
        tasks.append(asyncio.create_task(self._keep_names()))
        self._write_ready(port)
        say(f"node {NODE_NAME} is ready, logs on port {port}")
        failed = asyncio.create_task(_first_failure(tasks))
        await asyncio.wait({failed, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        await self._stop(tasks, logs, reaper)
        if failed.done() and not failed.cancelled():
            raise failed.result()
        failed.cancel()

    async def _stop(self, tasks: list[asyncio.Task[None]], logs: LogServer, reaper: subprocess.Popen[bytes]) -> None:
        say("stopping: ending all pods' processes")
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait_for(
                asyncio.gather(*(pod.kill() for pod, _ in self._running.values()), return_exceptions=True),
                _STOP_SECONDS,
            )
        except asyncio.TimeoutError:
            say("some pods did not end in time")
        for _, task in self._running.values():
            task.cancel()
        logs.close()
        self._client.close()
        kill_pod_processes(str(self._home.root))
        assert reaper.stdin is not None
        reaper.stdin.close()
        reaper.wait()

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        # In its own session, so that whatever ends the kubelet's session does not end the reaper.
        return subprocess.Popen(
            [sys.executable, "-m", "sandbox.kubelet.reaper", str(self._home.root)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        self._names_stale.set()
        if new is None:
            assert old is not None
            known = self._running.get(old["metadata"]["uid"])
            if known:
                known[0].removed()
            return
        if new["spec"].get("nodeName") != NODE_NAME:
            return
        uid = new["metadata"]["uid"]
        if uid not in self._running:
            pod = Pod(self.node, new)
            self._running[uid] = (pod, asyncio.create_task(self._run_pod(pod)))
        self._running[uid][0].update(new)

    async def _run_pod(self, pod: Pod) -> None:
        try:
            await pod.run()
        except Exception as error:
            say(f"pod {pod.namespace}/{pod.name}: {type(error).__name__}: {error}")
        finally:
            self._running.pop(pod.uid, None)

    def _source_changed(self, kind: str, obj: Object | None) -> None:
        assert obj is not None
        for pod, _ in self._running.values():
            if pod.namespace == obj["metadata"]["namespace"]:
                pod.source_changed(kind, obj["metadata"]["name"])

    def _claim_changed(self, claim: Object | None) -> None:
        assert claim is not None
        for pod, _ in self._running.values():
            if pod.namespace == claim["metadata"]["namespace"]:
                pod.claim_changed(claim["metadata"]["name"])

    async def _keep_names(self) -> None:
        apiserver = f"{self._client.host}:{self._client.port}"
        while True:
            table = names_table(self._services.objects.values(), self._pods.objects.values(), apiserver)
            write_table(self._home.names / "services.json", table)
            await self._names_stale.wait()
            await asyncio.sleep(_NAMES_SECONDS)
            self._names_stale.clear()

    def _find_log(self, namespace: str, name: str, container: str, previous: bool) -> tuple[Path, Callable[[], bool]]:
        for pod, _ in self._running.values():
            if (pod.namespace, pod.name) == (namespace, name):
                found = pod.container(container)
                if found is None:
                    raise LookupError(f'container "{container}" in pod "{name}" is not available')
                return _log_of(found, previous)
        raise LookupError(f'pod "{name}" does not run on this node')

    def _remove_stale_directories(self) -> None:
        """Remove directories of pods that went away while no kubelet ran."""
        directory = self.node.pods_directory
        if directory.exists():
            for entry in directory.iterdir():
                if entry.name not in self._running:
                    shutil.rmtree(entry, ignore_errors=True)

    def _write_ready(self, port: int) -> None:
        target = self._home.run / "kubelet.ready.json"
        temporary = target.with_suffix(".writing")
        temporary.write_text(json.dumps({"node": NODE_NAME, "logPort": port}) + "\n")
        temporary.replace(target)


def _log_of(container: Container, previous: bool) -> tuple[Path, Callable[[], bool]]:
    file = container.log_file(previous)
    if not file.exists():
        kind = "previous terminated container" if previous else "container"
        raise LookupError(f'{kind} "{container.record.name}" not found')
    return file, lambda: isinstance(container.record.state, Running) and container.log_file() == file


async def _first_failure(tasks: list[asyncio.Task[None]]) -> BaseException:
    """The first exception: none of these tasks ends by itself, so the first to end has failed."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    error = next(iter(done)).exception()
    return error or RuntimeError("a part of the kubelet ended")
