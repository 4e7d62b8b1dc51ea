"""A file is written completely or not at all."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from operations.whole_file import write_whole

pytestmark = pytest.mark.unit


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """As on a disk that has only `size` bytes left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_broken_off_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("by hand")
    with room_for(100), pytest.raises(OSError, match=r"Pulumi\.dev\.yaml") as refused:
        write_whole(file, "x" * 1000)
    assert refused.value.filename == str(file)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"Pulumi.dev.yaml": "by hand"}


def test_a_file_keeps_its_permissions_and_a_link_its_place(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    write_whole(link, "new é")
    assert (link.is_symlink(), file.read_text(encoding="utf-8")) == (True, "new é")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    write_whole(file, "secret", mode=0o600)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    write_whole(Path(f"/dev/fd/{writing}"), "said")
    os.close(writing)
    assert os.read(reading, 10) == b"said"
    os.close(reading)


def test_a_directory_that_is_not_there_or_one_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as refused:
        write_whole(tmp_path / "gone" / "file", "x")
    assert refused.value.filename == str(tmp_path / "gone" / "file")
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "x")
