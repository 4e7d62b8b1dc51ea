"""Pod addresses: the one that the cluster sees (10.<n>.x.y) and the loopback one (127.<n>.x.y) where the pod listens.

EndpointSlices refuse loopback addresses, hence two; they differ only in the first number.
"""

from __future__ import annotations

import json
from pathlib import Path

# Pods have 127.<n>.1-99.x; the cloud has 200 and up.
_FIRST, _LAST = 1, 99
_PER_NETWORK = 253


class AddressesExhausted(Exception):
    """Every pod address is taken."""


class PodAddresses:
    """Hands out addresses round robin, so that an address is not reused soon after its pod has gone."""

    def __init__(self, prefix: str, record: Path) -> None:
        self._second = prefix.partition(".")[2]
        self._record = record
        self._next = json.loads(record.read_text())["next"] if record.exists() else 0
        self._taken: set[str] = set()

    def allocate(self) -> str:
        """A free pod IP. Raises AddressesExhausted."""
        total = (_LAST - _FIRST + 1) * _PER_NETWORK
        for _ in range(total):
            number = self._next % total
            self._next = (number + 1) % total
            address = f"10.{self._second}.{_FIRST + number // _PER_NETWORK}.{1 + number % _PER_NETWORK}"
            if address not in self._taken:
                self._taken.add(address)
                self._record.write_text(json.dumps({"next": self._next}))
                return address
        raise AddressesExhausted(f"all {total} pod addresses are taken")

    def claim(self, pod_ip: str) -> bool:
        """Keep the address of a pod that is older than this kubelet; false if it is taken or outside this network."""
        if not pod_ip.startswith(f"10.{self._second}.") or pod_ip in self._taken:
            return False
        self._taken.add(pod_ip)
        return True

    def release(self, pod_ip: str) -> None:
        self._taken.discard(pod_ip)


def bind_address(pod_ip: str) -> str:
    """The address on which the pod with this IP listens."""
    return "127." + pod_ip.partition(".")[2]
