"""moto's state on disk: written after every change, read back at the start, so a killed service forgets nothing.

moto keeps its state in memory, one backend object per service, account and region; these refer to one another, so they
are pickled together, as one graph. The file is private to this service and tied to the moto version that wrote it.
"""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moto
import moto.backends
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from moto.core.base_backend import BackendDict

from sandbox.cloud.files import write_atomically

log = logging.getLogger(__name__)

# Increased whenever the shape of the saved data changes.
FORMAT = 1

_KEY_TYPES = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)


class StateMismatch(Exception):
    """The saved state is of another version; the text says what to do."""


def _load_key(encoded: bytes) -> Any:
    return serialization.load_der_private_key(encoded, password=None)


class _Pickler(pickle.Pickler):
    """Pickles KMS keys too, whose `cryptography` private keys do not pickle by themselves."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, _KEY_TYPES):
            encoded = value.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            return _load_key, (encoded,)
        return NotImplemented


def save(path: Path) -> None:
    """Write the state of every backend in use. Call with the API's lock held: nothing may change meanwhile."""
    backends = [
        (service.service_name, account, region, backend)
        for service in BackendDict._instances
        for account, region, backend in service.iter_backends()
    ]
    stream = io.BytesIO()
    _Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump((FORMAT, moto.__version__, backends))
    write_atomically(path, stream.getvalue())


def load(path: Path) -> bool:
    """Put the saved backends in place. False if nothing was saved."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    try:
        form, version, backends = pickle.loads(content)
    except Exception as error:
        raise StateMismatch(f"{path} cannot be read ({error}); `make down` and `make up` start afresh") from error
    if (form, version) != (FORMAT, moto.__version__):
        raise StateMismatch(
            f"{path} was written with moto {version} (format {form}), this is {moto.__version__} (format {FORMAT}); "
            "install that version, or `make down` and `make up` start afresh"
        )
    for service, account, region, backend in backends:
        moto.backends.get_backend(service)[account][region] = backend
    return True


class Saver:
    """Saves to one file, and reports when it cannot."""

    def __init__(self, path: Path, write: Callable[[Path], None] = save):
        self._path = path
        self._write = write

    def __call__(self) -> None:
        try:
            self._write(self._path)
        except OSError as error:
            log.error("the state of the API could not be written to %s: %s; free some space", self._path, error)
            raise
