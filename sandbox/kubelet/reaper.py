"""Kills what pods left running once their kubelet is gone, however it went: `python -m sandbox.kubelet.reaper <home>`.

The kubelet holds the other end of the reaper's standard input. When that closes, every process with the home's mark is
killed, including containers' children, which would otherwise outlive their parents.
"""

from __future__ import annotations

import signal
import sys
import time

from sandbox.processes import marked, signal_process

# Every process of a pod carries this variable and passes it on to its children: `<home>/:<pod uid>/<container>/`.
POD_MARKER = "SANDBOX_POD"
_ROUNDS = 50
_PAUSE_SECONDS = 0.1


def kill_pod_processes(home: str) -> int:
    """Kill every process of the home's pods until none is found; returns how many were found."""
    count = 0
    for _ in range(_ROUNDS):
        found = marked(f"{home}/", POD_MARKER)
        if not found:
            break
        count += len(found)
        for process in found:
            signal_process(process, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
    return count


def main() -> None:
    # Only the end of the kubelet stops this process: a signal to the whole session must not end it first.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    kill_pod_processes(sys.argv[1])


if __name__ == "__main__":
    main()
