"""Where the sandbox keeps its files: the layout of a home, the cache of builds, and the checkout.

Owns only paths; the module that writes a file owns its contents.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

HOME_MODE = 0o700
SECRET_FILE_MODE = 0o600


@dataclass(frozen=True)
class Home:
    """One running sandbox. Two homes share nothing but the cache of builds."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> Home:
        return cls(Path(path).expanduser().resolve())

    @classmethod
    def from_environment(cls, checkout: Path = CHECKOUT, environment: Mapping[str, str] = os.environ) -> Home:
        return cls.at(environment.get("SANDBOX_HOME") or checkout / ".sandbox")

    @property
    def bin(self) -> Path:
        """Launchers, first on PATH."""
        return self.root / "bin"

    @property
    def run(self) -> Path:
        """Pid files, `<part>.ready.json`, network.json, plugins.txt."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def names(self) -> Path:
        """The address book: DNS name -> port -> addresses."""
        return self.root / "names"

    @property
    def kubeconfig(self) -> Path:
        """Administrator of the control plane, context `sandbox`."""
        return self.root / "kubeconfig"

    @property
    def kubelet_kubeconfig(self) -> Path:
        return self.root / "kubelet.kubeconfig"

    @property
    def kube_cache(self) -> Path:
        """What kubectl and Helm cache about the API server."""
        return self.root / "kube-cache"

    @property
    def pki(self) -> Path:
        """Keys and certificates of the control plane; `kubelet.crt`/`kubelet.key` are for the kubelet's own server."""
        return self.root / "control-plane" / "pki"

    @property
    def etcd_data(self) -> Path:
        return self.root / "control-plane" / "etcd"

    @property
    def control_plane(self) -> Path:
        return self.root / "control-plane"

    @property
    def audit_log(self) -> Path:
        """Every write to the API server, one JSON object per line."""
        return self.logs / "audit.jsonl"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet"

    @property
    def cloud(self) -> Path:
        return self.root / "cloud"

    @property
    def charts(self) -> Path:
        """Packaged charts (`<name>-<version>.tgz`)."""
        return self.root / "charts"

    @property
    def stack(self) -> Path:
        """The files that the stack's configuration refers to: values files, host authorities."""
        return self.root / "stack"

    @property
    def pulumi(self) -> Path:
        """PULUMI_HOME: plugins and workspaces of this sandbox alone."""
        return self.root / "pulumi"

    @property
    def state(self) -> Path:
        """Root of the engine's file backend."""
        return self.root / "state"

    @property
    def passphrase(self) -> Path:
        return self.root / "passphrase"

    def create(self) -> None:
        """Create the directories that last for the life of the home. Mode 0700: keys and state are below."""
        self.root.mkdir(parents=True, exist_ok=True)
        # A pod or a database may run as another user; the part that starts it gives it access to its own directory.
        self.root.chmod(HOME_MODE)
        for directory in (self.bin, self.run, self.logs, self.names, self.pki, self.charts, self.stack, self.pulumi):
            directory.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(exist_ok=True)


@dataclass(frozen=True)
class Cache:
    """Builds, outside every checkout, so that neither a fresh clone nor `make down` discards them."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Cache:
        chosen = environment.get("SANDBOX_CACHE")
        if chosen:
            return cls(Path(chosen).expanduser().resolve())
        base = environment.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        return cls(Path(base) / "teleport-access-graph")

    @property
    def tools(self) -> Path:
        """`<name>-<version>/<name>`, complete or absent."""
        return self.root / "tools"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def work(self) -> Path:
        """Compiler output with which an interrupted build resumes; removed once every tool is there."""
        return self.root / "work"

    def lock_of(self, home: Home) -> Path:
        """Held by the command that is working on that home."""
        return self.root / "locks" / hashlib.sha256(str(home.root).encode()).hexdigest()[:16]

    @property
    def networks(self) -> Path:
        """Which home has which loopback /16."""
        return self.root / "networks"
