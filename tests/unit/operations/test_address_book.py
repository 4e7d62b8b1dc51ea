"""The address book answers from its files as they are now, and asks DNS for everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operations.address_book import AddressBook, AddressBookError


def write(path: Path, table: object) -> None:
    path.write_text(json.dumps(table), encoding="utf-8")


def test_files_of_a_directory_are_merged_and_read_anew(tmp_path: Path) -> None:
    book = AddressBook.from_environment({"ACCESS_GRAPH_ADDRESS_BOOK": str(tmp_path)})
    write(tmp_path / "services.json", {"graph.ns.svc": {"443": ["127.9.0.1:9090", "127.9.0.2:9090"]}})
    write(tmp_path / "databases.json", {"db.rds": {"5432": ["127.9.200.1:5432"]}})
    assert book.resolve("graph.ns.svc", 443) == [("127.9.0.1", 9090), ("127.9.0.2", 9090)]
    assert book.resolve("DB.rds.", 5432) == [("127.9.200.1", 5432)]
    write(tmp_path / "services.json", {"graph.ns.svc": {"443": []}})
    assert book.resolve("graph.ns.svc", 443) == []
    assert book.resolve("graph.ns.svc", 80) == []


def test_one_file_will_do(tmp_path: Path) -> None:
    write(tmp_path / "names.json", {"a": {"1": ["[::1]:2"]}})
    assert AddressBook(path=tmp_path / "names.json").resolve("a", 1) == [("::1", 2)]


def test_without_a_book_dns_answers() -> None:
    book = AddressBook.from_environment({})
    assert not book
    assert book.find("localhost", 80) is None
    assert ("127.0.0.1", 80) in book.resolve("localhost", 80)
    with pytest.raises(OSError, match=r"not known|No address|failure"):
        book.resolve("name.invalid", 80)


def test_a_broken_or_absent_book_is_named(tmp_path: Path) -> None:
    with pytest.raises(AddressBookError, match="absent does not exist"):
        AddressBook(path=tmp_path / "absent").resolve("a", 1)
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(AddressBookError, match=r"broken\.json cannot be read"):
        AddressBook(path=tmp_path).resolve("a", 1)
    write(tmp_path / "broken.json", ["a"])
    with pytest.raises(AddressBookError, match="no table"):
        AddressBook(path=tmp_path).resolve("a", 1)
