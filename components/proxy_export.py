"""Fetches a Teleport cluster's host CAs from its proxy, over verified TLS and within limits.

`host_authorities` reads the answer and decides whether it may be used.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# Seconds from the start of a request to its last byte: a preview must not hang on a proxy.
TIMEOUT = 10.0
# Bytes. A host CA is below 2 KiB, and a longer text would not fit the ConfigMap that it ends up in.
LARGEST_TEXT = 1024 * 1024

_EXPORT = "/webapi/auth/export?type=tls-host"
# What to do where the way to the proxy cannot be mended: a runner outside its network, or a Teleport that is down.
_OTHERWISE = "or give the host CAs by mode file, which asks no proxy (docs/certificates.md)"
# OpenSSL's codes (X509_V_ERR_*, openssl/x509_vfy.h) of what another authority does not mend.
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


class ProxyFetchError(Exception):
    """The proxy did not give its host CAs; the message says why, and what to do."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request: Any, file: Any, code: int, message: str, headers: Any, target: str) -> None:
        # A redirect may lead to a host other than the one whose certificate vouches for the answer.
        raise ProxyFetchError(f"redirects to {target!r}; give the address that answers itself")


def fetch_from_proxy(address: str, ca_file: Path | None = None) -> str:
    """The proxy's export of its host CAs: PEM, or a JSON array when the cluster has several active keys.

    `address` is host:port. The server is verified with the system's trust store, or with `ca_file` (PEM) alone.
    Raises `ProxyFetchError`.
    """
    status, text = get_from_proxy(address, _EXPORT, ca_file)
    if status == 200 and "-----BEGIN" in text:
        return text
    # With several active keys, Teleport answers the plain request with an error that asks for a format.
    fallback_status, fallback = get_from_proxy(address, f"{_EXPORT}&format=json", ca_file)
    if fallback_status == 200 and fallback.lstrip().startswith("["):
        return fallback
    raise ProxyFetchError(
        f"answered {_EXPORT} with status {status}, and with format=json {fallback_status}, which is no export; "
        f"is this the web address of a Teleport proxy? If so, try again, {_OTHERWISE}"
    )


def get_from_proxy(address: str, path: str, ca_file: Path | None = None) -> tuple[int, str]:
    """Status and text of a proxy's answer at a path, verified and within limits. Raises `ProxyFetchError`."""
    opener = urllib.request.build_opener(_NoRedirects(), urllib.request.HTTPSHandler(context=_trusting(ca_file)))
    deadline = time.monotonic() + TIMEOUT
    try:
        with opener.open(f"https://{address}{path}", timeout=TIMEOUT) as response:
            return response.status, _text_of(response, deadline)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise ProxyFetchError(
                f"gave no answer in {TIMEOUT:g} s; check the address and the way to it, {_OTHERWISE}"
            ) from None
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise ProxyFetchError(
                f"its certificate is not trusted ({reason.verify_message}); {_remedy(reason.verify_code)}"
            ) from None
        raise ProxyFetchError(
            f"cannot be reached ({reason}); check the address and the way to it, {_OTHERWISE}"
        ) from None


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies alike in every version of Python, and like Teleport's own clients, which are written in Go."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise ProxyFetchError(f"the caFile {ca_file} is no readable PEM ({error}); give the proxy's CA") from None
    # From Python 3.13 on, the default refuses authorities that lack extensions which RFC 5280 asks for, as those made
    # with a plain `openssl req` do.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    # A caFile with the intermediate authority that issued the certificate is enough, without the root. Before Python
    # 3.13 the default wants the root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def _remedy(code: int) -> str:
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "give an address whose host is a name in the certificate"
    if code == _EXPIRED:
        return f"renew the proxy's certificate, {_OTHERWISE}"
    if code == _NOT_YET_VALID:
        return "check this machine's clock, or wait"
    return "set caFile to the CA that issued it"


def _text_of(response: http.client.HTTPResponse, deadline: float) -> str:
    try:
        return read_limited(response, LARGEST_TEXT, deadline).decode("utf-8")
    except TooLong:
        raise ProxyFetchError(f"sends more than {LARGEST_TEXT} bytes; this is no export of host CAs") from None
    except UnicodeDecodeError:
        raise ProxyFetchError("answers with something that is not UTF-8; this is no export of host CAs") from None


class TooLong(Exception):
    """The answer has more bytes than the limit."""


class TooSlow(TimeoutError):
    """The last byte did not arrive in time."""


def read_limited(response: http.client.HTTPResponse, limit: int, deadline: float) -> bytes:
    """All of `response`, which may have `limit` bytes and must end before `deadline` (of `time.monotonic`). Raises
    `TooLong` and `TooSlow`."""
    received = bytearray()
    while chunk := response.read1(65536):
        received += chunk
        if len(received) > limit:
            raise TooLong
        # A socket's timeout starts anew with each byte, so a slow trickle needs this limit too.
        if time.monotonic() > deadline:
            raise TooSlow
    return bytes(received)
