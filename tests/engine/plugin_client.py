"""A plugin as the engine sees it: a process called over gRPC. Works for stand-ins and official code alike."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import struct_pb2

from sandbox.home import CHECKOUT
from sandbox.plugins.protocol_messages import provider_pb2, provider_pb2_grpc
from sandbox.plugins.values import Properties, decode, encode

ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Difference:
    """What a diff means to the engine, including its own rules for a diff without details."""

    changes: bool
    replaces: frozenset[str]
    names: frozenset[str]
    """Of the inputs and outputs that differ, at the top."""


@dataclass
class Plugin:
    """A configured plugin. A refusal is a `grpc.RpcError`."""

    _stub: Any

    def check(self, type_: str, news: Properties, olds: Properties | None = None) -> tuple[Properties, set[str]]:
        """The inputs, and the names of the refused properties."""
        answer = self._stub.Check(
            provider_pb2.CheckRequest(
                **_named(type_),
                olds=encode(olds or {}),
                news=encode(news),
                randomSeed=b"1" * 32,
            ),
            timeout=ANSWER_SECONDS,
        )
        return decode(answer.inputs), {failure.property for failure in answer.failures}

    def create(self, type_: str, inputs: Properties, *, preview: bool = False) -> tuple[str, Properties]:
        answer = self._stub.Create(
            provider_pb2.CreateRequest(**_named(type_), properties=encode(inputs), preview=preview),
            timeout=ANSWER_SECONDS,
        )
        return answer.id, decode(answer.properties)

    def diff(self, type_: str, id_: str, old_inputs: Properties, old: Properties, news: Properties) -> Difference:
        answer = self._stub.Diff(
            provider_pb2.DiffRequest(
                **_named(type_),
                id=id_,
                old_inputs=encode(old_inputs),
                olds=encode(old),
                news=encode(news),
            ),
            timeout=ANSWER_SECONDS,
        )
        detailed = {path: entry.kind for path, entry in answer.detailedDiff.items()}
        names = {_top(path) for path in (*detailed, *answer.diffs)}
        return Difference(
            answer.changes == provider_pb2.DiffResponse.DIFF_SOME,
            frozenset(_top(path) for path in answer.replaces),
            frozenset(names),
        )

    def update(
        self, type_: str, id_: str, old_inputs: Properties, old: Properties, news: Properties, *, preview: bool = False
    ) -> Properties:
        answer = self._stub.Update(
            provider_pb2.UpdateRequest(
                **_named(type_),
                id=id_,
                old_inputs=encode(old_inputs),
                olds=encode(old),
                news=encode(news),
                preview=preview,
            ),
            timeout=ANSWER_SECONDS,
        )
        return decode(answer.properties)

    def read(self, type_: str, id_: str, inputs: Properties, state: Properties) -> tuple[str, Properties, Properties]:
        answer = self._stub.Read(
            provider_pb2.ReadRequest(**_named(type_), id=id_, inputs=encode(inputs), properties=encode(state)),
            timeout=ANSWER_SECONDS,
        )
        return answer.id, decode(answer.inputs), decode(answer.properties)


@contextmanager
def plugin(command: Sequence[str | Path]) -> Iterator[Plugin]:
    """The plugin, started and configured; stopped at the end."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with (
        # Started in the project's directory it would look like a plugin that lost its engine, which `recover` would
        # kill.
        tempfile.TemporaryDirectory() as elsewhere,
        subprocess.Popen(
            command, cwd=elsewhere, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as it,
    ):
        try:
            assert it.stdout is not None
            port = int(it.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = provider_pb2_grpc.ResourceProviderStub(channel)
                stub.Configure(
                    provider_pb2.ConfigureRequest(acceptSecrets=True, acceptResources=True, args=struct_pb2.Struct()),
                    timeout=ANSWER_SECONDS,
                )
                yield Plugin(stub)
        finally:
            it.kill()


def _named(type_: str) -> dict[str, str]:
    """The fields that every request has about the resource."""
    return {"urn": f"urn:pulumi:dev::project::{type_}::one", "type": type_, "name": "one"}


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]
