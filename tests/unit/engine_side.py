"""The recording monitor over gRPC: the engine's side for a program or a component provider that runs in its own
process.

Owns the two services on the loopback interface; `monitor.py` decides their answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, resource_pb2_grpc

from tests.unit.monitor import PROJECT, STACK, RecordingEngine, RecordingMonitor


class Recorder(RecordingMonitor):
    """Builds URNs itself: the server's threads have no running stack to take them from."""

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        qualified = f"{parent.split('::')[2].split('$')[-1]}${type_}" if parent else type_
        return f"urn:pulumi:{STACK}::{PROJECT}::{qualified}::{name}"


class _Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    def __init__(self, recorder: RecordingMonitor) -> None:
        self._recorder = recorder

    def GetDeploymentInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._recorder.GetDeploymentInfo(request)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        # The SDK asks for the provider that it was passed; anything else the recorder refuses.
        return self._recorder.Invoke(request)

    def ReadResource(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._recorder.ReadResource(request)

    def RegisterResource(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._recorder.RegisterResource(request)

    def RegisterResourceOutputs(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._recorder.RegisterResourceOutputs(request)

    def SignalAndWaitForShutdown(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()


class _Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self, engine: RecordingEngine) -> None:
        self._engine = engine

    def GetRootResource(self, request: Any, context: grpc.ServicerContext) -> Any:
        return engine_pb2.GetRootResourceResponse()

    def SetRootResource(self, request: Any, context: grpc.ServicerContext) -> Any:
        return engine_pb2.SetRootResourceResponse()

    def Log(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._engine.Log(request)


@contextmanager
def engine_side(recorder: Recorder) -> Iterator[str]:
    """The address at which both services answer."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(_Monitor(recorder), server)
    engine_pb2_grpc.add_EngineServicer_to_server(_Engine(RecordingEngine(recorder.recording)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
