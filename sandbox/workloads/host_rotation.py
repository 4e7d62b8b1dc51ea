"""Rotates Teleport's host CA by hand, phase by phase, as `tctl auth rotate --type=host --manual --phase=...` does.

Owns the phases and what each does to the keys. Auth and the proxies notice by themselves and take new certificates.

    standby -> init -> update_clients -> update_servers -> standby
    init, update_clients, update_servers -> rollback -> standby

`python -m sandbox.workloads.host_rotation {rotate,list} --data ... --cluster ...`
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from sandbox.workloads.certificates import certificates_in
from sandbox.workloads.host_authority import active_directory, additional_directory, create_authority
from sandbox.workloads.journal import StartRefused, run_program

STANDBY, INIT, UPDATE_CLIENTS, UPDATE_SERVERS, ROLLBACK = (
    "standby",
    "init",
    "update_clients",
    "update_servers",
    "rollback",
)

# Teleport's own order (lib/auth/rotate.go).
NEXT = {
    STANDBY: (INIT,),
    INIT: (UPDATE_CLIENTS, ROLLBACK),
    UPDATE_CLIENTS: (UPDATE_SERVERS, ROLLBACK),
    UPDATE_SERVERS: (STANDBY, ROLLBACK),
    ROLLBACK: (STANDBY,),
}


def current_phase(data: Path) -> str:
    record = data / "authorities" / "phase"
    return record.read_text() if record.exists() else STANDBY


def rotate(data: Path, cluster: str, phase: str) -> None:
    """Go to the phase. Raises StartRefused if it does not follow the current one."""
    before = current_phase(data)
    if phase not in NEXT[before]:
        raise StartRefused(f"can not switch to phase {phase!r} from {before!r}; next is {' or '.join(NEXT[before])}")
    active, additional = active_directory(data), additional_directory(data)
    if phase == INIT:
        number = 1 + max(int(path.stem) for path in active.glob("*.pem"))
        create_authority(additional / f"{number:04}.pem", cluster)
    elif phase == UPDATE_CLIENTS or (phase == ROLLBACK and before != INIT):
        _swap(active, additional)
    elif phase == STANDBY:
        for path in additional.glob("*.pem"):
            path.unlink()
    (data / "authorities" / "phase").write_text(phase)


def listing(data: Path, cluster: str) -> str:
    """What `tctl get cert_authorities --format=json` prints for the host CA."""
    phase = current_phase(data)
    return json.dumps(
        [
            {
                "kind": "cert_authority",
                "version": "v2",
                "sub_kind": "host",
                "metadata": {"name": cluster},
                "spec": {
                    "type": "host",
                    "cluster_name": cluster,
                    "active_keys": _keys(active_directory(data)),
                    "additional_trusted_keys": _keys(additional_directory(data)),
                    "rotation": {"state": "standby" if phase == STANDBY else "in_progress", "phase": phase},
                },
            }
        ],
        indent=4,
    )


def _swap(active: Path, additional: Path) -> None:
    """Activate the other side. It arrives before the old side leaves, so that auth has a CA at every moment."""
    leaving, coming = list(active.glob("*.pem")), list(additional.glob("*.pem"))
    for path in leaving:
        shutil.copy2(path, additional / path.name)  # keeps the mode, because the file contains a key
    for path in coming:
        path.replace(active / path.name)
    for path in leaving:
        path.unlink()


def _keys(directory: Path) -> dict[str, Any]:
    return {
        "tls": [
            {"cert": base64.b64encode(path.read_bytes().partition(b"-----BEGIN PRIVATE")[0]).decode()}
            for path in sorted(directory.glob("*.pem"))
            if certificates_in(path.read_text())
        ]
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="sandbox.workloads.host_rotation")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("rotate", "list"):
        sub = commands.add_parser(command)
        sub.add_argument("--data", type=Path, required=True)
        sub.add_argument("--cluster", required=True)
    commands.choices["rotate"].add_argument("--phase", choices=sorted(NEXT), required=True)
    given = parser.parse_args(arguments)
    if given.command == "rotate":
        rotate(given.data, given.cluster, given.phase)
    else:
        sys.stdout.write(listing(given.data, given.cluster) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_program(lambda: main(sys.argv[1:])))
