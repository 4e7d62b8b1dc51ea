"""Resolves DNS names that this machine's resolver may not know, from JSON files when they are given.

Clusters' Service names resolve only inside the cluster. This module does not write the files.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = "ACCESS_GRAPH_ADDRESS_BOOK"


class AddressBookError(Exception):
    """The table cannot be used; the text names the file."""


@dataclass(frozen=True)
class AddressBook:
    """Name to port to addresses, `{"<dns name>": {"<port>": ["host:port", ...]}}`, merged from a directory's files.

    The files are read at each lookup, because the addresses behind a name change while programs run.
    """

    path: Path | None = None
    entries: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> AddressBook:
        """The book that `ACCESS_GRAPH_ADDRESS_BOOK` (a directory of *.json, or a file) names; without it, DNS."""
        value = (os.environ if environment is None else environment).get(VARIABLE)
        return cls(path=Path(value)) if value else cls()

    def __bool__(self) -> bool:
        return self.path is not None or bool(self.entries)

    def find(self, host: str, port: int) -> list[tuple[str, int]] | None:
        """The addresses that the book has for the name; None when it does not know the name."""
        known = self._table().get(host.rstrip(".").lower())
        if known is None:
            return None
        return [_split(address) for address in known.get(str(port), [])]

    def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        """Addresses to connect to, in order: the book's for a name it knows (empty: nothing is behind it now), else
        DNS's. Raises `OSError` when DNS does not know the name."""
        known = self.find(host, port)
        if known is not None:
            return known
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found))

    def _table(self) -> dict[str, dict[str, list[str]]]:
        table: dict[str, dict[str, list[str]]] = {}
        parts = [self.entries, *(_read(file) for file in self._files())]
        for part in parts:
            for name, ports in part.items():
                table.setdefault(name.rstrip(".").lower(), {}).update(ports)
        return table

    def _files(self) -> list[Path]:
        if self.path is None:
            return []
        if self.path.is_dir():
            return sorted(self.path.glob("*.json"))
        if not self.path.is_file():
            raise AddressBookError(f"{VARIABLE}: {self.path} does not exist; unset it, or start what writes it")
        return [self.path]


def _read(file: Path) -> dict[str, dict[str, list[str]]]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        # Its owner removed it between the listing and the reading.
        return {}
    except (OSError, ValueError) as error:
        raise AddressBookError(f"{VARIABLE}: {file} cannot be read: {error}") from None
    if not isinstance(table, dict) or not all(isinstance(ports, dict) for ports in table.values()):
        raise AddressBookError(f"{VARIABLE}: {file} is no table of names to ports")
    return table


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
