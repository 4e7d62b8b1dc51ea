"""Private keys: generated, written in every form that is an output, and read back from PEM."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P224": ec.SECP224R1,
    "P256": ec.SECP256R1,
    "P384": ec.SECP384R1,
    "P521": ec.SECP521R1,
}


def generate(algorithm: str, ecdsa_curve: str, rsa_bits: int) -> PrivateKey:
    """Raises `ResourceError` for a size that no key can have."""
    if algorithm == "ECDSA":
        return ec.generate_private_key(CURVES[ecdsa_curve]())
    if algorithm == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    try:
        return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    except ValueError as error:
        raise ResourceError(f"Unable to generate Key from configuration: rsaBits {rsa_bits}: {error}") from error


def algorithm_of(key: PrivateKey) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def parse_private_key(pem: str, what: str) -> PrivateKey:
    """PKCS#1, SEC 1, PKCS#8 or OpenSSH. The error never shows the text, which is secret."""
    try:
        openssh = "OPENSSH PRIVATE KEY" in pem
        load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
        key: object = load(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ResourceError(f"Failed to parse {what} PEM: not a private key without password") from error
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)):
        raise ResourceError(f"Failed to parse {what} PEM: must be an RSA, ECDSA or ED25519 key")
    return key


def public_key_der(key: PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_outputs(key: PrivateKey) -> tuple[str, Properties]:
    """The id (SHA-1 of the public key, hexadecimal) and the computed outputs."""
    # ED25519 has no traditional form; the other keys keep theirs.
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    usual = serialization.PrivateFormat.PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else traditional
    public = key.public_key()
    outputs: Properties = {
        "privateKeyPem": _private(key, usual),
        "privateKeyPemPkcs8": _private(key, serialization.PrivateFormat.PKCS8),
        "publicKeyPem": public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode(),
        **_openssh_outputs(key),
    }
    return hashlib.sha1(public_key_der(public)).hexdigest(), outputs


def _private(key: PrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _openssh_outputs(key: PrivateKey) -> Properties:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1):
        # OpenSSH does not support P-224; these outputs exist but are empty.
        return {
            "privateKeyOpenssh": "",
            "publicKeyOpenssh": "",
            "publicKeyFingerprintMd5": "",
            "publicKeyFingerprintSha256": "",
        }
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    blob = base64.b64decode(line.split()[1])
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return {
        "privateKeyOpenssh": _private(key, serialization.PrivateFormat.OpenSSH),
        "publicKeyOpenssh": line + "\n",
        "publicKeyFingerprintMd5": hashlib.md5(blob).digest().hex(":"),
        "publicKeyFingerprintSha256": f"SHA256:{sha256}",
    }
