"""Rules for the Helm releases, checked on their values: the engine does not see what charts render."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.rules import Properties, ResourceRule, given

RELEASE = frozenset({"kubernetes:helm.sh/v3:Release"})

_EXACT = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?")
# The file behind a URL may be another one tomorrow.
_PACKAGED = re.compile(r"(?!.*://).+\.(tgz|tar\.gz)")
# A value that only TAG's chart has: a packaged chart's file may have any name.
_HOST_AUTHORITIES = "clusterHostCAs"
_SECRETS = (
    (re.compile(r"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----"), "a private key"),
    (
        re.compile(r"\bpostgres(ql)?://([^\s:/@]*:[^\s@]+@|\S*[?&]password=)", re.IGNORECASE),
        "a database URI with a password",
    ),
    # The other form of connection string that TAG accepts.
    (re.compile(r"(?<![^\s'\"])password\s*=\s*\S", re.IGNORECASE), "a database connection string with a password"),
)


def pinned(properties: Properties) -> Iterator[str]:
    chart = str(properties.get("chart") or "")
    if _PACKAGED.fullmatch(chart):
        return  # a packaged file cannot change its version
    version = str(properties.get("version") or "")
    if not _EXACT.fullmatch(version):
        yield f"version is {version or 'missing'}: give one exactly, or an up installs what came out since"


def rolled_back(properties: Properties) -> Iterator[str]:
    if properties.get("atomic") is not True:
        yield "atomic is not true: a failed upgrade would leave its values in the live objects"
    if properties.get("skipAwait") is True:
        yield "skipAwait is true: whatever follows would not wait for ready pods"


def without_secrets(properties: Properties) -> Iterator[str]:
    """For TAG's release only: a Teleport's secret values are its owner's business."""
    values = properties.get("values") or {}
    if "teleport-access-graph" not in str(properties.get("chart") or "") and not given(values, _HOST_AUTHORITIES):
        return
    for path, text in _texts(values):
        for pattern, what in _SECRETS:
            if pattern.search(text):
                yield f"values.{path} holds {what}: name a Secret in its place"


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key in value:
            yield from _texts(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence):
        for index in range(len(value)):
            yield from _texts(value[index], f"{path}[{index}]")


RULES = (
    ResourceRule(
        name="release-is-pinned",
        statement="A chart comes in one exact version, or as a file.",
        types=RELEASE,
        violations=pinned,
    ),
    ResourceRule(
        name="release-is-rolled-back",
        statement="Helm waits for ready pods, and goes back when there are none.",
        types=RELEASE,
        violations=rolled_back,
    ),
    ResourceRule(
        name="release-values-hold-no-secrets",
        statement="The access graph's values name Secrets and hold none.",
        types=RELEASE,
        violations=without_secrets,
    ),
)
