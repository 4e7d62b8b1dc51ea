"""The component provider: its schema from the SDK's own analyzer, and `Construct` as the engine calls it over gRPC."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.provider.server import ProviderServicer
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from components.arguments import camel_case, is_required
from components.package import COMPONENTS, NAME, VERSION
from provider.host import Host
from tests.unit.components.test_construction import ARGUMENTS, args_class
from tests.unit.engine_side import Recorder, engine_side
from tests.unit.monitor import (
    COMPUTED_OUTPUTS,
    PROJECT,
    SECRET_SIGNATURE,
    SECRET_VALUE,
    STACK,
    Recording,
    RecordingMonitor,
    Secret,
    decoded,
)

pytestmark = pytest.mark.unit

BY_NAME = {component.__name__: component for component in COMPONENTS}
# The provider that a program passes, in the engine's form: its URN, two colons, its id.
KUBERNETES = f"urn:pulumi:{STACK}::{PROJECT}::pulumi:providers:kubernetes::cluster::0a1b2c3d"


def schema() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(str(Host().schema))
    return parsed


@pytest.mark.slow
def test_the_schema_has_every_component_by_its_published_token() -> None:
    published = schema()
    assert (published["name"], published["version"]) == ("teleport-access-graph", VERSION)
    assert sorted(published["resources"]) == sorted(f"teleport-access-graph:index:{name}" for name in BY_NAME)
    assert all(resource["isComponent"] for resource in published["resources"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_inputs_and_outputs_are_those_of_the_class(name: str) -> None:
    published = schema()["resources"][f"teleport-access-graph:index:{name}"]
    fields = dataclasses.fields(args_class(BY_NAME[name]))  # type: ignore[arg-type]
    assert set(published["inputProperties"]) == {camel_case(field.name) for field in fields}
    assert set(published["requiredInputs"]) == {camel_case(field.name) for field in fields if is_required(field)}
    assert set(published["properties"]) == {camel_case(attribute) for attribute in BY_NAME[name].__annotations__}


@pytest.mark.slow
def test_descriptions_are_plain_text_in_the_names_of_the_schema_with_the_defaults() -> None:
    """These descriptions are all that a program in another language sees of a component's inputs and outputs."""
    resources = schema()["resources"]
    descriptions = {
        f"{token.rpartition(':')[2]}.{name}": said["description"]
        for token, resource in resources.items()
        for kind in ("inputProperties", "properties")
        for name, said in resource[kind].items()
    }
    texts = [*descriptions.values(), *(resource["description"] for resource in resources.values())]
    # Markdown would show text as code if it were indented after an empty line.
    assert [text for text in texts if "\n " in text] == []
    names = {field.name for one in BY_NAME.values() for field in dataclasses.fields(args_class(one))}  # type: ignore[arg-type]
    spelt = {name for name in names if "_" in name for text in texts if f"`{name}`" in text}
    assert spelt == set()
    certificates = {key: descriptions[f"Certificates.{key}"] for key in ("caEarlyRenewalHours", "protect", "dnsNames")}
    assert certificates == {
        "caEarlyRenewalHours": "A year before the end, the next `up` re-signs the authority with the same key. Below "
        "`caValidityHours`. Plain,\nlike the server certificate's below: the tls plugin looks at it while previewing, "
        "and refuses what is not known. Default: `8760`.",
        "protect": "Whether Pulumi refuses to delete the key of an authority in use: whoever trusts it would have to "
        "be told of\nanother. Default: `true`.",
        "dnsNames": "Subject alternative names, the Service's computed name first. Teleport verifies the host part of "
        "its endpoint\nagainst them. At least one, where a server certificate is made.",
    }
    assert descriptions["AccessGraph.clusterDomain"] == "Default: `cluster.local`."
    assert descriptions["Database.onDestroy"].endswith("`delete` nothing. Default: `keep`.")
    assert descriptions["DatabaseAccess.extensions"].endswith('Default: `["pg_trgm", "vector"]`.')


