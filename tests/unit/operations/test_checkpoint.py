"""A truncated state record is found wherever a file backend keeps it, and is replaced by the previous record."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from operations.checkpoint import backend_directory, cut_off

pytestmark = pytest.mark.unit

WHOLE, OTHER = b'{"version": 3}', b'{"version": 3, "checkpoint": {}}'


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    found = tmp_path / "stacks" / "project"
    found.mkdir(parents=True)
    return found


def mended(directory: Path) -> list[str]:
    found = list(cut_off(directory, "project", "prod"))
    for one in found:
        one.mend()
    return [one.file.name for one in found]


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("file:///srv/state", Path("/srv/state/.pulumi")),
        ("file:///srv/of%20ours", Path("/srv/of ours/.pulumi")),
        ("file://~", Path.home() / ".pulumi"),
        ("file://~/state", Path.home() / "state" / ".pulumi"),
        ("s3://bucket/state?region=us-east-1", None),
        ("https://api.pulumi.com/someone", None),
        ("", None),
    ],
)
def test_a_file_backend_keeps_its_files_in_the_directory_of_its_url(url: str, directory: Path | None) -> None:
    assert backend_directory(url) == directory


@pytest.mark.parametrize("length", [0, 1, len(OTHER) - 1])
@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_a_record_that_is_cut_off_gives_way_to_the_one_before_it(
    tmp_path: Path, stacks: Path, ending: str, length: int
) -> None:
    packed = gzip.compress if ending.endswith(".gz") else bytes
    record = stacks / f"prod{ending}"
    record.write_bytes(packed(OTHER)[:length])
    (stacks / f"prod{ending}.bak").write_bytes(packed(WHOLE))
    assert mended(tmp_path) == [record.name]
    assert record.read_bytes() == packed(WHOLE)
    assert (stacks / f"prod{ending}.cut-off").read_bytes() == packed(OTHER)[:length], "kept beside it"
    assert mended(tmp_path) == []


def test_a_record_that_is_not_there_comes_back_from_the_one_before_it(tmp_path: Path, stacks: Path) -> None:
    (stacks / "prod.json.bak").write_bytes(WHOLE)
    assert mended(tmp_path) == ["prod.json"]
    assert (stacks / "prod.json").read_bytes() == WHOLE
    assert not (stacks / "prod.json.cut-off").exists()


@pytest.mark.parametrize(("now", "before"), [(".json.gz", ".json"), (".json", ".json.gz"), (".json.zst", ".json")])
def test_a_record_that_is_packed_otherwise_than_the_one_before_it_is_no_missing_one(
    tmp_path: Path, stacks: Path, now: str, before: str
) -> None:
    """Compression was switched on or off: the older record is the backup of the file with the other ending, and nothing
    must be restored from it."""
    record, backup = stacks / f"prod{now}", stacks / f"prod{before}.bak"
    record.write_bytes(gzip.compress(OTHER) if now.endswith(".gz") else OTHER)
    backup.write_bytes(gzip.compress(WHOLE) if before.endswith(".gz") else WHOLE)
    assert mended(tmp_path) == []
    assert sorted(file.name for file in stacks.iterdir()) == sorted([record.name, backup.name])
    (stacks / f"prod{before}").write_bytes(b"")
    assert mended(tmp_path) == [], "an empty one beside it neither"


def test_of_two_records_before_it_the_newer_one_comes_back(tmp_path: Path, stacks: Path) -> None:
    (stacks / "prod.json.gz").write_bytes(gzip.compress(OTHER)[:5])
    for age, (name, data) in enumerate((("prod.json.gz.bak", gzip.compress(OTHER)), ("prod.json.bak", WHOLE))):
        (stacks / name).write_bytes(data)
        os.utime(stacks / name, (1000 - age, 1000 - age))
    assert mended(tmp_path) == ["prod.json.gz"]
    assert (stacks / "prod.json.gz").read_bytes() == gzip.compress(OTHER)
    assert not (stacks / "prod.json").exists()


def test_the_first_packed_record_that_is_cut_off_gives_way_to_the_last_plain_one(tmp_path: Path, stacks: Path) -> None:
    """The truncated record is moved away: while both files exist, the engine may read the damaged one."""
    (stacks / "prod.json.gz").write_bytes(gzip.compress(OTHER)[:5])
    (stacks / "prod.json.bak").write_bytes(WHOLE)
    assert mended(tmp_path) == ["prod.json"]
    assert sorted(file.name for file in stacks.iterdir()) == ["prod.json", "prod.json.bak", "prod.json.gz.cut-off"]


def test_what_is_whole_or_another_stacks_or_has_no_record_before_it_is_left_alone(tmp_path: Path, stacks: Path) -> None:
    (stacks / "prod.json").write_bytes(OTHER)
    (stacks / "prod.json.bak").write_bytes(WHOLE)
    (stacks / "production.json").write_bytes(b"{")
    (stacks / "production.json.bak").write_bytes(WHOLE)
    assert mended(tmp_path) == []
    (stacks / "prod.json").write_bytes(b"{")
    (stacks / "prod.json.bak").write_bytes(b"{")
    assert mended(tmp_path) == []
    assert (stacks / "prod.json").read_bytes() == b"{"


def test_attributes_that_are_cut_off_are_removed(tmp_path: Path, stacks: Path) -> None:
    lock = tmp_path / "locks" / "organization" / "project" / "prod" / "a.json.attrs"
    lock.parent.mkdir(parents=True)
    for file in (tmp_path / "meta.yaml.attrs", lock, stacks / "prod.json.attrs", stacks / "prod.json.bak.attrs"):
        file.touch()
    for file in (stacks / "other.json.attrs", lock.parent.parent / "other.json.attrs"):
        file.touch()
    (stacks / "whole.json.attrs").write_text("{}")
    assert mended(tmp_path) == ["a.json.attrs", "meta.yaml.attrs", "prod.json.attrs", "prod.json.bak.attrs"]
    assert sorted(file.name for file in tmp_path.rglob("*.attrs")) == [
        "other.json.attrs",
        "other.json.attrs",
        "whole.json.attrs",
    ]
