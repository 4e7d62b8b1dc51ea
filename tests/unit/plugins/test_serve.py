"""The gRPC server: the engine's requests reach the provider, and answers and errors reach the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sandbox.plugins.faults import OPERATIONS, Faults
from sandbox.plugins.protocol import (
    CheckFailure,
    CheckResult,
    DiffResult,
    InitializationFailed,
    PropertyDiff,
    ResourceError,
    ResourceProvider,
)
from sandbox.plugins.protocol_messages import provider_pb2, provider_pb2_grpc, status_pb2
from sandbox.plugins.serve import CHANNEL_OPTIONS, EngineLog, ProviderService, start_server
from sandbox.plugins.values import UNKNOWN, Properties, Secret, decode, encode

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[3]
URN = "urn:pulumi:dev::project::parent:index:Parent$probe:index:Thing::name"


class Probe(ResourceProvider):
    name = "probe"
    version = "1.2.3"
    configured: Properties | None = None

    def configure(self, properties: Properties) -> None:
        self.configured = properties

    def check_config(self, urn: str, olds: Properties, news: Properties) -> CheckResult:
        return super().check_config(urn, olds, {key: value for key, value in news.items() if key != "known"})

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        return CheckResult({"type": type_, **news}, [CheckFailure("a.b", "wrong")])

    def diff(self, *_: Any) -> DiffResult:
        detailed = {"a.b": PropertyDiff("update-replace"), "c": PropertyDiff("delete", input_diff=False)}
        return DiffResult(changes=True, replaces=["a.b"], detailed=detailed, delete_before_replace=True)

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        if inputs.get("fails") == "plainly":
            raise ResourceError("the object cannot be")
        if inputs.get("fails") == "after creation":
            raise InitializationFailed("the-id", {"out": Secret(1)}, inputs, ["not ready", "nor soon"])
        if inputs.get("fails") == "unforeseen":
            raise KeyError("surprise")
        return "the-id", {**inputs, "computed": UNKNOWN if preview else Secret("s"), "timeout": timeout}

    def read(self, *_: Any) -> None:
        return None


class WholeProbe(Probe):
    def update(self, *_: Any) -> Properties:
        return {}

    def delete(self, *_: Any) -> None:
        pass


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def engine(probe: Probe) -> Iterator[Any]:
    server, port = start_server(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(
            ProviderService(probe, EngineLog()), server
        )
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(grace=None).wait()


def test_the_handshake_takes_secrets_and_nothing_more(engine: Any) -> None:
    answer = engine.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=""))
    assert (answer.accept_secrets, answer.accept_outputs, answer.accept_resources) == (True, False, False)


def test_unknown_configuration_is_refused_and_the_engines_own_keys_are_kept(engine: Any) -> None:
    news = encode({"version": "1.2.3", "known": 1, "unheard": 2})
    answer = engine.CheckConfig(provider_pb2.CheckRequest(urn=URN, news=news))
    assert [failure.property for failure in answer.failures] == ["unheard"]
    assert decode(answer.inputs)["version"] == "1.2.3", "the engine takes its version from what comes back"


def test_configuration_reaches_the_provider_without_the_engines_keys(engine: Any, probe: Probe) -> None:
    args = encode({"version": "1.2.3", "token": Secret("t")})
    answer = engine.Configure(provider_pb2.ConfigureRequest(args=args))
    assert answer.supportsPreview
    assert answer.acceptSecrets
    assert probe.configured == {"token": Secret("t")}


def test_the_type_is_taken_from_the_urn_when_it_is_not_given(engine: Any) -> None:
    answer = engine.Check(provider_pb2.CheckRequest(urn=URN, news=encode({"a": UNKNOWN})))
    assert decode(answer.inputs) == {"type": "probe:index:Thing", "a": UNKNOWN}
    assert [(failure.property, failure.reason) for failure in answer.failures] == [("a.b", "wrong")]


def test_a_difference_arrives_whole(engine: Any) -> None:
    answer = engine.Diff(provider_pb2.DiffRequest(urn=URN, type="t", id="i"))
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == ["a.b"]
    assert answer.deleteBeforeReplace
    assert answer.hasDetailedDiff
    kinds = {path: (diff.kind, diff.inputDiff) for path, diff in answer.detailedDiff.items()}
    assert kinds == {
        "a.b": (provider_pb2.PropertyDiff.UPDATE_REPLACE, True),
        "c": (provider_pb2.PropertyDiff.DELETE, False),
    }


def test_a_preview_has_no_id(engine: Any) -> None:
    properties = encode({"a": 1})
    previewed = engine.Create(provider_pb2.CreateRequest(urn=URN, type="t", properties=properties, preview=True))
    created = engine.Create(provider_pb2.CreateRequest(urn=URN, type="t", properties=properties, timeout=60))
    assert (previewed.id, decode(previewed.properties)["computed"]) == ("", UNKNOWN)
    assert (created.id, decode(created.properties)) == ("the-id", {"a": 1, "computed": Secret("s"), "timeout": 60})


def test_what_is_gone_is_read_as_no_id(engine: Any) -> None:
    assert engine.Read(provider_pb2.ReadRequest(urn=URN, type="t", id="i")).id == ""


def test_faults_strike_around_what_is_done_and_never_in_a_preview(tmp_path: Path) -> None:
    (tmp_path / "faults").write_text("".join(f"name {operation} after\n" for operation in OPERATIONS))
    struck: list[str] = []
    service = ProviderService(WholeProbe(), EngineLog(), Faults(tmp_path / "faults", struck.append))
    server, port = start_server(
        lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        plugin = provider_pb2_grpc.ResourceProviderStub(channel)
        plugin.Create(provider_pb2.CreateRequest(urn=URN, preview=True))
        plugin.Update(provider_pb2.UpdateRequest(urn=URN, preview=True))
        assert struck == []
        plugin.Create(provider_pb2.CreateRequest(urn=URN))
        plugin.Read(provider_pb2.ReadRequest(urn=URN))
        plugin.Update(provider_pb2.UpdateRequest(urn=URN))
        plugin.Delete(provider_pb2.DeleteRequest(urn=URN))
    server.stop(grace=None).wait()
    record = (tmp_path / "faults.struck").read_text().splitlines()
    assert record == [f"name {operation} after engine" for operation in OPERATIONS]


def _failed_create(engine: Any, how: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        engine.Create(provider_pb2.CreateRequest(urn=URN, type="t", properties=encode({"fails": how})))
    return caught.value


def test_a_plain_error_is_its_message(engine: Any) -> None:
    assert _failed_create(engine, "plainly").details() == "the object cannot be"


def test_an_unforeseen_error_names_its_type_and_the_plugin(engine: Any) -> None:
    error = _failed_create(engine, "unforeseen")
    assert error.code() == grpc.StatusCode.INTERNAL
    assert error.details() == "the stand-in for probe failed: KeyError: 'surprise'"


def test_a_failed_initialisation_brings_what_the_state_must_remember(engine: Any) -> None:
    error = _failed_create(engine, "after creation")
    metadata = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert (detail.id, list(detail.reasons)) == ("the-id", ["not ready", "nor soon"])
    assert decode(detail.properties) == {"out": Secret(1)}
    assert decode(detail.inputs) == {"fails": "after creation"}


@pytest.mark.parametrize("method", ["Update", "Delete", "Invoke"])
def test_what_a_provider_does_not_do_is_refused_by_name(engine: Any, method: str) -> None:
    request = getattr(provider_pb2, f"{method}Request")
    given = request(tok="probe:index:f") if method == "Invoke" else request(urn=URN, type="probe:index:Thing", id="i")
    with pytest.raises(grpc.RpcError) as caught:
        getattr(engine, method)(given)
    assert "the stand-in for probe has no" in str(caught.value.details())


def test_components_are_unimplemented_to_the_engine(engine: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.Construct(provider_pb2.ConstructRequest())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_messages_beyond_grpcs_usual_limit_pass(engine: Any) -> None:
    large = "x" * (5 * 1024 * 1024)
    answer = engine.Create(provider_pb2.CreateRequest(urn=URN, type="t", properties=encode({"large": large})))
    assert decode(answer.properties)["large"] == large


def _started_plugin(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_the_process_says_its_port_and_ends_at_the_engines_interrupt() -> None:
    with _started_plugin([sys.executable, "-m", "sandbox.plugins.random"]) as plugin:
        assert plugin.stdout is not None
        port = int(plugin.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            info = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(_empty())
        plugin.send_signal(signal.SIGINT)
        assert plugin.wait(timeout=5) == 0
    assert info.version == "4.21.4"


@pytest.mark.slow
def test_the_process_ends_when_the_engine_is_killed() -> None:
    # A shell stands for the engine: the plugin is its child, and the shell is killed without warning.
    script = f"{sys.executable} -m sandbox.plugins.random & echo $!; wait"
    with _started_plugin(["/bin/sh", "-c", script]) as engine:
        assert engine.stdout is not None
        plugin = int(engine.stdout.readline())
        int(engine.stdout.readline())
        engine.kill()
        engine.wait()
        deadline = time.monotonic() + 10
        while _alive(plugin) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(plugin)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _empty() -> Any:
    from google.protobuf import empty_pb2

    return empty_pb2.Empty()