def test_types_are_what_another_language_is_told() -> None:
    resources = schema()["resources"]
    certificates = resources["teleport-access-graph:index:Certificates"]
    kinds = {key: (value["type"], value.get("plain", False)) for key, value in certificates["inputProperties"].items()}
    assert kinds == {
        "dnsNames": ("array", False),
        "algorithm": ("string", True),
        "previousAlgorithm": ("string", True),
        "caValidityHours": ("integer", False),
        "caEarlyRenewalHours": ("integer", True),
        "certificateValidityHours": ("integer", False),
        "certificateEarlyRenewalHours": ("integer", True),
        "generation": ("integer", True),
        "phase": ("string", True),
        "serves": ("boolean", True),
        "furtherAuthorities": ("string", False),
        "protect": ("boolean", True),
        "permitted": ("boolean", False),
    }
    assert {key: value["type"] for key, value in certificates["properties"].items()} == {
        **dict.fromkeys(
            ["trustBundle", "caPem", "certificatePem", "privateKeyPem", "caNotAfter", "certificateNotAfter"], "string"
        ),
        "ready": "boolean",
    }
    assert certificates["required"] == ["caNotAfter", "caPem", "trustBundle"]
    graph = resources["teleport-access-graph:index:AccessGraph"]
    selector = graph["inputProperties"]["nodeSelector"]
    assert (selector["type"], selector["plain"]) == ("object", True)
    assert (selector["additionalProperties"]["type"], selector["additionalProperties"]["plain"]) == ("string", True)
    assert graph["inputProperties"]["hostAuthorities"]["items"]["type"] == "string"
    assert "$ref" in graph["properties"]["release"]


def test_an_sdk_for_csharp_gets_the_packages_that_the_schema_refers_to() -> None:
    """By name and version as its project file names them; the other languages' generators take them from the
    references themselves."""
    published = schema()
    (kubernetes,) = published["dependencies"]
    assert published["language"]["csharp"]["packageReferences"] == {"Pulumi.Kubernetes": kubernetes["version"]}


def recorder(recording: Recording) -> Recorder:
    """A recorder that knows the provider which the program passes."""
    found = Recorder(recording, False, COMPUTED_OUTPUTS, {})
    urn, _, identifier = KUBERNETES.rpartition("::")
    found.resources[urn] = RecordingMonitor.ResourceRegistration(urn, identifier, {})
    return found


def constructed(name: str, inputs: Mapping[str, Any]) -> tuple[Recording, dict[str, Any]]:
    """The requests that the engine receives, and the state that it gets back, when it constructs `name` with
    `inputs`."""
    recording = Recording()

    async def call(address: str) -> Any:
        server = grpc.aio.server()
        servicer = ProviderServicer(Host(), [], engine_address=address)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        properties = struct_pb2.Struct()
        properties.update(inputs)
        request = provider_pb2.ConstructRequest(
            project=PROJECT,
            stack=STACK,
            organization="organization",
            parallel=8,
            monitorEndpoint=address,
            type=f"{NAME}:index:{name}",
            name="it",
            inputs=properties,
            providers={"kubernetes": KUBERNETES},
        )
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await provider_pb2_grpc.ResourceProviderStub(channel).Construct(request, timeout=60)
        finally:
            await server.stop(grace=None)

    with engine_side(recorder(recording)) as address:
        response = asyncio.run(call(address))
    assert response.urn.endswith(f"::{NAME}:index:{name}::it")
    return recording, decoded(json_format.MessageToDict(response.state))


def hidden(value: Any) -> dict[str, Any]:
    return {SECRET_SIGNATURE: SECRET_VALUE, "value": value}


@pytest.mark.slow
def test_a_plain_mapping_constructs_the_certificates_and_their_key_comes_back_secret() -> None:
    recording, state = constructed("Certificates", {"dnsNames": ["graph.example.com"], "algorithm": "RSA"})
    assert sorted(item.name for item in recording.custom()) == [
        "it-ca-1",
        "it-ca-1-key",
        "it-server",
        "it-server-key",
        "it-server-request",
    ]
    assert recording["it-server-request"].plain("dnsNames") == ["graph.example.com"]
    assert recording["it-ca-1-key"].plain("rsaBits") == 4096
    assert isinstance(state["privateKeyPem"], Secret)
    assert state["caNotAfter"].startswith("2036-11-19T00:00:00.")


