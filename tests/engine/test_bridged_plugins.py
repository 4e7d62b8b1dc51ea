"""The stand-ins for tls and random are as strict as the official plugins' code, and give the engine the same answers.

The tests ask both the same by gRPC, with inputs from Hypothesis. The official code is Terraform's providers of these
names behind Pulumi's bridge (`sandbox/toolchain/bridged_plugins`). A replay of recordings of the official plugins shows
that this code behaves as they do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.home import Cache
from sandbox.plugins.install import plugin_versions
from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, ResourceProvider
from sandbox.plugins.random.schemas import ID, PASSWORD
from sandbox.plugins.tls.schemas import CERT_REQUEST, LOCALLY_SIGNED, PRIVATE_KEY, SELF_SIGNED
from sandbox.plugins.values import UNKNOWN, Properties, unwrap
from sandbox.toolchain import build_plugins
from tests.engine.plugin_client import Plugin, plugin
from tests.unit.plugins.replay import CASES, Seen, replay

pytestmark = pytest.mark.engine

MINUTES = 60_000
BUILT = ("tls", "random")
# Outputs that differ with each new resource. Other tests compare their values and times.
FRESH = frozenset(
    {"id", "result", "bcryptHash", "b64Std", "b64Url", "dec", "hex", "certPem", "certRequestPem"}
    | {"validityStartTime", "validityEndTime", "privateKeyPem", "privateKeyOpenssh", "privateKeyPemPkcs8"}
    | {"publicKeyPem", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256"}
)


@dataclass(frozen=True)
class Pair:
    stand_in: Plugin
    official: Plugin

    def __iter__(self) -> Iterator[Plugin]:
        return iter((self.stand_in, self.official))


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[str, Pair]]:
    asked = plugin_versions(Path(sys.executable))
    programs = build_plugins(Cache.from_environment(), {name: asked[name] for name in BUILT})
    with ExitStack() as running:
        yield {
            name: Pair(
                running.enter_context(plugin([sys.executable, "-m", f"sandbox.plugins.{name}"])),
                running.enter_context(plugin([program])),
            )
            for name, program in programs.items()
        }


@pytest.fixture(scope="module")
def material(pairs: dict[str, Pair]) -> Properties:
    """Two keys, a CA with the first key, and a certificate request with the second."""
    _, official = pairs["tls"]
    keys = [_plain(official.create(PRIVATE_KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P256"})[1]) for _ in range(2)]
    key, other = (made["privateKeyPem"] for made in keys)
    _, authority = official.create(
        SELF_SIGNED,
        {
            "privateKeyPem": key,
            "subject": {"commonName": "authority"},
            "allowedUses": ["cert_signing"],
            "isCaCertificate": True,
            "setSubjectKeyId": True,
            "validityPeriodHours": 10,
        },
    )
    _, request = official.create(CERT_REQUEST, {"privateKeyPem": other, "dnsNames": ["graph.example.com"]})
    return {
        "key": key,
        "other": other,
        "authority": _plain(authority)["certPem"],
        "request": _plain(request)["certRequestPem"],
    }


def _plain(value: Any) -> Any:
    """`value` without secret envelopes, because the engine itself marks what the SDK declares secret, and without the
    bridge's own properties."""
    bare = unwrap(value)
    return {key: item for key, item in bare.items() if not key.startswith("__")} if isinstance(bare, dict) else bare


def _shape(outputs: Properties) -> Properties:
    return {key: "fresh" if key in FRESH and item is not UNKNOWN else item for key, item in _plain(outputs).items()}


def _given(**properties: st.SearchStrategy[Any]) -> st.SearchStrategy[Properties]:
    """Properties of which each may be present or absent."""
    return st.fixed_dictionaries({}, optional=properties)


