"""Runs the real `helm` for one provider: selects the cluster, passes the values, stops the process.

Owns the process; `release.py` chooses the command, `release_inputs.py` its flags. Values and credentials are passed in
memory files (mode 0600, no name on any disk), never on the command line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from sandbox.plugins.kubernetes.cluster import Connected
from sandbox.plugins.kubernetes.kubeconfig import load
from sandbox.plugins.protocol import ResourceError

PAUSE_SECONDS: Final = 0.2  # how soon a cancelled run is noticed
# The official plugin contains Helm: if the plugin is killed, Helm must not go on alone. The kernel kills a process that
# has asked for this (PR_SET_PDEATHSIG is 1, SIGKILL 9).
DIES_WITH_US: Final = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
FAILURE_PREFIXES: Final = ("Error: ", "INSTALLATION FAILED: ", "UPGRADE FAILED: ", "UNINSTALL FAILED: ")


class HelmFailed(Exception):
    """Helm's own message, without its prefixes."""


def run(connected: Connected, arguments: Sequence[str], values: Mapping[str, Any] | None = None) -> str:
    """Helm's output. Raises `HelmFailed`, or `ResourceError` if there is no helm."""
    program = shutil.which("helm")
    if program is None:
        raise ResourceError("helm is not on PATH, and releases need it; install Helm 3")
    with ExitStack() as stack:
        command = [sys.executable, "-I", "-S", "-c", DIES_WITH_US, program, *arguments]
        environment = {**os.environ, **connected.options.helm}
        handles = []
        if values is not None:
            handles.append(_memory_file(stack, "values", json.dumps(values).encode()))
            command += ["--values", f"/proc/self/fd/{handles[-1]}"]
        if connected.options.kubeconfig or connected.options.cluster:
            config, _ = load(connected.options.kubeconfig, environment)
            handles.append(_memory_file(stack, "kubeconfig", json.dumps(_with_cluster(config, connected)).encode()))
            environment["KUBECONFIG"] = f"/proc/self/fd/{handles[-1]}"
            command += ["--kubeconfig", environment["KUBECONFIG"]]
        if connected.options.context:
            command += ["--kube-context", connected.options.context]
        # A process group of its own: a terminal interrupt then reaches only the engine, which asks us to stop in order.
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=handles,
            start_new_session=True,
        )
        output, problems = _communicate(process, connected)
    if process.returncode != 0:
        raise HelmFailed(failure_of(problems) or f"helm {arguments[0]} ended with exit code {process.returncode}")
    return output


def _communicate(process: subprocess.Popen[str], connected: Connected) -> tuple[str, str]:
    stopped = False
    while True:
        try:
            return process.communicate(timeout=PAUSE_SECONDS)
        except subprocess.TimeoutExpired:
            if connected.cancelled.is_set() and not stopped:
                # Helm itself ends an interrupted operation, and rolls back an atomic one.
                process.send_signal(signal.SIGTERM)
                stopped = True


def failure_of(problems: str) -> str:
    """Only the last message: warnings and log lines of Helm's libraries precede it."""
    text = problems[max(problems.rfind("\nError: ") + 1, 0) :].strip()
    for prefix in FAILURE_PREFIXES:
        text = text.removeprefix(prefix)
    return text


def _with_cluster(config: dict[str, Any], connected: Connected) -> dict[str, Any]:
    """Helm has no flag for a cluster other than the context's own, so the context is changed instead."""
    if not connected.options.cluster:
        return config
    chosen = connected.options.context or config.get("current-context")
    for entry in config.get("contexts") or []:
        if entry.get("name") == chosen:
            entry["context"] = {**(entry.get("context") or {}), "cluster": connected.options.cluster}
    return config


def _memory_file(stack: ExitStack, name: str, content: bytes) -> int:
    handle = os.memfd_create(name)
    stack.callback(os.close, handle)
    os.fchmod(handle, 0o600)
    os.write(handle, content)
    return handle
