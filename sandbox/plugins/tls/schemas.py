"""The properties of the tls resource types, modelled on terraform-provider-tls 4.2.

Left out, and so refused: the write-only variants of private keys (`privateKeyPemWo`, `caPrivateKeyPemWo`).
"""

from __future__ import annotations

from typing import Final

from sandbox.plugins.values_schema import Property, ResourceSchema

PRIVATE_KEY: Final = "tls:index/privateKey:PrivateKey"
CERT_REQUEST: Final = "tls:index/certRequest:CertRequest"
SELF_SIGNED: Final = "tls:index/selfSignedCert:SelfSignedCert"
LOCALLY_SIGNED: Final = "tls:index/locallySignedCert:LocallySignedCert"

# Names of the x509 key usages, and of the extended ones with their object identifiers (RFC 5280, 4.2.1.3 and .12).
KEY_USAGES: Final = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
EXTENDED_KEY_USAGES: Final = {
    "any_extended": "2.5.29.37.0",
    "server_auth": "1.3.6.1.5.5.7.3.1",
    "client_auth": "1.3.6.1.5.5.7.3.2",
    "code_signing": "1.3.6.1.5.5.7.3.3",
    "email_protection": "1.3.6.1.5.5.7.3.4",
    "ipsec_end_system": "1.3.6.1.5.5.7.3.5",
    "ipsec_tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec_user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8",
    "ocsp_signing": "1.3.6.1.5.5.7.3.9",
    "microsoft_server_gated_crypto": "1.3.6.1.4.1.311.10.3.3",
    "netscape_server_gated_crypto": "2.16.840.1.113730.4.1",
    "microsoft_commercial_code_signing": "1.3.6.1.4.1.311.2.1.22",
    "microsoft_kernel_code_signing": "1.3.6.1.4.1.311.61.1.1",
}

SUBJECT: Final = Property(
    "object",
    fields={
        "commonName": "string",
        "country": "string",
        "emailAddress": "string",
        "locality": "string",
        "organization": "string",
        "organizationalUnit": "string",
        "postalCode": "string",
        "province": "string",
        "serialNumber": "string",
        "streetAddresses": "strings",
    },
)
PRIVATE_KEY_PEM: Final = Property("string", required=True, secret=True)
NAMES: Final = {
    "subject": SUBJECT,
    "dnsNames": Property("strings"),
    "ipAddresses": Property("strings"),
    "uris": Property("strings"),
}
CERTIFICATE: Final = {
    "allowedUses": Property("strings", required=True, choices=frozenset({*KEY_USAGES, *EXTENDED_KEY_USAGES})),
    "validityPeriodHours": Property("integer", required=True, at_least=0),
    # The only property that changes without a new certificate.
    "earlyRenewalHours": Property("integer", default=0, at_least=0, replaces=False),
    "isCaCertificate": Property("boolean", default=False),
    "maxPathLength": Property("integer", at_least=0, computed=True),
    "setSubjectKeyId": Property("boolean", default=False),
}
CERTIFICATE_COMPUTED: Final = {
    "certPem": False,
    "readyForRenewal": False,
    "validityStartTime": False,
    "validityEndTime": False,
}

SCHEMAS: Final = {
    schema.type: schema
    for schema in (
        ResourceSchema(
            PRIVATE_KEY,
            {
                "algorithm": Property("string", required=True, choices=frozenset({"RSA", "ECDSA", "ED25519"})),
                # Both are outputs for every algorithm, as in the official plugin.
                "ecdsaCurve": Property("string", default="P224", choices=frozenset({"P224", "P256", "P384", "P521"})),
                "rsaBits": Property("integer", default=2048),
            },
            {
                "privateKeyPem": True,
                "privateKeyOpenssh": True,
                "privateKeyPemPkcs8": True,
                "publicKeyPem": False,
                "publicKeyOpenssh": False,
                "publicKeyFingerprintMd5": False,
                "publicKeyFingerprintSha256": False,
            },
        ),
        ResourceSchema(
            CERT_REQUEST,
            {"privateKeyPem": PRIVATE_KEY_PEM, **NAMES},
            {"certRequestPem": False, "keyAlgorithm": False},
        ),
        ResourceSchema(
            SELF_SIGNED,
            {
                "privateKeyPem": PRIVATE_KEY_PEM,
                **NAMES,
                **CERTIFICATE,
                "setAuthorityKeyId": Property("boolean", default=False),
            },
            {**CERTIFICATE_COMPUTED, "keyAlgorithm": False},
        ),
        ResourceSchema(
            LOCALLY_SIGNED,
            {
                "certRequestPem": Property("string", required=True),
                "caCertPem": Property("string", required=True),
                "caPrivateKeyPem": PRIVATE_KEY_PEM,
                **CERTIFICATE,
            },
            {**CERTIFICATE_COMPUTED, "caKeyAlgorithm": False},
        ),
    )
}