def _both(
    required: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[tuple[Properties, Properties]]:
    """The inputs of a resource before and after a change, which may change, add or remove some."""
    one = st.fixed_dictionaries(required, optional=optional)
    return st.tuples(one, one)


KEEPERS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "1", "2"]), max_size=2)
SMALL = st.integers(0, 4)
PASSWORDS = _both(
    {"length": st.integers(16, 40)},
    {
        "keepers": KEEPERS,
        "lower": st.booleans(),
        # At least one kind of character must be allowed.
        "upper": st.just(True),
        "numeric": st.booleans(),
        "special": st.booleans(),
        "minLower": SMALL,
        "minUpper": SMALL,
        "minNumeric": SMALL,
        "minSpecial": SMALL,
        "overrideSpecial": st.sampled_from(["!", "_%@"]),
    },
)
IDS = _both({"byteLength": st.integers(1, 16)}, {"keepers": KEEPERS, "prefix": st.sampled_from(["", "a-"])})
PRIVATE_KEYS = _both(
    {"algorithm": st.sampled_from(["RSA", "ECDSA", "ED25519"])},
    {"ecdsaCurve": st.sampled_from(["P224", "P256", "P384", "P521"]), "rsaBits": st.sampled_from([1024, 2048])},
)
NAMES = {
    "subject": _given(
        commonName=st.sampled_from(["", "graph", "a.b"]),
        organization=st.just("Example"),
        organizationalUnit=st.just("Platform"),
        locality=st.just("Bern"),
        province=st.just("BE"),
        postalCode=st.just("3000"),
        streetAddresses=st.lists(st.sampled_from(["One Street", "Two"]), max_size=2),
        serialNumber=st.just("7"),
    ),
    "dnsNames": st.lists(st.sampled_from(["graph.example.com", "*.example.com", "localhost"]), max_size=3),
    "ipAddresses": st.lists(st.sampled_from(["127.0.0.1", "::1", "10.0.0.1"]), max_size=3),
    "uris": st.lists(st.sampled_from(["spiffe://example.com/graph", "https://example.com"]), max_size=2),
}
USES = st.lists(st.sampled_from(["cert_signing", "crl_signing", "server_auth", "client_auth"]), max_size=3)
HOURS = st.sampled_from([0, 1, 2, 24, 8760])
CERTIFICATE = {"earlyRenewalHours": HOURS, "setSubjectKeyId": st.booleans()}
AUTHORITY = {"isCaCertificate": st.booleans(), **CERTIFICATE}


def _bounded(function: Any) -> Any:
    """Limits a test to a few dozen examples: each makes two resources, and hashing a password is slow by design."""
    return settings(max_examples=30, deadline=MINUTES, suppress_health_check=[HealthCheck.function_scoped_fixture])(
        function
    )


@given(inputs=PASSWORDS)
@_bounded
def test_a_password_lives_as_with_the_official_code(pairs: dict[str, Pair], inputs: Any) -> None:
    _same_life(pairs["random"], PASSWORD, *inputs)


@given(inputs=IDS)
@_bounded
def test_an_id_lives_as_with_the_official_code(pairs: dict[str, Pair], inputs: Any) -> None:
    _same_life(pairs["random"], ID, *inputs)


@given(inputs=PRIVATE_KEYS)
@_bounded
def test_a_key_lives_as_with_the_official_code(pairs: dict[str, Pair], inputs: Any) -> None:
    _same_life(pairs["tls"], PRIVATE_KEY, *inputs)


@given(inputs=_both({"privateKeyPem": st.sampled_from(["key", "other"])}, NAMES))
@_bounded
def test_a_request_lives_as_with_the_official_code(
    pairs: dict[str, Pair], material: Properties, inputs: tuple[Properties, Properties]
) -> None:
    before, after = ({**one, "privateKeyPem": material[one["privateKeyPem"]]} for one in inputs)
    _same_life(pairs["tls"], CERT_REQUEST, before, after)


@given(
    inputs=_both(
        {"privateKeyPem": st.sampled_from(["key", "other"]), "validityPeriodHours": HOURS, "allowedUses": USES},
        {**NAMES, **AUTHORITY, "setAuthorityKeyId": st.booleans()},
    )
)
@_bounded
def test_an_authority_lives_as_with_the_official_code(
    pairs: dict[str, Pair], material: Properties, inputs: tuple[Properties, Properties]
) -> None:
    before, after = ({**one, "privateKeyPem": material[one["privateKeyPem"]]} for one in inputs)
    _same_life(pairs["tls"], SELF_SIGNED, before, after)


@given(inputs=_both({"validityPeriodHours": HOURS, "allowedUses": USES}, AUTHORITY))
@_bounded
def test_a_certificate_lives_as_with_the_official_code(
    pairs: dict[str, Pair], material: Properties, inputs: tuple[Properties, Properties]
) -> None:
    signed = {
        "caPrivateKeyPem": material["key"],
        "caCertPem": material["authority"],
        "certRequestPem": material["request"],
    }
    before, after = ({**one, **signed} for one in inputs)
    _same_life(pairs["tls"], LOCALLY_SIGNED, before, after)


