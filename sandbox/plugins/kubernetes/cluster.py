"""The one cluster of a provider: its API server if it answers, otherwise the reason why not.

Owns reachability, which the official plugin also determines once, when it is configured.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.plugins.kubernetes import kubeconfig
from sandbox.plugins.kubernetes.configuration import Options
from sandbox.plugins.kubernetes.connection import ApiError, ApiServer, Unreachable
from sandbox.plugins.kubernetes.kubeconfig import KubeconfigError
from sandbox.plugins.protocol import ResourceError


@dataclass(frozen=True)
class Connected:
    """`default_namespace` is for objects that name none. `cancelled` is set when an interrupted run asks to end."""

    options: Options
    server: ApiServer | None
    unreachable: str
    default_namespace: str
    cancelled: threading.Event

    def reachable(self) -> ApiServer:
        """Raises `ResourceError` if the cluster does not answer."""
        if self.server is None:
            raise ResourceError(f"configured Kubernetes cluster is unreachable: {self.unreachable}")
        return self.server


def connect(options: Options, environment: Mapping[str, str]) -> Connected:
    cancelled = threading.Event()
    try:
        config, directory = kubeconfig.load(options.kubeconfig, environment)
        target = kubeconfig.resolve(config, directory, options.context, options.cluster)
    except KubeconfigError as error:
        reason = f"unable to load Kubernetes client configuration from kubeconfig file: {error}"
        return Connected(options, None, reason, options.namespace or "", cancelled)
    namespace = options.namespace or target.namespace or "default"
    server = ApiServer(target)
    try:
        server.version()
    except (Unreachable, ApiError) as error:
        reason = f"unable to load schema information from the API server: {error}"
        return Connected(options, None, reason, namespace, cancelled)
    return Connected(options, server, "", namespace, cancelled)
