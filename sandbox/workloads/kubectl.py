"""`kubectl` of the sandbox's containers: the real client, as the pod's own service account.

kubectl looks for the account's token at a fixed path, which in this sandbox begins at the container's root directory. A
kubeconfig in a file of the container's own tells it where.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from sandbox.workloads.surroundings import inside

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def in_cluster(environment: dict[str, str]) -> str | None:
    """The kubeconfig of the pod's service account, or None if it has none. JSON is valid YAML."""
    token, authority = inside(f"{_ACCOUNT}/token"), inside(f"{_ACCOUNT}/ca.crt")
    host = environment.get("KUBERNETES_SERVICE_HOST")
    if not host or not token.exists():
        return None
    namespace = inside(f"{_ACCOUNT}/namespace")
    server = f"https://{host}:{environment.get('KUBERNETES_SERVICE_PORT', '443')}"
    context = {"cluster": "pod", "user": "pod"}
    if namespace.exists():
        context["namespace"] = namespace.read_text().strip()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pod",
            "clusters": [{"name": "pod", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "pod", "user": {"tokenFile": str(token)}}],
            "contexts": [{"name": "pod", "context": context}],
        }
    )


def main(arguments: list[str]) -> int:
    environment = dict(os.environ)
    program = str(Path(sys.executable).parent / "kubectl")
    configuration = in_cluster(environment)
    if configuration is not None and "KUBECONFIG" not in environment:
        # In memory: a container with a read-only root file system may have nowhere to write, and kubectl reads it once.
        file = os.memfd_create("kubeconfig", 0)  # no close-on-exec flag: kubectl inherits the file
        os.write(file, configuration.encode())
        environment["KUBECONFIG"] = f"/proc/self/fd/{file}"
    os.execve(program, [program, *arguments], environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