@pytest.mark.slow
def test_a_secret_input_is_secret_in_what_is_made_of_it() -> None:
    recording, _ = constructed("Certificates", {"dnsNames": hidden(["graph.example.com"])})
    assert recording["it-server-request"].inputs["dnsNames"] == Secret(["graph.example.com"])


@pytest.mark.slow
def test_a_whole_number_is_written_as_one() -> None:
    """On the wire the number is a float; 2.0 would appear in names, in Go durations and in shell arithmetic."""
    recording, _ = constructed("Certificates", {"dnsNames": ["graph.example.com"], "generation": 2})
    assert recording["it-ca-2"].plain("subject") == {"commonName": "Teleport Access Graph CA 2"}
    issued = {camel_case(key): value for key, value in ARGUMENTS["IssuedCertificate"].items()}
    recording, _ = constructed("IssuedCertificate", {**issued, "timeoutSeconds": 60})
    certificate = recording["it-certificate"]
    assert certificate.plain("metadata")["annotations"]["pulumi.com/timeoutSeconds"] == "60"
    assert certificate.plain("spec")["duration"] == "1000h0m0s"
    rollout = {camel_case(key): value for key, value in ARGUMENTS["OwnersRollout"].items()}
    recording, _ = constructed("OwnersRollout", {**rollout, "timeoutSeconds": 1200})
    (container,) = recording["it-job"].plain("spec")["template"]["spec"]["containers"]
    assert {"name": "SECONDS_TO_WAIT", "value": "1200"} in container["env"]


@pytest.mark.slow
def test_a_number_of_another_resource_is_taken_as_it_comes() -> None:
    """The SDK itself converts numbers with `int`, which fails for an Output."""
    recording, _ = constructed("Certificates", {"dnsNames": ["graph.example.com"], "caValidityHours": hidden(1000)})
    assert recording["it-ca-1"].inputs["validityPeriodHours"] == Secret(1000)


@pytest.mark.slow
@pytest.mark.parametrize("master", ["masterPassword", "masterSecretArn"])
def test_what_one_component_says_of_its_job_the_next_takes(master: str) -> None:
    """On its way through the engine a map loses its nulls, and its numbers become floats."""
    access = {camel_case(key): value for key, value in ARGUMENTS["DatabaseAccess"].items()}
    if master == "masterPassword":
        access = {**access, "masterSecretArn": None, "kmsKeyArn": None, "masterPassword": hidden("password")}
    first, state = constructed("DatabaseAccess", access)
    retirement = {camel_case(key): value for key, value in ARGUMENTS["LoginRetirement"].items()}
    second, _ = constructed("LoginRetirement", {**retirement, "job": state["job"]})
    made, retired = (one["it-job"].plain("spec") for one in (first, second))
    assert retired["activeDeadlineSeconds"] == made["activeDeadlineSeconds"] + 5
    (before,), (after,) = (one["template"]["spec"]["containers"] for one in (made, retired))
    assert {"name": "PGPORT", "value": "5432"} in after["env"]
    assert [one for one in after["env"] if one["name"] == "PGPASSWORD"] == [
        one for one in before["env"] if one["name"] == "PGPASSWORD"
    ]


@pytest.mark.slow
def test_what_is_made_has_the_provider_that_the_program_passed() -> None:
    recording, _ = constructed("AccessGraphNamespace", {"namespace": "graph"})
    assert {item.provider for item in recording.custom()} == {KUBERNETES}


@pytest.mark.slow
def test_maps_and_lists_arrive_as_they_were_sent() -> None:
    given = {camel_case(key): value for key, value in ARGUMENTS["AccessGraph"].items()}
    recording, state = constructed("AccessGraph", given)
    values = recording["it-release"].plain("values")
    assert values["nodeSelector"] == {"disk": "ssd"}
    assert values["tolerations"] == [{"key": "graph", "operator": "Exists"}]
    assert values["imagePullSecrets"] == [{"name": "registry"}]
    assert state["endpoint"] == "graph-teleport-access-graph.graph.svc.cluster.local:443"


