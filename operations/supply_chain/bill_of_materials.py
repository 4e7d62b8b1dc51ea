"""The bill of materials of what `pulumi up` runs, in CycloneDX 1.6: https://cyclonedx.org/docs/1.6/json/

Owns the document. It lists the locked packages that apply to this machine, and the engine plugins of the same versions.
It does not list charts and images, which each environment's configuration names.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.expiry import write_time
from components.settings.names import PROJECT
from operations.supply_chain.licences import installed, licence_of
from operations.supply_chain.lock import LockedPackage

# SDKs for which the engine downloads a plugin of the same version: https://www.pulumi.com/docs/iac/concepts/plugins/
_PLUGINS = ("pulumi-aws", "pulumi-kubernetes", "pulumi-random", "pulumi-tls")
# For the document's identifier: documents with the same content share it.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, f"{PROJECT}.bill-of-materials")


def bill_of_materials(packages: Sequence[LockedPackage], *, version: str, now: datetime) -> dict[str, Any]:
    """The document for version `version` of the project.

    Raises `PackageNotFoundError` when the installed packages are not the locked ones.
    """
    here = sorted(package for package in packages if package.applies())
    components = [*(_library(package) for package in here), *(_plugin(one) for one in here if one.name in _PLUGINS)]
    references = {package.name: _reference(package) for package in here}
    root = f"{PROJECT}@{version}"
    needed = {package.name: _needs(package, references) for package in here}
    dependencies = [
        {"ref": root, "dependsOn": [component["bom-ref"] for component in components]},
        *({"ref": references[name], "dependsOn": needs} for name, needs in needed.items()),
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, root + repr(here))}",
        "version": 1,
        "metadata": {
            "timestamp": write_time(now.astimezone(timezone.utc)),
            "component": {"type": "application", "bom-ref": root, "name": PROJECT, "version": version},
        },
        "components": components,
        "dependencies": dependencies,
    }


def _reference(package: LockedPackage) -> str:
    """The package URL: https://github.com/package-url/purl-spec"""
    return f"pkg:pypi/{package.name}@{package.version}"


def _library(package: LockedPackage) -> dict[str, Any]:
    reference = _reference(package)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "purl": reference,
        # The hashes of every file that may be installed. In `hashes` they would claim to be of one file.
        "properties": [{"name": f"{PROJECT}:lock:sha256", "value": value} for value in package.hashes],
    }
    licence = licence_of(installed(package))
    if licence:
        component["licenses"] = [{"expression": licence}]
    return component


def _plugin(package: LockedPackage) -> dict[str, Any]:
    reference = f"pkg:github/pulumi/{package.name}@v{package.version}"
    return {
        "type": "application",
        "bom-ref": reference,
        "name": package.name.replace("pulumi-", "pulumi-resource-"),
        "version": package.version,
        "purl": reference,
    }


def _needs(package: LockedPackage, references: dict[str, str]) -> list[str]:
    """References of the packages that its metadata requires on this machine, without extras."""
    wanted = [Requirement(text) for text in installed(package).requires or ()]
    names = {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}
    return sorted(references[name] for name in names if name in references)