class AsReplayed(ResourceProvider):
    """The official code behind the interface of a stand-in, for the replay of the recordings."""

    def __init__(self, asked: Plugin) -> None:
        self.asked = asked

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        inputs, failures = self.asked.check(type_, news, olds)
        return CheckResult(inputs, [CheckFailure(name, "") for name in failures])

    def diff(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: list[str],
    ) -> DiffResult:
        found = self.asked.diff(type_, id_, old_inputs, old_outputs, news)
        return DiffResult(changes=found.changes, diffs=sorted(found.names), replaces=sorted(found.replaces))

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        return self.asked.create(type_, inputs, preview=preview)


@pytest.fixture(scope="module")
def replayed(pairs: dict[str, Pair]) -> dict[str, Seen]:
    return replay({name: AsReplayed(pair.official) for name, pair in pairs.items()})


@pytest.mark.parametrize(("key", "recorded"), CASES)
def test_the_code_does_what_the_official_plugins_were_recorded_to_do(
    key: str, recorded: dict[str, Any], replayed: dict[str, Seen]
) -> None:
    seen = replayed[key]
    assert seen.op == recorded["op"]
    assert seen.difference.replaces == recorded.get("replaceReasons", [])
    assert _plain(seen.live.outputs).keys() == recorded["outputs"].keys()
    for name, expected in recorded["outputs"].items():
        if "value" in expected and name not in FRESH:
            assert _plain(seen.live.outputs)[name] == expected["value"], name
    if "previewOutputs" in recorded:
        unknown = {name for name, value in _plain(seen.preview).items() if value is UNKNOWN}
        expected_unknown = {name for name, value in recorded["previewOutputs"].items() if value.get("unknown")}
        # The engine hides what the SDK declares secret, in a preview too, so the recording does not tell whether it was
        # unknown.
        hidden = {name for name, value in recorded["previewOutputs"].items() if value.get("secret")}
        assert unknown - hidden == expected_unknown - hidden


REFUSED: list[Any] = [
    pytest.param(type_, change, id=f"{type_.rpartition(':')[2]} {change}")
    for type_, changes in {
        PASSWORD: (
            {"length": None},
            {"length": 0},
            {"length": 1.5},
            {"length": "many"},
            {"length": 3, "minUpper": 4},
            {"upper": False, "lower": False, "numeric": False, "special": False},
            {"special": "no"},
            {"keepers": ["a"]},
        ),
        ID: ({"byteLength": None},),
        PRIVATE_KEY: (
            {"algorithm": None},
            {"algorithm": "DSA"},
            {"ecdsaCurve": "p256"},
            {"algorithm": "RSA", "rsaBits": 100},
        ),
        CERT_REQUEST: (
            {"privateKeyPem": None},
            {"privateKeyPem": "no key"},
            {"ipAddresses": ["localhost"]},
            {"uris": [":"]},
            {"uris": ["a b://c"]},
        ),
        SELF_SIGNED: (
            {"validityPeriodHours": None},
            {"validityPeriodHours": "long"},
            {"allowedUses": None},
            {"allowedUses": ["everything"]},
            {"privateKeyPem": "no key"},
            {"isCaCertificate": False, "maxPathLength": 1},
            {"isCaCertificate": True, "setSubjectKeyId": False, "subject": {}},
            {"ipAddresses": ["1.2.3"]},
        ),
        LOCALLY_SIGNED: (
            {"caCertPem": "no certificate"},
            {"certRequestPem": "no request"},
            {"caPrivateKeyPem": "other"},
            {"allowedUses": ["everything"]},
        ),
    }.items()
    for change in changes
]


