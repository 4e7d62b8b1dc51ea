"""The critical path: the slowest chain, what does not wait for its slowest part, and the picture of the graph."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from operations.durations import DURATIONS, duration, in_words
from operations.graph import critical_path, picture, resources
from operations.preview.document import Step, read_preview
from operations.stack import StackError
from tests.unit.preview.previews import (
    GRAPH_RELEASE,
    INSTANCE,
    KEY,
    LEAF,
    RECORDINGS,
    SECRET,
    document,
    recorded,
    step,
    urn,
)

pytestmark = pytest.mark.unit

FIRST = resources(recorded("first"))


def made(*steps: dict[str, Any]) -> dict[str, Step]:
    return resources(read_preview(document(*steps)))

    return dict(resources(read_preview(document(*steps))))


def test_the_database_is_the_slow_branch_and_teleport_comes_last() -> None:
    path = critical_path(FIRST)
    assert [one.name for one in path.chain] == [
        "database-key",
        "database-log-upgrade",
        "database-instance",
        "database-access-role-policy",
        "database-access-job",
        "credentials-postgres",
        "access-graph-release",
        "teleport-teleport.example.com-ca",
        "teleport-teleport.example.com-release",
        "teleport-teleport.example.com-proxies",
    ]
    assert path.seconds == 8 + 1 + 462 + 1 + 31 + 1 + 31 + 1 + 31 + 31
    assert path.count == len(FIRST)


def test_only_what_needs_the_database_waits_for_it() -> None:
    waiting = {one.name for one in FIRST.values()} - set(critical_path(FIRST).beside)
    assert waiting == {
        "database-instance",
        "database-access-role-policy",
        "database-access-job",
        "credentials-postgres",
        "access-graph-release",
        "database-logins-job",
        "teleport-teleport.example.com-ca",
        "teleport-teleport.example.com-release",
        "teleport-teleport.example.com-proxies",
    }


def test_a_chain_of_many_quick_ones_is_shorter_than_one_that_is_slow() -> None:
    quick = [
        step("create", SECRET, f"s{number}", dependencies=[urn(SECRET, f"s{number - 1}")] if number else [])
        for number in range(6)
    ]
    path = critical_path(made(*quick, step("create", INSTANCE, "database")))
    assert [one.name for one in path.chain] == ["database"]
    assert (path.seconds, path.one_by_one) == (462, 468)


def test_what_waits_for_both_branches_waits_for_the_slower() -> None:
    both = [urn(KEY, "key"), urn(LEAF, "leaf")]
    path = critical_path(
        made(
            step("create", GRAPH_RELEASE, "graph", dependencies=both),
            step("create", LEAF, "leaf"),
            step("create", KEY, "key"),
        )
    )
    assert [one.name for one in path.chain] == ["key", "graph"]


def test_nothing_waits_where_nothing_is_made() -> None:
    assert critical_path({}).lines() == ["nothing is made, so nothing waits"]


def test_every_duration_says_where_it_is_from() -> None:
    assert all(one.source for one in DURATIONS.values())
    assert duration("tls:index/privateKey:PrivateKey").seconds == 0
    assert duration("kubernetes:core/v1:Secret").source == "assumed: one call of an API"


def test_times_are_in_minutes_and_seconds() -> None:
    assert [in_words(0), in_words(59.6), in_words(462)] == ["0 s", "1 min 0 s", "7 min 42 s"]


def test_the_picture_stands_alone_and_marks_the_chain() -> None:
    path = critical_path(FIRST)
    drawing = picture(FIRST, path, "What waits")
    tree = ElementTree.fromstring(drawing)
    namespace = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f"{namespace}style")) == 1
    nodes = tree.findall(f"{namespace}a")
    assert len(nodes) == len(FIRST)
    marked = [node.attrib["aria-label"] for node in nodes if node.attrib["class"] == "node amber"]
    assert len(marked) == len(path.chain)
    assert all(label.endswith(", on the critical path") for label in marked)


def test_the_command_writes_the_picture_and_says_the_figure(tmp_path: Path) -> None:
    out = tmp_path / "graph.svg"
    done = CliRunner().invoke(app, ["graph", "--preview", str(RECORDINGS / "first.json"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert re.match(r"critical path: 9 min 58 s of 10 min 46 s one after the other \(93%\), 10 of 32", done.output)
    assert out.read_text().startswith("<svg ")


def test_a_file_that_is_no_preview_is_an_error_in_words_and_no_picture(tmp_path: Path) -> None:
    """As written by a shell that redirects output as UTF-16."""
    file, out = tmp_path / "preview.json", tmp_path / "graph.svg"
    file.write_bytes((RECORDINGS / "first.json").read_text().encode("utf-16"))
    done = CliRunner().invoke(app, ["graph", "--preview", str(file), "--out", str(out)])
    assert isinstance(done.exception, StackError)
    assert "the file is not its output" in str(done.exception)
    assert not out.exists()


SECRET_VALUE = "hunter2"
FAILED = document(
    step("create", SECRET, "s", new={"data": {"uri": SECRET_VALUE}}),
    diagnostics=[
        {"severity": "info", "message": "looks"},
        {"severity": "error", "urn": urn(SECRET, "s"), "message": f"refused:\npassword={SECRET_VALUE} is too short"},
    ],
)
SAID = "The preview failed.\ns:\nrefused:\npassword=[scrubbed] is too short"


@pytest.mark.parametrize("of_a_file", [True, False])
def test_a_preview_that_failed_is_told_by_its_errors_and_shows_no_secret(
    of_a_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine prints the whole preview even when it ends with an error code."""
    (tmp_path / "preview.json").write_text(FAILED)
    engine = tmp_path / "pulumi"
    engine.write_text(f"#!/bin/sh\ncat {tmp_path}/preview.json\nexit 255\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    which = ["--preview", str(tmp_path / "preview.json")] if of_a_file else ["--stack", "dev"]
    done = CliRunner().invoke(app, ["graph", *which, "--out", str(tmp_path / "graph.svg")])
    assert isinstance(done.exception, StackError)
    assert str(done.exception) == SAID
    assert not (tmp_path / "graph.svg").exists()


def test_an_engine_that_was_refused_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tmp_path / "pulumi"
    engine.write_text("#!/bin/sh\necho \"error: no stack named 'x' found\" >&2\nexit 255\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = CliRunner().invoke(app, ["graph", "--stack", "x", "--out", str(tmp_path / "graph.svg")])
    assert str(done.exception) == "The preview ended without a result.\nerror: no stack named 'x' found"
