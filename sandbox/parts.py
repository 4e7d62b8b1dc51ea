"""The sandbox's own long-running parts as the supervisor starts them: the cloud and the kubelet.

Owns their command lines and the clean environment they run in.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from sandbox.home import CHECKOUT, Home
from sandbox.supervisor import Part, ready_file_probe

CLOUD = "cloud"
KUBELET = "kubelet"

# Empty instead of unset: AWS's SDK would otherwise read the user's own files when it is imported.
NOBODYS_AWS = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

# Variables that would direct a part, or the engine, to an account, cluster, database or proxy outside the sandbox.
_FOREIGN_PREFIXES = ("AWS_", "KUBE", "HELM_", "PG", "ACCESS_GRAPH_")
_FOREIGN_NAMES = frozenset(
    {
        "PULUMI_ACCESS_TOKEN",
        "PULUMI_BACKEND_URL",
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_STACK",
        "PYTHONHOME",
        "PYTHONPATH",
        # Everything is on loopback, and few clients can exempt all of 127.0.0.0/8 from a proxy.
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    }
)


def is_foreign(variable: str) -> bool:
    """Whether a variable of the caller's environment must not reach the sandbox."""
    return variable in _FOREIGN_NAMES or variable.startswith(_FOREIGN_PREFIXES)


def clean_environment(home: Home) -> dict[str, str]:
    """The caller's environment without foreign variables, with the sandbox's programs first on PATH."""
    environment = {name: value for name, value in os.environ.items() if not is_foreign(name)}
    own = [str(home.bin), str(Path(sys.executable).parent)]
    rest = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry and entry not in own]
    return environment | {
        "PATH": os.pathsep.join([*own, *rest]),
        "SANDBOX_HOME": str(home.root),
        "KUBECACHEDIR": str(home.kube_cache),
        **NOBODYS_AWS,
    }


def cloud_part(home: Home) -> Part:
    # The first start creates no database, but importing moto takes a few seconds on a busy machine.
    return _part(CLOUD, home, timeout=120)


def kubelet_part(home: Home) -> Part:
    return _part(KUBELET, home, timeout=60)


def ready_facts(home: Home, name: str) -> dict[str, Any]:
    """What a part reports about itself once it serves."""
    facts: dict[str, Any] = json.loads((home.run / f"{name}.ready.json").read_text())
    return facts


def _part(name: str, home: Home, timeout: float) -> Part:
    ready = home.run / f"{name}.ready.json"
    return Part(
        name=name,
        command=(sys.executable, "-m", f"sandbox.{name}", "--home", str(home.root)),
        # Started in the home, not in the checkout, so Python needs this to find the package.
        environment={**clean_environment(home), "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"},
        ready=ready_file_probe(ready),
        ready_file=ready,
        timeout=timeout,
    )
