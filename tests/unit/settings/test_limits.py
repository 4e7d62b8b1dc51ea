"""Values just inside a limit are accepted; the cases of `test_refusals` are just outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings import load_settings
from components.settings.moments import in_utc
from tests.samples import CERTIFICATE_FORM, STACK, minimal_configuration, release_entry
from tests.unit.settings.cases import R, T
from tests.unit.settings.test_refusals import configuration_of

pytestmark = pytest.mark.unit

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
# TAG's name is teleport-access-graph.teleport-access-graph.svc.<domain>, and a DNS name has at most 253 characters.
_DOMAIN = ".".join(["d" * 60] * 4)
ACCEPTED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "a request as large as its limit": ("accessGraph/resources", {"memoryRequest": "1Gi", "memoryLimit": "1024Mi"}, {}),
    "the longest name": ("accessGraph/clusterDomain", _DOMAIN[: 253 - len("teleport-access-graph.") * 2 - 4], {}),
    "a namespace of 63 characters": ("accessGraph/namespace", "n" * 63, {}),
    "a release of 53 characters": ("accessGraph/release", "r" * 53, {}),
    "a toleration of every taint": ("accessGraph/tolerations", [{"operator": "Exists"}], {}),
    "a toleration of a value": ("accessGraph/tolerations", [{"key": "a", "operator": "Equal", "value": "b"}], {}),
    "an end of a toleration": (
        "accessGraph/tolerations",
        [{"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 0}],
        {},
    ),
    "storage that grows by a tenth": ("database/maxAllocatedStorageGib", 22, {"database/allocatedStorageGib": 20}),
    "a replica's longest name": (
        "database/identifier",
        "t" * 55,
        {"database/replica": {}, "database/masterPassword": "generated"},
    ),
    "an identifier of 63 characters": ("database/identifier", "t" * 63, {}),
    "a file as large as an object": (f"{T}/valuesFiles", ["largest.yaml"], {}),
    "the oldest Teleport": (f"{T}/chart/version", "14.3.4", {}),
    "a package whose description is not its first file": (
        "accessGraph/chart",
        {"path": "values-first-1.30.2.tgz"},
        {},
    ),
    "two adopted releases of one name": (
        "teleport/second",
        release_entry(namespace="second", adopt=True, valuesFiles=["values.yaml"]),
        {f"{T}/adopt": True, f"{T}/valuesFiles": ["values.yaml"]},
    ),
    "the longest DNS name, of longest labels": (
        "tls",
        {"mode": "generated", "extraDnsNames": [".".join(["d" * 63] * 3 + ["d" * 61])]},
        {},
    ),
    "the longest name of an object": ("accessGraph/imagePullSecrets", ["s" * 253], {}),
    "the longest name of a context": ("kubernetes/context", "c" * 1024, {}),
    "the first port": (f"{T}/hostAuthorities", {"mode": "proxy", "address": "t.example.com:1"}, {}),
    "the last port": (f"{T}/hostAuthorities", {"mode": "proxy", "address": "t.example.com:65535"}, {}),
    "the longest path": (f"{T}/valuesFiles", [f"{'./' * 505}.//values.yaml"], {}),
    "an image by digest": ("database/accessJob", {"image": f"postgres@{DIGEST}"}, {}),
    "an image by tag and digest": ("database/accessJob", {"image": f"registry.example.com:5000/a/b:1@{DIGEST}"}, {}),
    "the oldest PostgreSQL": ("database/engineVersion", "14", {}),
    "the shortest windows": (
        "database/backupWindow",
        "02:00-02:30",
        {"database/maintenanceWindow": "sun:02:30-sun:03:00"},
    ),
    "maintenance from one backup to the next": (
        "database/maintenanceWindow",
        "sun:03:00-mon:02:30",
        {"database/backupWindow": "02:30-03:00"},
    ),
    "a tag's longest key and value": ("tags", {"k" * 128: "v" * 256}, {}),
    "a tag in letters and digits of any script": ("tags", {"Straße": "Zürich 東京 Αθήνα ٣"}, {}),
    "a label's longest value": ("labels", {"team": "x" * 63}, {}),
    "as many annotations as are allowed": ("annotations", {"team": "x" * (128 * 1024 - 4)}, {}),
    "the longest certificate text": (
        f"{T}/hostAuthorities",
        {"mode": "inline", "certificates": [CERTIFICATE_FORM.ljust(256 * 1024)]},
        {},
    ),
    "the longest path of IAM": ("aws/iam", {"path": f"/{'p' * 510}/"}, {}),
    "a path of IAM with many parts": ("aws/iam", {"path": "/a/b/c/d/e/f/"}, {}),
    "the longest name of an EKS cluster": (
        "aws/workloadIdentity",
        {"mode": "podIdentity", "clusterName": "c" * 100},
        {},
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_keeps_a_limit_is_accepted(name: str, root: Path) -> None:
    path, value, also = ACCEPTED[name]
    load_settings(configuration_of(R(path, value, "", "", also=also)), (), root=root, stack=STACK)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00.5+01:00", "2026-01-30T23:00:00Z"),
        ("2026-01-31T00:00:00-00:30", "2026-01-31T00:30:00Z"),
    ],
)
def test_a_moment_is_one_whatever_its_offset(text: str, utc: str) -> None:
    assert in_utc(text) == utc


def test_the_least_configuration_is_accepted(root: Path) -> None:
    """Every other test here changes this configuration, and would prove nothing if it were refused."""
    load_settings(minimal_configuration(), (), root=root, stack=STACK)
