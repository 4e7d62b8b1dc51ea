"""A canary is in every secret that goes in and in every one that is generated. None appears in clear, nor as a hash
from which it could be guessed: not in inputs, outputs, names, annotations, labels, messages or errors."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pulumi
import pytest

from components.digests import content_checksum
from tests.samples import TELEPORT_CLUSTER, existing_configuration
from tests.unit.monitor import Recording, Secret, leaves, unsealed
from tests.unit.program.stack import COMPUTED, configuration, run_program

pytestmark = pytest.mark.unit

PASSWORD = "random:index/randomPassword:RandomPassword"
KEY = "tls:index/privateKey:PrivateKey"


class Canaries:
    """The canaries of one run of the program: in the secrets that go in, and in those that plugins generate."""

    def __init__(self) -> None:
        # Short, as a person's password may be: whoever has its hash can find it by trial.
        self.word = f"canary{secrets.token_hex(4)}"
        self.uri = f"postgres://graph:{self.word}@db.example.com:5432/graph?sslmode=verify-full"
        self.values = {TELEPORT_CLUSTER: {"auth": {"extraEnv": [{"name": "TOKEN", "value": f"token-{self.word}"}]}}}
        # `{name}` becomes the resource's name.
        self.password = f"{self.word}-{{name}}-0123456789abcdef0123456789"
        self.key = f"-----BEGIN PRIVATE KEY-----\n{self.word}-{{name}}\n-----END PRIVATE KEY-----\n"

    def computed(self) -> dict[str, dict[str, Any]]:
        keys = {f"!{form}": self.key for form in ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh")}
        return {**COMPUTED, PASSWORD: {"!result": self.password}, KEY: {**COMPUTED[KEY], **keys}}

    def whole(self, stack: Recording) -> set[str]:
        """Every secret text of a run in full: a hash of one of these must not appear."""
        found = {self.word, self.uri, self.uri.partition("@")[0], json.dumps(self.values), f"token-{self.word}"}
        for item in stack.registrations:
            found |= {text for _, text, secret in leaves(item.inputs) if secret and isinstance(text, str)}
        names = [item.name for item in stack.registrations]
        return found | {form.replace("{name}", name) for form in (self.password, self.key) for name in names}


def hidden_in(text: str, canary: str) -> bool:
    """Whether `text` has the canary in clear or in an encoding that anybody can reverse."""
    forms = {canary, quote(canary, safe=""), canary.encode().hex(), canary[::-1], json.dumps(canary)[1:-1]}
    # Base64 of a longer text that contains the canary: the inner characters of its three possible alignments.
    forms |= {base64.b64encode(b"x" * lead + canary.encode())[4 if lead else 0 : -4].decode() for lead in range(3)}
    return any(form in text for form in forms)


def guessable(secret: str) -> set[str]:
    """Hashes that anybody can compute from a guess, shortened as in the names of Jobs."""
    plain = {hashlib.new(name, secret.encode()).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")}
    return {digest[:10] for digest in plain | {content_checksum(secret)}}


def in_clear(stack: Recording) -> Iterator[tuple[str, str]]:
    """(where, text) of everything outside a secret envelope."""
    for item in stack.registrations:
        yield f"the name of {item.name}", item.urn
        for path, value, secret in leaves(item.inputs):
            if not secret:
                yield f"{item.name}: {path}", f"{path} {value}"
    for name, outputs in (*stack.component_outputs.items(), ("stack", stack.outputs)):
        for path, value, secret in leaves(outputs):
            if not secret:
                yield f"output {path} of {name}", f"{path} {value}"
    for text in stack.said:
        yield "a message", text


def by_rds(directory: Path) -> dict[str, Any]:
    config = configuration(directory)
    config["database"] |= {
        "masterPassword": "generated",
        "replica": {},
        "rotation": 1,
        "backupRetentionDays": 7,
    }
    return config


def by_iam(directory: Path) -> dict[str, Any]:
    config = configuration(directory)
    config["database"] |= {"authentication": "iam"}
    return config


def of_others(directory: Path) -> dict[str, Any]:
    config = configuration(directory)
    del config["aws"]
    return {**config, "database": {"mode": "existing"}}


def handed_over(directory: Path) -> dict[str, Any]:
    config = of_others(directory)
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry |= {"mode": "values", "rollout": {}, "emitSecretValues": True}
    del entry["chart"]
    return config


def switched_off(directory: Path) -> dict[str, Any]:
    config = by_rds(directory)
    config["accessGraph"]["enabled"] = False
    return config


def changing(directory: Path) -> dict[str, Any]:
    config = by_rds(directory)
    config["tls"] = {"mode": "generated", "authority": {"generation": 2, "phase": "introduce"}}
    return config


STACKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "rds": by_rds,
    "iam": by_iam,
    "existing": of_others,
    "values": handed_over,
    "off": switched_off,
    "two authorities": changing,
}


def run(name: str, canaries: Canaries, directory: Path, *, preview: bool = False) -> Recording:
    config = STACKS[name](directory)
    given: dict[str, Any] = {"teleportSecretValues": canaries.values}
    if config["database"]["mode"] == "existing":
        given["databaseUri"] = canaries.uri
    stacks: Mapping[str, Any] = {}
    if name == "two authorities":
        stable = {**config, "tls": {"mode": "generated"}}
        before = run_program(stable, directory, secrets=given, computed=canaries.computed())
        stacks = {"organization/teleport-access-graph/dev": {"ledger": unsealed(before.outputs["ledger"])}}
    return run_program(config, directory, secrets=given, computed=canaries.computed(), preview=preview, stacks=stacks)


@pytest.mark.slow
@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
@pytest.mark.parametrize("name", STACKS)
def test_no_canary_is_in_clear_anywhere(name: str, preview: bool, tmp_path: Path) -> None:
    canaries = Canaries()
    stack = run(name, canaries, tmp_path, preview=preview)
    clear = list(in_clear(stack))
    assert len(clear) > 200
    assert [where for where, text in clear if hidden_in(text, canaries.word)] == []
    assert not [where for where, text in clear if "PRIVATE KEY" in text]


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKS)
def test_nothing_in_clear_is_a_hash_by_which_a_secret_could_be_guessed(name: str, tmp_path: Path) -> None:
    canaries = Canaries()
    stack = run(name, canaries, tmp_path)
    digests = {digest for secret in canaries.whole(stack) for digest in guessable(secret)}
    assert len(digests) > 40
    assert [where for where, text in in_clear(stack) if any(digest in text for digest in digests)] == []


def test_every_secret_is_where_it_is_needed(tmp_path: Path) -> None:
    """Shows that the canaries did travel; without this, a search that finds nothing would prove nothing."""
    canaries = Canaries()
    stack = run("values", canaries, tmp_path)
    places = {
        f"{item.name}: {path}"
        for item in stack.registrations
        for path, value, secret in leaves(item.inputs)
        if secret and isinstance(value, str) and canaries.word in value
    }
    assert places == {
        "credentials-postgres: stringData.uri",
        "credentials-tls: stringData.tls.key",
        "certificates-ca-1: privateKeyPem",
        "certificates-server: caPrivateKeyPem",
        "certificates-server-request: privateKeyPem",
    }
    merged = stack.outputs["teleportMergedValues"][TELEPORT_CLUSTER]
    assert isinstance(merged, Secret)
    assert merged.value["auth"]["extraEnv"] == canaries.values[TELEPORT_CLUSTER]["auth"]["extraEnv"]


@pytest.mark.parametrize("form", [str, lambda text: quote(text, safe=""), lambda text: text.encode().hex()])
def test_the_search_sees_every_form(form: Callable[[str], str]) -> None:
    assert hidden_in(f"before {form('cana/ry')} after", "cana/ry")
    for lead in range(4):
        text = base64.b64encode(b"y" * lead + b"canary0123456789" + b"tail").decode()
        assert hidden_in(text, "canary0123456789")
    assert not hidden_in("nothing", "canary")


def in_plain(key: str) -> Callable[[Canaries, dict[str, Any], dict[str, Any]], None]:
    def put(canaries: Canaries, config: dict[str, Any], given: dict[str, Any]) -> None:
        config[key] = canaries.uri if key == "databaseUri" else canaries.values
        given.pop(key, None)

    return put


def a_uri(change: Callable[[Canaries], str]) -> Callable[[Canaries, dict[str, Any], dict[str, Any]], None]:
    def put(canaries: Canaries, config: dict[str, Any], given: dict[str, Any]) -> None:
        given["databaseUri"] = change(canaries)

    return put


def some_values(change: Callable[[Canaries], Any]) -> Callable[[Canaries, dict[str, Any], dict[str, Any]], None]:
    def put(canaries: Canaries, config: dict[str, Any], given: dict[str, Any]) -> None:
        given["teleportSecretValues"] = change(canaries)

    return put


def conflicting(section: dict[str, Any]) -> Callable[[Canaries], Any]:
    """Secret values that contradict the patch; every text in them is the canary."""

    def change(canaries: Canaries) -> Any:
        text = json.dumps({TELEPORT_CLUSTER: {"auth": section}}).replace("CANARY", canaries.word)
        return json.loads(text)

    return change


REFUSED: dict[str, Callable[[Canaries, dict[str, Any], dict[str, Any]], None]] = {
    "a URI in plain": in_plain("databaseUri"),
    "values in plain": in_plain("teleportSecretValues"),
    "no URI": a_uri(lambda canaries: canaries.word),
    "an unverified URI": a_uri(lambda canaries: canaries.uri.partition("?")[0]),
    "another scheme": a_uri(lambda canaries: canaries.uri.replace("postgres:", "mysql:")),
    "an open password": a_uri(lambda canaries: canaries.uri.replace(canaries.word, f"a@{canaries.word}/?b=#c")),
    "a file in the URI": a_uri(lambda canaries: f"{canaries.uri}&sslkey={canaries.word}"),
    "a wrong parameter": a_uri(lambda canaries: f"{canaries.uri}&pool_max_conns={canaries.word}"),
    "values that are none": some_values(lambda canaries: f"{{{canaries.word}"),
    "values in a list": some_values(lambda canaries: [canaries.word]),
    "a cluster's text": some_values(lambda canaries: {TELEPORT_CLUSTER: canaries.word}),
    "another endpoint": some_values(
        conflicting({"teleportConfig": {"access_graph": {"enabled": True, "endpoint": "CANARY"}}})
    ),
    "another certificate": some_values(conflicting({"teleportConfig": {"access_graph": {"ca": "/CANARY"}}})),
    "no map": some_values(conflicting({"teleportConfig": "CANARY"})),
    "a volume of that name": some_values(
        conflicting({"extraVolumes": [{"name": "tag-ca", "secret": {"secretName": "CANARY"}}]})
    ),
    "a mount of that path": some_values(
        conflicting({"extraVolumeMounts": [{"name": "CANARY", "mountPath": "/var/run/access-graph"}]})
    ),
    "no map of annotations": some_values(conflicting({"annotations": {"pod": "CANARY"}})),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_tells_nothing_of_the_secret(what: str, tmp_path: Path) -> None:
    canaries = Canaries()
    config = of_others(tmp_path)
    given: dict[str, Any] = {"databaseUri": canaries.uri, "teleportSecretValues": canaries.values}
    REFUSED[what](canaries, config, given)
    with pytest.raises(Exception) as refused:  # noqa: PT011  whatever it is, its text is what counts
        run_program(config, tmp_path, secrets=given, computed=canaries.computed())
    # The engine shows only the text of this error, without a traceback.
    assert isinstance(refused.value, pulumi.RunError)
    assert str(refused.value)
    assert not hidden_in(f"{refused.value!r} {refused.value}", canaries.word), str(refused.value)


MISPLACED: dict[str, Callable[[dict[str, Any], str], None]] = {
    "an unknown key": lambda config, text: config["database"].update(password=text),
    "a whole section": lambda config, text: config.update(database=text),
    "a list": lambda config, text: config.update(database=[text]),
    "a section's place": lambda config, text: config["database"].update(secret=text),
    "the Teleports": lambda config, text: config.update(teleport=text),
    "an entry": lambda config, text: config["teleport"].update({TELEPORT_CLUSTER: text}),
    "an unknown top key": lambda config, text: config.update(databasePassword=text),
}


@pytest.mark.parametrize("where", MISPLACED)
@pytest.mark.parametrize("form", ["word", "uri"])
def test_a_secret_in_the_wrong_place_is_not_repeated(where: str, form: str, tmp_path: Path) -> None:
    canaries = Canaries()
    config = existing_configuration()
    MISPLACED[where](config, getattr(canaries, form))
    with pytest.raises(Exception) as refused:  # noqa: PT011
        run_program(config, tmp_path)
    assert not hidden_in(str(refused.value), canaries.word), str(refused.value)