@pytest.mark.parametrize(("type_", "change"), REFUSED)
def test_what_the_official_code_refuses_the_stand_in_refuses(
    pairs: dict[str, Pair], material: Properties, type_: str, change: Properties
) -> None:
    certificate = {"validityPeriodHours": 10, "allowedUses": ["server_auth"]}
    good: dict[str, Properties] = {
        PASSWORD: {"length": 20},
        ID: {"byteLength": 4},
        PRIVATE_KEY: {"algorithm": "ECDSA"},
        CERT_REQUEST: {"privateKeyPem": material["key"]},
        SELF_SIGNED: {"privateKeyPem": material["key"], "subject": {"commonName": "a"}, **certificate},
        LOCALLY_SIGNED: {
            "caPrivateKeyPem": material["key"],
            "caCertPem": material["authority"],
            "certRequestPem": material["request"],
            **certificate,
        },
    }
    if change.get("caPrivateKeyPem") == "other":
        change = {"caPrivateKeyPem": material["other"]}
    pair = pairs[type_.partition(":")[0]]
    for one in pair:
        assert not _refuses(one, type_, good[type_]), "it is the change that is refused"
    wrong = {key: value for key, value in {**good[type_], **change}.items() if value is not None}
    assert [_refuses(one, type_, wrong) for one in pair] == [True, True]


def test_a_window_that_is_not_known_is_refused_once_there_is_a_certificate(
    pairs: dict[str, Pair], material: Properties
) -> None:
    inputs = {"privateKeyPem": material["key"], "validityPeriodHours": 10, "allowedUses": [], "earlyRenewalHours": 1}
    for one in pairs["tls"]:
        one.create(SELF_SIGNED, {**inputs, "earlyRenewalHours": UNKNOWN}, preview=True)
        id_, made = one.create(SELF_SIGNED, inputs)
        with pytest.raises(grpc.RpcError, match="early_renewal_hours"):
            one.diff(SELF_SIGNED, id_, inputs, made, {**inputs, "earlyRenewalHours": UNKNOWN})


def _refuses(one: Plugin, type_: str, inputs: Properties) -> bool:
    """Whether the plugin refuses the inputs, in its check or in the creation."""
    try:
        _, failures = one.check(type_, inputs)
        if not failures:
            one.create(type_, inputs)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.INTERNAL:
            raise  # an internal error of the plugin is no refusal
        return True
    return bool(failures)


def _same_life(pair: Pair, type_: str, before: Properties, after: Properties) -> None:
    """Makes, reads and changes a resource with both plugins, and checks that they tell the engine the same."""
    answers = [one.check(type_, before) for one in pair]
    assert [(_plain(inputs), bool(failures)) for inputs, failures in answers] == [(_without_null(before), False)] * 2
    _same([one.create(type_, before, preview=True)[1] for one in pair], _plain)
    for name in before:
        if name in ("earlyRenewalHours", "subject"):
            continue  # the stand-in checks it once it is known (below); the official code treats its fields one by one
        hidden = {**before, name: UNKNOWN}
        if name == "validityPeriodHours":
            hidden["earlyRenewalHours"] = 0
        _same([one.create(type_, hidden, preview=True)[1] for one in pair], _without_readiness)

    if any(refusals := [_refuses(one, type_, before) for one in pair]):
        # Some combinations of inputs, such as a CA without a name, are refused only at the creation.
        assert all(refusals)
        return
    made = [one.create(type_, before) for one in pair]
    _same([outputs for _, outputs in made], _shape)
    ids = [id_ for id_, _ in made]
    assert len({id_ == "none" for id_ in ids}) == 1
    for one, (id_, outputs) in zip(pair, made, strict=True):
        assert [_plain(part) for part in one.read(type_, id_, before, outputs)[1:]] == [
            _without_null(before),
            _plain(outputs),
        ]

    for news in (before, after):
        differences = [
            one.diff(type_, id_, before, outputs, news) for one, (id_, outputs) in zip(pair, made, strict=True)
        ]
        ours, theirs = differences
        assert (ours.changes, ours.replaces) == (theirs.changes, theirs.replaces)
        # The official code also names outputs that will change. Among the inputs, both name the same.
        assert ours.names <= theirs.names
        assert not (theirs.names - ours.names) & {*before, *after}
        if theirs.changes and not theirs.replaces:
            for preview in (True, False):
                updated = [
                    one.update(type_, id_, before, outputs, news, preview=preview)
                    for one, (id_, outputs) in zip(pair, made, strict=True)
                ]
                _same(updated, _shape)


def _same(answers: list[Properties], view: Any) -> None:
    ours, theirs = (view(answer) for answer in answers)
    assert ours == theirs


def _without_readiness(outputs: Properties) -> Properties:
    return {key: value for key, value in _plain(outputs).items() if key != "readyForRenewal"}


def _without_null(inputs: Properties) -> Properties:
    return {key: value for key, value in inputs.items() if value is not None}
