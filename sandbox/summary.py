"""What exists after `make up`, and what to try next, for somebody who sees it for the first time."""

from __future__ import annotations

import json
import subprocess
import sys

from sandbox.lifecycle import Running, Sandbox


def print_summary(sandbox: Sandbox, running: Running) -> None:
    """A screenful: endpoint, pods, database, certificate; the plugins that ran; next commands."""
    outputs = sandbox.stack.outputs(running.cloud)
    facts = [
        ("endpoint", outputs.get("endpoint")),
        ("release", f"{outputs.get('releaseName')} {outputs.get('chartVersion')} in {outputs.get('namespace')}"),
        ("pods", _pods(sandbox, running, str(outputs.get("namespace")))),
        ("database", f"{outputs.get('databaseEndpoint')} / {outputs.get('databaseName')}"),
        ("certificate until", outputs.get("certificateNotAfter")),
        ("its authority until", outputs.get("caNotAfter")),
    ]
    print("\nwhat stands now")
    for name, value in facts:
        print(f"  {name:<20} {value}")
    for kind, source in (
        ("official plugins", "official"),
        ("of official source", "official source"),
        ("stand-in plugins", "stand-in"),
    ):
        names = [choice.name for choice in running.plugins if choice.source == source]
        if names:
            print(f"  {kind:<20} {', '.join(names)}")
    print(
        "\nwhat to try next\n"
        "  make verify               prove it from outside\n"
        '  eval "$(make env)"        then pulumi, kubectl, helm and psql work on the sandbox:\n'
        "    kubectl get pods -A\n"
        "    pulumi stack output\n"
        "    pulumi config set --path teleport-access-graph:accessGraph.replicas 3 && pulumi up\n"
        "  make down                 destroy it all"
    )
    sys.stdout.flush()


def _pods(sandbox: Sandbox, running: Running, namespace: str) -> str:
    done = subprocess.run(
        [sandbox.home.bin / "kubectl", "get", "pods", "--namespace", namespace, "--output", "json"],
        env=sandbox.stack.environment(running.cloud),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        return done.stderr.strip()
    pods = json.loads(done.stdout)["items"]
    ready = [pod for pod in pods if _is_ready(pod)]
    return ", ".join(sorted(pod["metadata"]["name"] for pod in ready)) or "none ready"


def _is_ready(pod: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
