"""What holds during a walk: a key, a password or a database that has been recorded once stays the same ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.home import Home
from tests.faults.walk import IRREPLACEABLE, Kept, NotConverged, stand_ins
from tests.faults.world import recorded_in_aws

pytestmark = pytest.mark.unit


def resource(kind: str, value: str, **more: Any) -> dict[str, Any]:
    output = IRREPLACEABLE[kind]
    return {"type": kind, "id": value if output is None else "id", "outputs": {str(output): value}, **more}


@pytest.mark.parametrize("kind", IRREPLACEABLE)
def test_another_thing_under_the_same_name_is_a_loss(kind: str) -> None:
    kept = Kept()
    kept.check({"urn": resource(kind, "one")})
    kept.check({"urn": resource(kind, "one"), "other": resource(kind, "two")})
    with pytest.raises(NotConverged, match=r"another thing has taken the place of urn$"):
        kept.check({"urn": resource(kind, "three")})


def test_what_may_change_may_be_another_thing() -> None:
    kind = "random:index/randomPassword:RandomPassword"
    kept = Kept(may_change=("::login-a",))
    for value in ("one", "two"):
        kept.check({"urn::login-a": resource(kind, value), "urn::digest-key": resource(kind, "same")})
    with pytest.raises(NotConverged, match="digest-key"):
        kept.check({"urn::login-a": resource(kind, "two"), "urn::digest-key": resource(kind, "another")})


def test_a_value_is_never_in_the_message_nor_kept_in_clear() -> None:
    kept = Kept()
    kept.check({"urn": resource("random:index/randomPassword:RandomPassword", "s3cret")})
    assert "s3cret" not in repr(kept)


def test_what_is_gone_is_a_loss_unless_the_run_deletes() -> None:
    key = resource("tls:index/privateKey:PrivateKey", "one")
    kept = Kept()
    kept.check({"urn": key})
    with pytest.raises(NotConverged, match="urn has gone from the state"):
        kept.check({})
    deleting = Kept(may_go=True)
    deleting.check({"urn": key})
    deleting.check({})
    deleting.check({"urn": resource("tls:index/privateKey:PrivateKey", "two")})


def test_the_old_one_of_a_replacement_does_not_count() -> None:
    kept = Kept()
    kept.check({"urn": resource("tls:index/privateKey:PrivateKey", "one", delete=True)})
    assert kept.values == {}


def test_faults_are_put_on_the_sandboxes_own_plugins_whatever_else_is_installed(tmp_path: Path) -> None:
    root = stand_ins(Home.at(tmp_path))
    found = sorted(path.name for path in (root / "plugins").glob("*/pulumi-*"))
    assert found == [
        "pulumi-language-python",
        *(f"pulumi-resource-{name}" for name in ("aws", "kubernetes", "random", "tls")),
    ]
    for launcher in (root / "plugins").glob("*/pulumi-*"):
        assert "runs its stand-in" in launcher.read_text()
        assert launcher.stat().st_mode & 0o111


def test_the_account_is_compared_by_the_names_that_it_has() -> None:
    assert recorded_in_aws(
        {
            "1": {"type": "aws:kms/alias:Alias", "id": "alias/graph", "outputs": {"name": "alias/graph"}},
            "2": {"type": "aws:iam/role:Role", "id": "b", "outputs": {"name": "b"}},
            "3": {"type": "aws:iam/role:Role", "id": "a", "outputs": {"name": "a"}},
            "4": {"type": "aws:iam/rolePolicy:RolePolicy", "id": "a:policy", "outputs": {}},
            "5": {
                "type": "aws:cloudwatch/logGroup:LogGroup",
                "id": "x",
                "outputs": {"name": "/aws/rds/instance/graph/upgrade"},
            },
            "6": {"type": "tls:index/privateKey:PrivateKey", "id": "x", "outputs": {}},
        }
    ) == {"key alias": ["graph"], "role": ["a", "b"], "role policy": ["a:policy"], "log group": ["graph/upgrade"]}
