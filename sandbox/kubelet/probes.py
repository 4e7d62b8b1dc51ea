"""Readiness, liveness and startup probes: one attempt of each kind, and the counting of thresholds.

Owns attempts and counts; the container acts on the results.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox.kubelet.api import Object
from sandbox.kubelet.settings import KubeletSettings

# Runs a command in the container: (command, timeout) -> exit code and output.
Execute = Callable[[list[str], float], Awaitable[tuple[int, str]]]


@dataclass(frozen=True)
class ProbeTarget:
    """The container's network endpoint: its pod's address and the port names of its spec."""

    address: str
    named_ports: dict[str, int]
    execute: Execute

    def port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        if port in self.named_ports:
            return self.named_ports[port]
        if port.isdigit():
            return int(port)
        raise ValueError(f"couldn't find port {port!r}")


async def attempt(probe: Object, target: ProbeTarget, longest: float) -> str:
    """Empty if the probe succeeds, otherwise the reason why not."""
    timeout = min(float(probe.get("timeoutSeconds") or 1), longest)
    try:
        if "tcpSocket" in probe:
            port = target.port(probe["tcpSocket"]["port"])
            return await asyncio.wait_for(_tcp(target.address, port), timeout)
        if "httpGet" in probe:
            return await asyncio.wait_for(_http(probe["httpGet"], target), timeout)
        if "exec" in probe:
            code, output = await target.execute(list(probe["exec"]["command"]), timeout)
            return "" if code == 0 else f"command failed with {code}: {output[-300:]}"
    except asyncio.TimeoutError:
        return "context deadline exceeded"
    except (OSError, EOFError, ValueError) as error:
        return str(error)
    return f"probe of a kind this node does not have: {', '.join(probe)}"


async def _tcp(address: str, port: int) -> str:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ""


async def _http(get: Object, target: ProbeTarget) -> str:
    context: ssl.SSLContext | None = None
    if get.get("scheme", "HTTP").upper() == "HTTPS":
        # As on a real node, probes do not verify certificates.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    port = target.port(get["port"])
    reader, writer = await asyncio.open_connection(target.address, port, ssl=context)
    try:
        headers = {"Host": f"{target.address}:{port}", "User-Agent": "kube-probe", "Connection": "close"}
        headers |= {header["name"]: header["value"] for header in get.get("httpHeaders") or []}
        lines = [f"GET {get.get('path') or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await writer.drain()
        status = int((await reader.readline()).split()[1])
    except IndexError:
        return "not an HTTP answer"
    finally:
        writer.close()
    return "" if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


class Prober:
    """Repeats one probe and reports results that pass the threshold, and every failure."""

    def __init__(
        self, kind: str, probe: Object, target: ProbeTarget, settings: KubeletSettings, eager: Callable[[], bool]
    ) -> None:
        self.kind = kind
        self._probe = probe
        self._target = target
        self._settings = settings
        # While this returns true, the probe runs more often than its period.
        self._eager = eager

    async def run(self, passed: Callable[[], None], failed: Callable[[str, bool], None]) -> None:
        """Runs until cancelled. Calls `passed` at each success past the threshold, `failed` at each failure, with
        whether the threshold is passed."""
        probe, settings = self._probe, self._settings
        await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0) * settings.probe_delay_factor)
        successes = failures = 0
        while True:
            error = await attempt(probe, self._target, settings.probe_timeout_longest)
            if error:
                failures, successes = failures + 1, 0
                failed(error, failures >= int(probe.get("failureThreshold") or 3))
            else:
                successes, failures = successes + 1, 0
                if successes >= int(probe.get("successThreshold") or 1):
                    passed()
            period = float(probe.get("periodSeconds") or 10)
            await asyncio.sleep(min(period, settings.probe_period_until_ready) if self._eager() else period)