@pytest.mark.slow
def test_what_is_missing_is_named_to_the_engine() -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        constructed("Certificates", {"algorithm": "RSA"})
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    told = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert b"Missing required input 'dnsNames' on 'Certificates'" in bytes(told)


def refusal(name: str, inputs: Mapping[str, Any]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        constructed(name, inputs)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return refused.value.details() or ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        (
            "Certificates",
            {"dnsNames": []},
            "dnsNames: is empty; pass the names by which Teleport dials the access graph",
        ),
        (
            "Certificates",
            {"dnsNames": ["graph.example.com"], "caValidityHours": 100, "caEarlyRenewalHours": 200},
            "caEarlyRenewalHours: 200 is not below the 100 of caValidityHours, and every `up` would renew; set less",
        ),
        (
            "LockoutWatch",
            {"namespace": ["teleport"], "release": "teleport", "image": "x", "pattern": "x", "everyMinutes": 2.5},
            "LockoutWatchArgs: everyMinutes: is of type float; pass a whole number\n"
            "LockoutWatchArgs: namespace: is of type list; pass a text",
        ),
    ],
)
def test_what_a_component_refuses_is_told_in_the_names_of_the_schema_and_without_a_traceback(
    name: str, inputs: dict[str, Any], said: str
) -> None:
    assert sorted(refusal(name, inputs).splitlines()) == said.splitlines()


def camel(name: str, **more: Any) -> dict[str, Any]:
    return {**{camel_case(key): value for key, value in ARGUMENTS[name].items()}, **more}


SHORT_KEY = "digestKey: has 5 characters; pass at least 32 random ones, or secrets are guessed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        # The Output may be one of the component's own, or belong to a resource that got the value from another
        # resource's input.
        ("Credentials", camel("Credentials", digestKey=hidden("short")), SHORT_KEY),
        ("DatabaseAccess", camel("DatabaseAccess", digestKey=hidden("short")), SHORT_KEY),
        (
            "AccessGraph",
            camel("AccessGraph", hostAuthorities=hidden([])),
            "hostAuthorities: is empty; TAG would accept nobody, and the chart does not refuse it: "
            "pass the host CA of at least one Teleport cluster",
        ),
    ],
)
def test_what_a_component_refuses_once_it_is_known_is_told_the_same_way(
    name: str, inputs: dict[str, Any], said: str
) -> None:
    assert refusal(name, inputs) == said


@pytest.mark.slow
def test_a_secret_that_is_refused_is_not_shown() -> None:
    """Next to the path of a faulty input, the engine prints the input's value unmasked; so the error names no path."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        constructed("ReaderRole", {"namespace": hidden("canary")})
    told = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert b"pass a text that is plain" in bytes(told)
    status = status_pb2.Status.FromString(bytes(told))
    assert not status.details[0].value, "an InputPropertiesError that names none"


@pytest.mark.slow
def test_a_fault_of_a_component_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.certificates._check_lives", lambda args: None + 1)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        constructed("Certificates", {"dnsNames": ["graph.example.com"]})
    assert "test_provider.py" in (failed.value.details() or "")
    monkeypatch.undo()
    # The same for a fault in the component's own code, which is not a refusal of the component.
    monkeypatch.setattr("components.certificates.LONGEST_CERTIFICATE_HOURS", None)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        constructed("Certificates", {"dnsNames": ["graph.example.com"]})
    assert failed.value.code() is grpc.StatusCode.UNKNOWN
    assert "certificates.py" in (failed.value.details() or "")


@pytest.mark.slow
def test_a_fault_in_what_is_known_later_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.digests.keyed_digest", lambda key, values: None + 1)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        constructed("Credentials", camel("Credentials"))
    assert failed.value.code() is grpc.StatusCode.UNKNOWN
    assert "unsupported operand" in (failed.value.details() or "")
