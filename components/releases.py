"""The one kind of Helm release that this program makes: atomic, awaited, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes

from components.settings.charts import helm_source

# As Helm's own command. By default the plugin keeps all: a Secret for each upgrade, with the values of that time.
REVISIONS_KEPT: Final = 10


def atomic_release(
    name: str,
    *,
    release: str,
    namespace: pulumi.Input[str],
    chart: str,
    repository: str | None,
    version: str | None,
    values: pulumi.Input[Mapping[str, Any]],
    timeout_seconds: int,
    opts: pulumi.ResourceOptions,
) -> kubernetes.helm.v3.Release:
    """`chart` is a name in `repository` (a URL), or without a repository the path of a packaged chart."""
    chart, repository = helm_source(chart, repository)
    return kubernetes.helm.v3.Release(
        name,
        name=release,
        namespace=namespace,
        chart=chart,
        version=version,
        repository_opts=None if repository is None else {"repo": repository},
        values=values,
        # Without a rollback a failed upgrade leaves its values in the live objects, and every later upgrade fails.
        atomic=True,
        timeout=timeout_seconds,
        skip_await=False,
        max_history=REVISIONS_KEPT,
        # Explicit, since the plugin's default differs from machine to machine and would show as a change.
        keyring="",
        opts=opts,
    )
