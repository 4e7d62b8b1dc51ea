"""What a resource type's own code gives to the provider, and what all of them share: names and tags."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.plugins.aws.session import Session
from sandbox.plugins.values import Properties


class Gone(Exception):
    """The object does not exist (any more)."""


class Handler:
    """Create, read, update and delete of one type. Values are plain; `Gone` is raised where the object is missing."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def create(self, inputs: Properties, timeout: float) -> str:
        """Make the object and return its id."""
        raise NotImplementedError

    def read(self, id_: str) -> Properties:
        """Everything that the API tells of the object, under the names of the table."""
        raise NotImplementedError

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        """Change what differs; `old` are the outputs, `new` the inputs."""
        raise NotImplementedError

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        raise NotImplementedError

    def tags(self, inputs: Mapping[str, Any]) -> dict[str, str]:
        return {**self.session.default_tags, **(inputs.get("tags") or {})}


def own_name(inputs: Mapping[str, Any], name: str = "name") -> str:
    """The name given, or the prefix with the 26 digits that the Terraform provider appends."""
    if inputs.get(name):
        return str(inputs[name])
    # 18 digits of time and 8 of chance: unique, and in the order of creation.
    moment = f"{time.strftime('%Y%m%d%H%M%S')}{time.time_ns() % 10000:04d}"
    return f"{inputs.get('namePrefix', '')}{moment}{secrets.token_hex(4)}"


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def as_map(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def removed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [key for key in old if key not in new]
