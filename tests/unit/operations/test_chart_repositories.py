"""A chart that is not where the configuration says is reported before an `up`, with the key and what the repository
has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from operations import chart_repositories
from operations.chart_repositories import IndexUnread, NoRepository, check_charts, versions_in
from operations.findings import Finding, Outcome
from tests.unit.operations.conftest import INDEX
from tests.unit.operations.world import CLUSTER, settings

REPOSITORY = "https://charts.example.com"
fetch_index = chart_repositories.fetch_index  # the real function, taken before `chart_indexes` replaces it


def teleport_chart(**changes: Any) -> dict[str, Any]:
    return {"repository": REPOSITORY, "name": "teleport-cluster", "version": "18.10.3", **changes}


def check(root: Path, chart: dict[str, Any], **changes: Any) -> list[Finding]:
    entry = {
        "mode": "release",
        "chart": chart,
        "valuesFiles": ["teleport.yaml"],
        "hostAuthorities": changes.pop("hostAuthorities", None),
    }
    return check_charts(settings(root, teleport={CLUSTER: entry}, accessGraph={"enabled": False}, **changes))


@pytest.mark.parametrize("version", ["18.10.3", "18.10.2", "17.7.0", "18.11.0-rc.1"])
def test_a_version_that_is_there_passes_in_whatever_form_the_index_has_it(version: str, tmp_path: Path) -> None:
    (found,) = check(tmp_path, teleport_chart(version=version))
    assert (found.check, found.outcome) == (f"charts.{CLUSTER}", Outcome.PASS)


def test_a_version_that_is_not_there_is_told_with_its_key_and_the_newest(tmp_path: Path) -> None:
    (found,) = check(tmp_path, teleport_chart(version="18.99.0"))
    assert found.outcome is Outcome.FAIL
    assert found.reason == (
        f"teleport.{CLUSTER}.chart.version: there is no such version; the newest there are 18.10.3, v18.10.2, 18.9.1"
    )


def test_a_chart_that_is_not_there_is_told_with_its_key(
    tmp_path: Path, chart_indexes: dict[str, bytes | Exception]
) -> None:
    chart_indexes[REPOSITORY] = INDEX.replace(b"teleport-cluster:", b"teleport-kube-agent:")
    (found,) = check(tmp_path, teleport_chart())
    assert found.outcome is Outcome.FAIL
    assert found.reason.startswith(f"teleport.{CLUSTER}.chart.name: there is no such chart; there is teleport-access")


def test_a_url_without_an_index_is_no_repository(tmp_path: Path, chart_indexes: dict[str, bytes | Exception]) -> None:
    for index in (NoRepository("there is no https://charts.example.com/index.yaml"), b"<html>\n", b"a: [", b"- 1"):
        chart_indexes[REPOSITORY] = index
        (found,) = check(tmp_path, teleport_chart())
        assert found.outcome is Outcome.FAIL
        assert found.reason.startswith(f"teleport.{CLUSTER}.chart.repository: ")


def test_a_repository_that_cannot_be_asked_from_here_proves_nothing(
    tmp_path: Path, chart_indexes: dict[str, bytes | Exception]
) -> None:
    chart_indexes[REPOSITORY] = IndexUnread("it cannot be reached")
    (found,) = check(tmp_path, teleport_chart())
    assert found.outcome is Outcome.NOT_PROVEN
    (registry,) = check(tmp_path, teleport_chart(repository="oci://registry.example.com/charts"))
    assert registry.outcome is Outcome.NOT_PROVEN
    assert registry.reason.endswith(
        "helm show chart oci://registry.example.com/charts/teleport-cluster --version 18.10.3"
    )


def test_a_repository_is_asked_once_and_only_for_what_an_up_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(chart_repositories, "fetch_index", lambda repository: asked.append(repository) or INDEX)
    both = check_charts(settings(tmp_path))
    assert [one.check for one in both] == ["charts.access-graph", f"charts.{CLUSTER}"]
    assert {one.outcome for one in both} == {Outcome.PASS}
    assert asked == [REPOSITORY]
    off = check_charts(settings(tmp_path, accessGraph={"enabled": False}, teleport={CLUSTER: {"mode": "manual"}}))
    assert off == []


def test_an_index_without_charts_is_one() -> None:
    assert versions_in(b"apiVersion: v1\nentries: {}\n") == versions_in(b"entries:\n") == {}


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status if self.path == "/charts/index.yaml" else 500)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/charts"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_index_is_read_where_helm_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, INDEX) as repository:
        assert fetch_index(repository) == fetch_index(f"{repository}/") == INDEX
        monkeypatch.setattr(chart_repositories, "LARGEST_INDEX", 10)
        with pytest.raises(IndexUnread, match="too long"):
            fetch_index(repository)
    with answering(404, b"") as repository, pytest.raises(NoRepository):
        fetch_index(repository)
    with answering(401, b"") as repository, pytest.raises(IndexUnread, match="status 401"):
        fetch_index(repository)
    with pytest.raises(IndexUnread, match="cannot be reached"):
        fetch_index(repository)
