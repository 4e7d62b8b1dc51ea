"""Tokens that replace passwords where RDS authenticates by IAM: parses them and verifies their signature.

A token is a presigned Signature Version 4 request without its scheme. Pure: the caller says who has which key and what
its holder may do.
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "rds-db"
# RDS accepts a token for 15 minutes, and every SDK signs for as long.
LONGEST_SECONDS = 900

_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_SIGNATURE = "X-Amz-Signature"
_SESSION_TOKEN = "X-Amz-Security-Token"
_NEEDED = frozenset(
    {
        "Action",
        "DBUser",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        _SIGNATURE,
    }
)
_EMPTY_BODY = hashlib.sha256(b"").hexdigest()


class TokenRefused(Exception):
    """Why a token is refused: for the server's log, never for the client. Never contains any part of the token."""


@dataclass(frozen=True)
class Login:
    """What a token must be for."""

    host: str
    """The endpoint's name, as the client dials it."""
    port: int
    region: str
    user: str
    """The database user."""


@dataclass(frozen=True)
class SigningKey:
    secret: str
    session_token: str | None
    """Of temporary credentials; None for others."""


def verify(token: str, login: Login, now: datetime.datetime, keys: Callable[[str], SigningKey | None]) -> str:
    """The access key id that signed `token`. `keys` returns the key that belongs to an access key id.

    Raises `TokenRefused` unless every part of the token is for this login, at this time, by that key.
    """
    fields = _fields(token, login)
    _expect(fields, "Action", "connect")
    _expect(fields, "DBUser", login.user)
    _expect(fields, "X-Amz-Algorithm", ALGORITHM)
    _expect(fields, "X-Amz-SignedHeaders", "host")
    signed_at = _check_time(fields, now)
    key_id, *scope = fields["X-Amz-Credential"].split("/")
    if scope != [signed_at[:8], login.region, SERVICE, "aws4_request"]:
        raise TokenRefused("X-Amz-Credential is for another day, region or service")
    key = keys(key_id)
    if key is None:
        raise TokenRefused("nobody has the access key that signed it")
    if fields.get(_SESSION_TOKEN) != key.session_token:
        raise TokenRefused("X-Amz-Security-Token is not the access key's")
    if not hmac.compare_digest(_signature(fields, login, key.secret).encode(), fields[_SIGNATURE].encode()):
        raise TokenRefused("the signature is not that of the access key's secret")
    return key_id


def _fields(token: str, login: Login) -> dict[str, str]:
    place, mark, query = token.partition("?")
    # Most SDKs sign without a path, Go's with an empty one.
    if not mark or place.removesuffix("/") != f"{login.host}:{login.port}":
        raise TokenRefused("it is for another host or port")
    fields: dict[str, str] = {}
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if not equals or name in fields:
            raise TokenRefused("its parameters are not each a name and a value, once")
        fields[name] = _decoded(value)
    if fields.keys() - {_SESSION_TOKEN} != _NEEDED:
        raise TokenRefused("it has other parameters than those of a token")
    return fields


def _decoded(value: str) -> str:
    try:
        decoded = unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        decoded = ""
    # Signature Version 4 has one encoding for each text; any other is not what was signed.
    if quote(decoded, safe="-_.~") != value:
        raise TokenRefused("its parameters are not encoded as they are signed")
    return decoded


def _expect(fields: Mapping[str, str], name: str, value: str) -> None:
    if fields[name] != value:
        raise TokenRefused(f"{name} is another than it has to be")


def _check_time(fields: Mapping[str, str], now: datetime.datetime) -> str:
    """The time of signing, as the token states it."""
    signed_at, expires = fields["X-Amz-Date"], fields["X-Amz-Expires"]
    if not re.fullmatch(r"\d{8}T\d{6}Z", signed_at, re.ASCII):
        raise TokenRefused("X-Amz-Date is no time")
    try:
        begin = datetime.datetime.strptime(signed_at, _DATE_FORMAT).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise TokenRefused("X-Amz-Date is no time") from None
    if not re.fullmatch(r"[1-9]\d{0,2}", expires, re.ASCII) or int(expires) > LONGEST_SECONDS:
        raise TokenRefused(f"X-Amz-Expires is not 1 to {LONGEST_SECONDS} seconds")
    if now < begin:
        raise TokenRefused("it was signed in the future")
    if now > begin + datetime.timedelta(seconds=int(expires)):
        raise TokenRefused("it has expired")
    return signed_at


def _signature(fields: Mapping[str, str], login: Login, secret: str) -> str:
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(fields.items())
        if name != _SIGNATURE
    )
    # No RDS instance uses HTTPS's own port, for which the header would omit the port.
    request = f"GET\n/\n{query}\nhost:{login.host}:{login.port}\n\nhost\n{_EMPTY_BODY}"
    signed_at = fields["X-Amz-Date"]
    scope = fields["X-Amz-Credential"].partition("/")[2]
    text = f"{ALGORITHM}\n{signed_at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (signed_at[:8], login.region, SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
