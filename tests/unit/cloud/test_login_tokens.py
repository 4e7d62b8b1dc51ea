"""A token from AWS's own SDK opens the login for which it was signed, and no part of it can be changed."""

from __future__ import annotations

import datetime
import string
from dataclasses import replace
from urllib.parse import quote, unquote

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud import login_tokens
from sandbox.cloud.login_tokens import LONGEST_SECONDS, Login, SigningKey, TokenRefused, verify

pytestmark = pytest.mark.unit

LOGIN = Login("graph.aaaaaaaaaa.eu-west-1.rds.amazonaws.com", 6432, "eu-west-1", "access_graph_iam")
PERMANENT = SigningKey("s" * 40, None)
TEMPORARY = SigningKey("t" * 40, "a+session/token==")
KEYS = {"AKIAPERMANENT": PERMANENT, "ASIATEMPORARY": TEMPORARY}


def token(key_id: str = "ASIATEMPORARY", login: Login = LOGIN, key: SigningKey | None = None) -> str:
    """A token as a pod of the access graph makes it."""
    key = key or KEYS[key_id]
    client = boto3.client(
        "rds",
        region_name=login.region,
        aws_access_key_id=key_id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.session_token,
    )
    return str(client.generate_db_auth_token(DBHostname=login.host, Port=login.port, DBUsername=login.user))


# Signed once, because each signature needs a client, which takes long to create.
TOKEN = token()


def signed_at(text: str) -> datetime.datetime:
    written = datetime.datetime.strptime(text.split("X-Amz-Date=")[1][:16], "%Y%m%dT%H%M%SZ")
    return written.replace(tzinfo=datetime.timezone.utc)


SIGNED_AT = signed_at(TOKEN)


def opens(text: str, login: Login = LOGIN, after: float = 1) -> str:
    return verify(text, login, SIGNED_AT + datetime.timedelta(seconds=after), KEYS.get)


def refusal(text: str, login: Login = LOGIN, after: float = 1) -> str:
    with pytest.raises(TokenRefused) as caught:
        opens(text, login, after)
    return str(caught.value)


def test_a_token_opens_the_login_it_was_signed_for() -> None:
    assert opens(TOKEN) == "ASIATEMPORARY"


def test_a_key_that_does_not_expire_signs_without_a_session_token() -> None:
    text = token("AKIAPERMANENT")
    assert "X-Amz-Security-Token" not in text
    assert verify(text, LOGIN, datetime.datetime.now(datetime.timezone.utc), KEYS.get) == "AKIAPERMANENT"


def test_gos_sdk_leaves_the_empty_path_out_and_signs_the_same() -> None:
    """aws-sdk-go-v2's feature/rds/auth writes `host:port?Action=connect&...`."""
    assert opens(TOKEN.replace("/?", "?", 1)) == "ASIATEMPORARY"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (replace(LOGIN, host=LOGIN.host.replace("graph", "other")), "it is for another host or port"),
        (replace(LOGIN, port=5432), "it is for another host or port"),
        (replace(LOGIN, user="access_graph_owner"), "DBUser is another than it has to be"),
        (replace(LOGIN, region="eu-west-2"), "X-Amz-Credential is for another day, region or service"),
    ],
)
def test_a_token_is_for_one_host_port_user_and_region(other: Login, reason: str) -> None:
    assert refusal(TOKEN, other) == reason
    assert verify(token(login=other), other, datetime.datetime.now(datetime.timezone.utc), KEYS.get)


def test_it_is_taken_for_fifteen_minutes_and_not_before_it_was_signed() -> None:
    assert opens(TOKEN, after=0)
    assert opens(TOKEN, after=LONGEST_SECONDS)
    assert refusal(TOKEN, after=LONGEST_SECONDS + 1) == "it has expired"
    assert refusal(TOKEN, after=-1) == "it was signed in the future"


def test_it_cannot_say_itself_that_it_lasts_longer() -> None:
    assert refusal(TOKEN.replace("X-Amz-Expires=900", "X-Amz-Expires=901")) == "X-Amz-Expires is not 1 to 900 seconds"
    shorter = TOKEN.replace("X-Amz-Expires=900", "X-Amz-Expires=899")
    assert refusal(shorter) == "the signature is not that of the access key's secret"


