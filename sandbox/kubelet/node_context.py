"""What all pods of this node share: the API, the caches, addresses, directories and times."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sandbox.home import Home
from sandbox.kubelet.addresses import PodAddresses
from sandbox.kubelet.api import ApiClient, Object
from sandbox.kubelet.claims import ClaimProvisioner
from sandbox.kubelet.environment import Lookup
from sandbox.kubelet.events import EventRecorder
from sandbox.kubelet.images import Launchers
from sandbox.kubelet.informer import Informer
from sandbox.kubelet.settings import KubeletSettings

NODE_NAME = "sandbox"
# The node's own address, where the API server fetches logs.
HOST_IP = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class NodeContext:
    home: Home
    settings: KubeletSettings
    client: ApiClient
    events: EventRecorder
    config_maps: Informer
    secrets: Informer
    service_accounts: Informer
    claims: ClaimProvisioner
    addresses: PodAddresses
    launchers: Launchers

    @property
    def pods_directory(self) -> Path:
        return self.home.kubelet / "pods"

    def lookup(self, namespace: str) -> Lookup:
        """Looks up a namespace's ConfigMaps and Secrets, from memory."""

        def find(kind: str, name: str) -> Object | None:
            return (self.config_maps if kind == "ConfigMap" else self.secrets).get(namespace, name)

        return find

    def cloud_environment(self) -> dict[str, str]:
        """The address of the AWS API, as a VPC endpoint would give it; credentials come only from the pod's role."""
        try:
            facts = json.loads((self.home.run / "cloud.ready.json").read_text())
            url = str(facts["url"])
            # Go's SDK reads the common variable too late for a role assumed by web identity.
            return {"AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL_STS": url}
        except (FileNotFoundError, ValueError, KeyError):
            return {}

    def pod_identity_endpoint(self, namespace: str, service_account: str) -> str | None:
        """Where the account's pods get credentials by EKS Pod Identity; None if no association names the account."""
        try:
            facts = json.loads((self.home.run / "pod-identity.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return str(facts["credentials"]) if f"{namespace}/{service_account}" in facts["serviceAccounts"] else None

    def cloud_region(self) -> str:
        try:
            facts = json.loads((self.home.run / "cloud.ready.json").read_text())
            return str(facts.get("region") or "us-east-1")
        except (FileNotFoundError, ValueError):
            return "us-east-1"
