"""The sandbox as a whole: brings every part up in order, and removes everything again.

Owns the order and its progress messages; each part does its own work.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox import charts, existing_teleport, network
from sandbox.cloud.launchers import install_launchers
from sandbox.control_plane import CONTEXT, ControlPlane
from sandbox.home import CHECKOUT, Cache, Home
from sandbox.kubelet.claims import claim_path
from sandbox.parts import CLOUD, KUBELET, clean_environment, cloud_part, kubelet_part, ready_facts
from sandbox.plugins.download import built_plugins, downloaded_plugins, fetch_plugins, plugin_caches
from sandbox.plugins.install import PluginChoice, install_plugins, is_installed, plugin_versions
from sandbox.stack import CloudFacts, Stack, StackFacts
from sandbox.supervisor import SandboxError, Supervisor
from sandbox.toolchain import Toolchain, build_plugins, ensure_toolchain

_IDENTITY = "sandbox.json"
_PLUGINS = "plugins.txt"
_LINKED_TOOLS = ("pulumi", "helm")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """A sandbox that is ready for the engine."""

    plugins: list[PluginChoice]
    cloud: CloudFacts
    stack: Stack


class Sandbox:
    """One home and everything that runs for it."""

    def __init__(self, home: Home, cache: Cache, configuration: Path | None = None, say: Say = print) -> None:
        self.home = home
        self.cache = cache
        self._say = say
        recorded = self._recorded_configuration()
        self.stack = Stack(home, configuration or recorded)
        self.supervisor = Supervisor(home)

    @property
    def exists(self) -> bool:
        return (self.home.root / _IDENTITY).exists()

    def tools(self) -> Toolchain:
        """The programs, built if need be."""
        return ensure_toolchain(self.cache, not_from=(self.home.bin,), say=self._say)

    def build_official(self, names: Sequence[str]) -> dict[str, Path | None]:
        """Provide the official plugins of these names, compiled from their sources if need be; they serve from the next
        start on.

        A plugin that this machine has, or that the engine can fetch, is not compiled. Returns the path of each, None
        for an installed one. Raises ToolchainError.
        """
        asked = plugin_versions(Path(sys.executable))
        versions = {name: asked[name] for name in names}
        installed = [downloaded_plugins(self.cache.root)]
        if not all(is_installed(name, version, installed) for name, version in versions.items()):
            fetch_plugins(self.tools().path("pulumi"), self.cache.root, versions, self._say)
        wanted = {name: asked for name, asked in versions.items() if not is_installed(name, asked, installed)}
        links: dict[str, Path | None] = dict.fromkeys(names)
        for name, program in build_plugins(self.cache, wanted, say=self._say).items():
            folder = built_plugins(self.cache.root) / f"resource-{name}-v{versions[name]}"
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / program.name
            if link.resolve() != program.resolve():
                link.unlink(missing_ok=True)
                link.symlink_to(program)
            links[name] = link
        return links

    def forget_official(self) -> None:
        """Make the stand-ins serve again from the next start on; what was compiled stays in the cache."""
        shutil.rmtree(built_plugins(self.cache.root), ignore_errors=True)

    def start(self) -> Running:
        """Start everything up to the point where the engine takes over; leaves alone what already runs.

        Raises SandboxError and ToolchainError.
        """
        started = time.monotonic()
        toolchain = self.tools()
        self._claim_home()
        self._link_programs(toolchain)
        for tool in toolchain.tools.values():
            if tool.note:
                self._say(f"note: {tool.note}: using the one built for the sandbox")
        prefix = network.loopback_prefix(self.home, self.cache)
        control_plane = ControlPlane(self.home, toolchain, self.supervisor, prefix)
        self._step("Kubernetes control plane", control_plane.start)
        # The two parts are independent, so they start at the same time.
        cloud, kubelet = cloud_part(self.home), kubelet_part(self.home)
        launched = self.supervisor.launch(cloud) | self.supervisor.launch(kubelet)
        self._step("AWS API with PostgreSQL behind it", lambda: self._await(cloud.name, launched))
        self._step("kubelet", lambda: self._await(kubelet.name, launched))
        cloud_facts = CloudFacts.parse(ready_facts(self.home, CLOUD))
        plugins = self._plugins(toolchain)
        environment = self.stack.environment(cloud_facts)
        access_graph_chart = charts.package_chart(self.home, charts.ACCESS_GRAPH, environment)
        teleport_chart = charts.package_chart(self.home, charts.TELEPORT, environment)
        self._step(
            f"Teleport {existing_teleport.CLUSTER}",
            lambda: existing_teleport.install(self.home, teleport_chart, environment),
        )
        self._configure(cloud_facts, access_graph_chart, teleport_chart)
        self._say(f"the sandbox is up ({time.monotonic() - started:.1f} s) in {self.home.root}")
        return Running(plugins, cloud_facts, self.stack)

    def _plugins(self, toolchain: Toolchain) -> list[PluginChoice]:
        """The official plugins where installed or fetchable, else the stand-ins."""
        python = Path(sys.executable)
        fetch_plugins(toolchain.path("pulumi"), self.cache.root, plugin_versions(python), self._say)
        chosen = install_plugins(self.home.root, python, CHECKOUT, plugin_caches(self.cache.root))
        lines = [f"{one.name} {one.version} ({one.source})\n" for one in chosen]
        (self.home.run / _PLUGINS).write_text("".join(lines))
        return chosen

    def facts(self) -> list[tuple[str, str]]:
        """What `status` shows besides the processes: addresses that answer, and the plugins of the last start."""
        found = []
        if self.home.kubeconfig.exists():
            (cluster,) = yaml.safe_load(self.home.kubeconfig.read_text())["clusters"]
            found.append(("Kubernetes API", cluster["cluster"]["server"]))
        if self.supervisor.running(CLOUD) is not None:
            found.append(("AWS API", ready_facts(self.home, CLOUD)["url"]))
        if (self.home.run / _PLUGINS).exists():
            found += [("plugin", line) for line in (self.home.run / _PLUGINS).read_text().splitlines()]
        return found

    def running(self) -> CloudFacts:
        """Facts of a running sandbox, without starting anything. Raises SandboxError if it does not run."""
        if not self.exists:
            raise SandboxError(f"there is no sandbox in {self.home.root}; `make up` makes one")
        dead = [name for name in (*ControlPlane.PARTS, CLOUD, KUBELET) if self.supervisor.running(name) is None]
        if dead:
            raise SandboxError(f"not running: {', '.join(dead)}; `make up` starts them again")
        return CloudFacts.parse(ready_facts(self.home, CLOUD))

    def remove(self) -> None:
        """Stop everything and delete the home; the stack should have been destroyed before."""
        # Imported late: only this command needs AWS's stand-in in its own process, and loading takes a second and a
        # half.
        from sandbox.cloud.service import remove as remove_cloud

        for name in (KUBELET, CLOUD, *reversed(ControlPlane.PARTS)):
            self.supervisor.stop(name)
        self.supervisor.sweep()
        remove_cloud(self.home)
        network.release(self.home, self.cache)
        self.stack.remove_configuration()
        # The identity goes last, so that after a killed `make down` the directory is still recognised as a sandbox.
        identity = self.home.root / _IDENTITY
        for entry in self.home.root.iterdir():
            if entry == identity:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        identity.unlink(missing_ok=True)
        self.home.root.rmdir()

    def _await(self, name: str, launched: bool) -> bool:
        part = cloud_part(self.home) if name == CLOUD else kubelet_part(self.home)
        self.supervisor.await_ready(part)
        return launched

    def _claim_home(self) -> None:
        """Create the home; refuses a directory with foreign files, because `make down` deletes it whole."""
        root = self.home.root
        if root.exists() and not self.exists and any(root.iterdir()):
            raise SandboxError(f"{root} is not empty and no sandbox; set SANDBOX_HOME to a new directory")
        root.mkdir(parents=True, exist_ok=True)
        identity = {"checkout": str(CHECKOUT), "configuration": str(self.stack.configuration)}
        known = self._identity()
        if known and known.get("checkout") != str(CHECKOUT):
            raise SandboxError(
                f"the sandbox in {root} belongs to the checkout {known.get('checkout')}: `make down` there, "
                "or set SANDBOX_HOME to another directory"
            )
        (root / _IDENTITY).write_text(json.dumps(identity, indent=2) + "\n")
        self.home.create()

    def operation_environment(self, cloud: CloudFacts) -> dict[str, str]:
        """For `python -m operations`: the engine's environment, plus Teleport's host identity, which only this machine
        can show."""
        identity = claim_path(self.home.kubelet, existing_teleport.NAMESPACE, existing_teleport.RELEASE)
        return self.stack.environment(cloud) | {"ACCESS_GRAPH_HOST_IDENTITY": str(identity / "host-identity.pem")}

    def _identity(self) -> dict[str, str] | None:
        try:
            identity: dict[str, str] = json.loads((self.home.root / _IDENTITY).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return identity

    def _recorded_configuration(self) -> Path | None:
        recorded = (self._identity() or {}).get("configuration")
        return Path(recorded) if recorded else None

    def _link_programs(self, toolchain: Toolchain) -> None:
        targets = {name: toolchain.path(name) for name in _LINKED_TOOLS}
        targets["kubectl"] = Path(sys.executable).parent / "kubectl"
        for name, target in targets.items():
            link = self.home.bin / name
            if link.is_symlink() and Path(os.readlink(link)) == target:
                continue
            temporary = self.home.bin / f".{name}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(link)
        # The real client, resolving names as the pods do.
        install_launchers(self.home.bin, Path(sys.executable), CHECKOUT, names=["psql"])

    def _configure(self, cloud: CloudFacts, access_graph_chart: Path, teleport_chart: Path) -> None:
        authorities = self.home.stack / "host-authorities.pem"
        existing_teleport.export_host_authorities(self.home, authorities)
        self.stack.initialise()
        facts = StackFacts(
            cluster_identifier=self._cluster_identifier(),
            cloud=cloud,
            access_graph_chart=access_graph_chart,
            teleport_chart=teleport_chart,
            teleport_values=self._adopted_values(cloud),
            host_authorities=authorities,
        )
        self.stack.write_configuration(facts)

    def adopt(self, cloud: CloudFacts, *arguments: str) -> Path:
        """Write the values file of the running Teleport release, as an operator would; returns its path. `arguments`
        are further options of `operations adopt`."""
        values = self.home.stack / "values"
        command = [sys.executable, "-m", "operations", "adopt", "--cluster", existing_teleport.CLUSTER]
        command += ["--context", CONTEXT, "--namespace", existing_teleport.NAMESPACE]
        # Once the stack has patched the release, `access_graph` in it is the stack's, not the owner's.
        command += ["--release", existing_teleport.RELEASE, "--without-access-graph", "--output", str(values)]
        command += arguments
        done = subprocess.run(command, cwd=CHECKOUT, env=self.stack.environment(cloud), capture_output=True, text=True)
        if done.returncode != 0:
            raise SandboxError(f"could not read the values of the running Teleport: {done.stderr.strip()}")
        return values / f"{existing_teleport.CLUSTER}.yaml"

    def _adopted_values(self, cloud: CloudFacts) -> Path:
        """From the first start on, the file is the source of truth: changes that its reader makes are kept."""
        values = self.home.stack / "values" / f"{existing_teleport.CLUSTER}.yaml"
        return values if values.exists() else self.adopt(cloud)

    def _cluster_identifier(self) -> str:
        done = subprocess.run(
            [self.home.bin / "kubectl", "get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}"],
            env=clean_environment(self.home) | {"KUBECONFIG": str(self.home.kubeconfig)},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0 or not done.stdout:
            raise SandboxError(f"the control plane does not give the cluster's identity: {done.stderr.strip()}")
        return done.stdout

    def _step(self, what: str, action: Callable[[], bool]) -> None:
        began = time.monotonic()
        fresh = action()
        self._say(f"  {what}: {f'started in {time.monotonic() - began:.1f} s' if fresh else 'already running'}")
