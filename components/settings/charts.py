"""Settings of Helm charts: from a repository at an exact version, or a packaged file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from components.settings.formats import ChartName, ChartRepository, ChartVersion, ProjectPath
from components.settings.rules import Section, setting
from components.settings.unions import tag


class RepositoryChart(Section):
    """A chart that is fetched, at every preview, from a repository."""

    repository: ChartRepository = setting(
        why="repository the chart comes from", example="https://charts.releases.teleport.dev"
    )
    name: ChartName = setting(why="name of the chart in the repository", example="teleport-access-graph")
    version: ChartVersion = setting(
        why="exact version; with a range an `up` could change unasked what runs", example="1.30.2"
    )


class PathChart(Section):
    """A packaged chart: nothing is fetched, so a preview needs no network."""

    path: ProjectPath = setting(
        why="file made by `helm package` or `helm pull`", example="charts/teleport-access-graph-1.30.2.tgz"
    )


def helm_source(name: str, repository: str | None) -> tuple[str, str | None]:
    """What Helm takes as the chart, and as the repository to look it up in. A registry (oci://) has no index: there the
    whole URL is the chart, and with the registry as repository Helm finds nothing."""
    if repository is None or not repository.startswith("oci://"):
        return name, repository
    return f"{repository.rstrip('/')}/{name}", None


def _kind(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return None
    return tag("path") if "path" in value and "repository" not in value else tag("repository")


ChartSettings = Annotated[
    Annotated[RepositoryChart, Tag(tag("repository"))] | Annotated[PathChart, Tag(tag("path"))],
    Discriminator(_kind),
]
