"""Persistent volume claims: each gets a directory in the home and a PersistentVolume that names it (`hostPath`).

The directory lives as long as its claim, whatever happens to pods; `<home>/kubelet/claims/<namespace>/<claim>` links to
it.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from sandbox.kubelet.api import ApiClient, ApiError, Object, is_missing
from sandbox.kubelet.informer import Informer
from sandbox.kubelet.log import say

_LABEL = "sandbox/provisioned-by"
_RETRY_SECONDS = 2.0


def claim_path(kubelet_directory: Path, namespace: str, claim: str) -> Path:
    """The directory behind a claim, by the claim's name; auth's data volume holds `host-identity.pem`."""
    return kubelet_directory / "claims" / namespace / claim


class ClaimProvisioner:
    """Creates volumes for claims and removes both together. The controller manager binds them."""

    def __init__(self, client: ApiClient, claims: Informer, directory: Path) -> None:
        self._client = client
        self._claims = claims
        self._directory = directory
        self._wake = asyncio.Event()
        claims.subscribe(lambda old, new: self._wake.set())

    def directory_of(self, namespace: str, name: str) -> Path | None:
        """The claim's directory, or None while there is none."""
        claim = self._claims.get(namespace, name)
        if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
            return None
        path = self._volume_directory(claim["metadata"]["uid"])
        # A claim bound to somebody else's volume has no directory here.
        return path if path.is_dir() else None

    async def run(self) -> None:
        await self._claims.synced.wait()
        while True:
            self._wake.clear()
            try:
                await self._reconcile()
            except (ApiError, OSError, asyncio.TimeoutError) as error:
                say(f"claims: {error}")
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await self._wake.wait()

    async def _reconcile(self) -> None:
        wanted = {_volume_name(claim): claim for claim in self._claims.objects.values()}
        listed = await self._client.get("/api/v1/persistentvolumes", {"labelSelector": f"{_LABEL}=kubelet"})
        existing = {volume["metadata"]["name"]: volume for volume in listed.get("items") or []}
        for name, claim in wanted.items():
            if name not in existing and not claim["spec"].get("volumeName"):
                await self._provision(name, claim)
        for name in existing:
            if name not in wanted:
                await self._remove(name)

    async def _provision(self, name: str, claim: Object) -> None:
        metadata, spec = claim["metadata"], claim["spec"]
        directory = self._volume_directory(metadata["uid"])
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        link = claim_path(self._directory, metadata["namespace"], metadata["name"])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(directory)
        volume: Object = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name, "labels": {_LABEL: "kubelet"}},
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "volumeMode": spec.get("volumeMode", "Filesystem"),
                "storageClassName": spec.get("storageClassName") or "",
                # The controller manager has no plugin that could delete a directory, so this class does.
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": str(directory)},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": metadata["namespace"],
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        }
        try:
            await self._client.create("/api/v1/persistentvolumes", volume)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _remove(self, name: str) -> None:
        uid = name.removeprefix("claim-")
        try:
            await self._client.delete(f"/api/v1/persistentvolumes/{name}")
        except ApiError as error:
            if not is_missing(error):
                raise
        directory = self._volume_directory(uid)
        for link in (self._directory / "claims").glob("*/*"):
            if link.is_symlink() and link.resolve() == directory.resolve():
                link.unlink()
        shutil.rmtree(directory, ignore_errors=True)

    def _volume_directory(self, uid: str) -> Path:
        return self._directory / "volumes" / uid


def _volume_name(claim: Object) -> str:
    return f"claim-{claim['metadata']['uid']}"
