"""The kubelet's times, each with what a real node does. All are shorter here: there is one node and nobody's traffic.

An environment variable `SANDBOX_KUBELET_<FIELD>` (seconds, or a factor) overrides any of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

# Probes wait and repeat as the charts say, which is what times of rollouts mean something with.
PROBES_AS_WRITTEN: Final = {
    "SANDBOX_KUBELET_PROBE_DELAY_FACTOR": "1",
    "SANDBOX_KUBELET_PROBE_PERIOD_UNTIL_READY": "inf",
}


@dataclass(frozen=True)
class KubeletSettings:
    """Seconds, except for `probe_delay_factor`."""

    # initialDelaySeconds of probes is multiplied by this. Teleport's chart waits 5 s for what is up in 1 s here.
    probe_delay_factor: float = 0.2
    # Until a container is ready it is probed at least this often, as real kubelets probe out of turn to be quick.
    probe_period_until_ready: float = 0.5
    # First pause after a crash and the longest; a real node begins with 10 s and ends with 300 s.
    backoff_first: float = 1.0
    backoff_longest: float = 10.0
    # A container that ran this long starts over with the first pause; a real node waits 10 min.
    backoff_reset: float = 60.0
    # At most this much of a preStop hook: it lets load balancers forget a pod, and here nothing balances.
    pre_stop_longest: float = 0.5
    # At most this much of terminationGracePeriodSeconds between SIGTERM and SIGKILL.
    grace_longest: float = 10.0
    # How long until a changed ConfigMap or Secret is in the files of running pods; a real node takes up to 60 to 90 s.
    propagation: float = 2.0
    # How often a pod whose volumes cannot be mounted tries again besides when one of them changes.
    mount_retry: float = 5.0
    # Between two renewals of the node's lease (a real node: 10 s of 40 s).
    lease_period: float = 20.0
    # What one probe may take at most, whatever its timeoutSeconds says.
    probe_timeout_longest: float = 10.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> KubeletSettings:
        given = {
            field.name: float(environment[variable])
            for field in fields(cls)
            if (variable := f"SANDBOX_KUBELET_{field.name.upper()}") in environment
        }
        return cls(**given)