def test_another_secret_or_session_token_is_refused() -> None:
    def refused(text: str) -> str:
        with pytest.raises(TokenRefused) as caught:
            verify(text, LOGIN, signed_at(text), KEYS.get)
        return str(caught.value)

    stranger = token(key=SigningKey("x" * 40, TEMPORARY.session_token))
    assert refused(stranger) == "the signature is not that of the access key's secret"
    other_session = token(key=SigningKey(TEMPORARY.secret, "another"))
    assert refused(other_session) == "X-Amz-Security-Token is not the access key's"
    assert refused(token("AKIAPERMANENT", key=TEMPORARY)) == "X-Amz-Security-Token is not the access key's"
    unknown = token("AKIAUNKNOWN", key=PERMANENT)
    assert refused(unknown) == "nobody has the access key that signed it"


def test_a_request_to_another_service_is_none() -> None:
    assert refusal(TOKEN.replace("rds-db", "rds")) == "X-Amz-Credential is for another day, region or service"
    assert refusal(TOKEN.replace("Action=connect", "Action=describe")) == "Action is another than it has to be"


def signed_anew(**changes: str) -> str:
    """A token with changed fields, signed correctly, as the holder of the key could make it."""
    place, _, query = TOKEN.partition("?")
    fields = {name: unquote(value) for name, value in (part.split("=") for part in query.split("&"))}
    fields |= changes
    fields["X-Amz-Signature"] = login_tokens._signature(fields, LOGIN, TEMPORARY.secret)
    return place + "?" + "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in fields.items())


def test_the_signature_is_made_as_the_sdk_makes_it() -> None:
    assert signed_anew() == TOKEN


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Action", "disconnect", "Action is another than it has to be"),
        ("DBUser", "rdsadmin", "DBUser is another than it has to be"),
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "X-Amz-Algorithm is another than it has to be"),
        ("X-Amz-SignedHeaders", "host;x-other", "X-Amz-SignedHeaders is another than it has to be"),
        ("X-Amz-Expires", "604800", "X-Amz-Expires is not 1 to 900 seconds"),
        ("X-Amz-Expires", "0", "X-Amz-Expires is not 1 to 900 seconds"),
        ("X-Amz-Date", "20261301T000000Z", "X-Amz-Date is no time"),
        ("X-Amz-Date", "now", "X-Amz-Date is no time"),
        ("Another", "1", "it has other parameters than those of a token"),
    ],
)
def test_what_its_holder_signs_is_not_good_for_that_alone(name: str, value: str, reason: str) -> None:
    assert refusal(signed_anew(**{name: value})) == reason


@pytest.mark.parametrize("text", ["", "secret", f"{LOGIN.host}:6432/?", f"{LOGIN.host}:6432/?Action=connect", "?&="])
def test_what_is_no_token_is_refused_and_shown_to_nobody(text: str) -> None:
    reason = refusal(text)
    assert not text or text not in reason


@pytest.mark.slow
@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(string.ascii_letters + string.digits + "&=%/?+-._~: \0é"))
def test_no_character_of_it_can_be_another(position: int, character: str) -> None:
    tampered = TOKEN[:position] + character + TOKEN[position + 1 :]
    if tampered != TOKEN:
        refusal(tampered)


@pytest.mark.slow
@given(st.integers(0, len(TOKEN)), st.text(min_size=1, max_size=3))
def test_nothing_can_be_put_in(position: int, inserted: str) -> None:
    refusal(TOKEN[:position] + inserted + TOKEN[position:])


@pytest.mark.slow
@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 80))
def test_nothing_can_be_left_out(position: int, length: int) -> None:
    # Only the slash of the empty path may be left out: it has no meaning.
    if TOKEN[position : position + length] != "/":
        refusal(TOKEN[:position] + TOKEN[position + length :])


def test_no_parameter_can_come_twice() -> None:
    for part in TOKEN.partition("?")[2].split("&"):
        assert refusal(f"{TOKEN}&{part}") == "its parameters are not each a name and a value, once"


@pytest.mark.slow
@given(st.permutations(TOKEN.partition("?")[2].split("&")))
def test_the_order_of_its_parameters_is_free_as_it_is_signed_sorted(parts: list[str]) -> None:
    assert opens(f"{TOKEN.partition('?')[0]}?{'&'.join(parts)}") == "ASIATEMPORARY"
