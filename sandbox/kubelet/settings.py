"""The kubelet's times, each with a real node's value. All are shorter here: there is one node and no real traffic.

An environment variable `SANDBOX_KUBELET_<FIELD>` (seconds, or a factor) overrides any of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

# Probes wait and repeat as the charts say; only then do measured rollout times mean anything.
PROBES_AS_WRITTEN: Final = {
    "SANDBOX_KUBELET_PROBE_DELAY_FACTOR": "1",
    "SANDBOX_KUBELET_PROBE_PERIOD_UNTIL_READY": "inf",
}


@dataclass(frozen=True)
class KubeletSettings:
    """Seconds, except for `probe_delay_factor`."""

    # initialDelaySeconds of probes is multiplied by this. Teleport's chart waits 5 s for what is up in 1 s here.
    probe_delay_factor: float = 0.2
    # Until a container is ready, its probe runs at least this often, as real kubelets probe out of turn to be quick.
    probe_period_until_ready: float = 0.5
    # The first and the longest pause after a crash; a real node begins with 10 s and ends with 300 s.
    backoff_first: float = 1.0
    backoff_longest: float = 10.0
    # After running this long, a container starts over with the first pause; on a real node, after 10 min.
    backoff_reset: float = 60.0
    # Upper limit for a preStop hook: it gives load balancers time to forget a pod, and here there are none.
    pre_stop_longest: float = 0.5
    # Upper limit for terminationGracePeriodSeconds, the time between SIGTERM and SIGKILL.
    grace_longest: float = 10.0
    # How long a changed ConfigMap or Secret takes to reach running pods' files; on a real node, up to 60 to 90 s.
    propagation: float = 2.0
    # How often a pod retries volumes that cannot be mounted, besides whenever one of them changes.
    mount_retry: float = 5.0
    # The time between two renewals of the node's lease (a real node: 10 s, of 40 s).
    lease_period: float = 20.0
    # Upper limit for one probe, whatever its timeoutSeconds says.
    probe_timeout_longest: float = 10.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> KubeletSettings:
        given = {
            field.name: float(environment[variable])
            for field in fields(cls)
            if (variable := f"SANDBOX_KUBELET_{field.name.upper()}") in environment
        }
        return cls(**given)
