"""Every secret in a preview is removed before anything is made from the preview, and what is public stays."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.preview.comment import comment
from operations.preview.document import read_preview
from operations.preview.drift import issue_body
from operations.preview.page import page
from operations.preview.scrub import scrub, scrub_value
from tests.unit.preview.previews import SECRET, TELEPORT_RELEASE, document, step, text, urn

pytestmark = pytest.mark.unit

CANARY = "cAnArY0123456789xYz"


def wrapped(text: str, width: int = 76) -> str:
    """Base64, wrapped as base64(1) does."""
    encoded = base64.b64encode(text.encode()).decode()
    return "\n".join(encoded[begin : begin + width] for begin in range(0, len(encoded), width))


# Every form in which a secret has been seen in an engine's output, each with the canary inside.
PLANTED = {
    "private key": f"-----BEGIN PRIVATE KEY-----\nMIG{CANARY}\n-----END PRIVATE KEY-----\n",
    "EC private key": f"-----BEGIN EC PRIVATE KEY-----\nMIG{CANARY}\n-----END EC PRIVATE KEY-----",
    "OpenSSH key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----",
    "private key that is cut off": f"before -----BEGIN RSA PRIVATE KEY-----\nMIG{CANARY}",
    "private key on one line": f"-----BEGIN PRIVATE KEY-----\\nMIG{CANARY}\\n-----END PRIVATE KEY-----",
    "URI": f"postgres://access_graph:{CANARY}@db.example.com:5432/access_graph?sslmode=verify-full",
    "URI with a strange password": f"postgres://u:a@b/{CANARY}:c@db.example.com/x",
    "URI in a sentence": f"cannot connect to 'postgresql://u:{CANARY}@h/d': timeout",
    "libpq words": f"host=db user=x password={CANARY} sslmode=require",
    "variable": f"PGPASSWORD={CANARY}",
    "YAML": f"auth:\n  join_token: {CANARY}\n",
    "JSON": json.dumps({"client_secret": CANARY}),
    "quoted": f"password: '{CANARY} with a space'",
    "bearer": f"Authorization: Bearer {CANARY}",
    "basic": f"authorization: basic {CANARY}==",
    "web token": f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.{CANARY}",
    "GitHub token": f"ghp_{CANARY}AAAAAAAAAA",
    "AWS secret": f"aws_secret_access_key = {CANARY}/AAAAAAAAAAAAAAAA",
    "kubeconfig": f"apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- user: {{client-key-data: {CANARY}}}\n",
    "kubeconfig as JSON": json.dumps({"kind": "Config", "clusters": [], "users": [{"user": {"exec": CANARY}}]}),
    "URL with a token": f"https://{CANARY}@git.example.com/x",
    "JSON within a text": json.dumps(json.dumps({"password": CANARY})),
    "JSON within a text within one": json.dumps(json.dumps(json.dumps({"token": CANARY}))),
    "block of YAML": f"auth:\n  password: |\n    {CANARY}\n    {CANARY}\n",
    "list of YAML": f"passwd:\n  - {CANARY}\n",
    "YAML with blanks": f"auth:\n  password: first {CANARY} last\n  user: x\n",
    "item of YAML with blanks": f"tokens:\n- token: first {CANARY}",
    "line that comes": f"values\n+ join_token: first {CANARY}",
    "change of one": f'  ~ password: "old" => "{CANARY}"',
    "change of a masked one": f'  ~ password: [secret] => "{CANARY}"',
    "escaped quote": json.dumps({"password": f'a"{CANARY}'}),
    "doubled quote": f"password: 'it''s {CANARY}'",
    "quoted and cut off": f'{{"token": "first {CANARY}',
    "curl's user": f"curl -u admin:{CANARY} https://example.com",
    "curl's user at once": f"curl -uadmin:{CANARY} https://example.com",
    "curl's user in quotes": f"curl --user 'admin:first {CANARY}' https://example.com",
    "curl's proxy": f"curl --proxy-user=admin:{CANARY} https://example.com",
    "cookies": f"> Cookie: theme=dark; session={CANARY}",
    "cookie that is set": f"< set-cookie: session={CANARY}; HttpOnly",
    "cookies as JSON": json.dumps({"headers": {"Set-Cookie": [f"session={CANARY}"]}}),
    "licence": f"license_key={CANARY}",
    "short name": f"level=error pw={CANARY}",
    "short variable": f"DB_PASS={CANARY}",
    "option": f"psql --password {CANARY}",
    "arguments as JSON": json.dumps({"args": ["--token", CANARY]}),
    "arguments as JSON within a text": json.dumps(json.dumps({"args": ["run", "--db-password", f"first {CANARY}"]})),
    "arguments as YAML": f"args:\n  - --token\n  - first {CANARY}\n",
    "option after a rule": f"{'-' * 80}password {CANARY}",
    "variable as YAML": f"env:\n- name: DB_PASSWORD\n  value: {CANARY}\n",
    "variable as YAML with marks": f"env:\n- name: DB_PASSWORD\n  value: p&ss;w0rd,x {CANARY}\n",
    "variable as a block": f"env:\n  - name: DB_PASSWORD\n    value: |\n      first\n      {CANARY}\n  - name: A\n",
    "Secret with a comment": f"kind: Secret\nstringData: # of the graph\n  a: b\n# more\n  foo: {CANARY}\n",
    "Secret with Windows' lines": f"kind: Secret\r\nstringData:\r\n  a: b\r\n\r\n  foo: {CANARY}\r\n",
    "option after a long rule": f"{'-' * 200}password {CANARY}",
    "option of an API": f"graph --client-secret x --api-key {CANARY}",
    "pgpass with blanks": f"# mine\ndb.example.com:5432:access_graph:access_graph:first {CANARY}\n",
    "variable as YAML within JSON": json.dumps(f"env:\n- name: DB_PASSWORD\n  value: {CANARY}\n"),
    "variable as JSON": json.dumps({"env": [{"name": "DB_PASSWORD", "value": CANARY}]}),
    "variable as JSON, the value first": json.dumps({"env": [{"value": CANARY, "name": "API_TOKEN"}]}),
    "variable as JSON within a text": json.dumps(json.dumps({"env": [{"name": "API_TOKEN", "value": CANARY}]})),
    "variable as JSON that is cut off": f'{{"env": [{{"name": "API_TOKEN", "value": "first {CANARY}',
    "Secret as YAML": f"kind: Secret\nstringData:\n  foo: {CANARY}\n\n  bar: |\n    {CANARY}\n",
    "Secret as YAML, its kind last": f"#\ndata:\n  foo: {base64.b64encode(CANARY.encode()).decode()}\nkind: Secret",
    "Secret as JSON": json.dumps({"kind": "Secret", "stringData": {"foo": CANARY, "b": "{}"}}),
    "Secret as JSON within a text": json.dumps(json.dumps({"kind": "Secret", "stringData": {"foo": CANARY}})),
    "what was applied last": json.dumps(
        {"annotations": {"last-applied-configuration": json.dumps({"kind": "Secret", "data": {"foo": CANARY}})}}
    ),
    "shared access signature": f"https://x.blob.core.windows.net/y?sv=2020&sig={CANARY}&se=2026",
    "account key": f"DefaultEndpointsProtocol=https;AccountKey={CANARY};EndpointSuffix=core.windows.net",
    "registry's login": f"docker login -u robot -p {CANARY} registry.example.com",
    "registry's login in quotes": f"helm registry login x -p 'first {CANARY}'",
    "MySQL's login": f"mysql -h db -u root -p{CANARY} graph",
    "netrc": f"machine git.example.com login robot password {CANARY}",
    "netrc on lines": f"machine git.example.com\n  login robot\n  password {CANARY}\n",
    "pgpass": f"db.example.com:5432:access_graph:access_graph:{CANARY}",
    "pgpass of all": f"# comment\n*:*:*:postgres:{CANARY}\n",
    "XML": f"<server><user>x</user><password>first {CANARY}</password></server>",
    "XML with an attribute": f'<db:adminPassword kind="plain">{CANARY}</db:adminPassword>',
    "SQL": f"ALTER ROLE access_graph PASSWORD '{CANARY}'",
    "SQL with escapes": f"ALTER ROLE access_graph ENCRYPTED PASSWORD E'{CANARY}'",
    "SQL between dollars": f"CREATE ROLE access_graph PASSWORD $x${CANARY}$x$",
    "arrow": f'password => "{CANARY}"',
    "list on one line": f"token: [first, {CANARY}]",
    "list of JSON within a text": json.dumps(json.dumps({"tokens": ["first", CANARY]})),
    "map on one line": f"passwords: {{a: first, b: {CANARY}}}",
    "access key": f"accessKey: {CANARY}",
    "secret key": f"DJANGO_SECRET_KEY={CANARY}",
    "encryption key": f"encryptionKey: {CANARY}",
    "key by its PEM": f"private_key_pem = {CANARY}",
    "login by IAM": f"db.example.com:5432/?Action=connect&X-Amz-Credential=x%2Frds-db&X-Amz-Signature={CANARY}",
    "token in a header": f"Authorization: token {CANARY}",
    "a server's own record": f"SCRAM-SHA-256$4096:{CANARY}$x:y",
    "bcrypt": f"$2b$12${CANARY:A<53}",
    "GitLab token": f"glpat-{CANARY}",
    "Slack's web hook": f"https://hooks.slack.com/services/T0/B0/{CANARY}",
    "Vault token": f"hvs.{CANARY}AAAA",
    "age key": f"AGE-SECRET-KEY-1{CANARY.upper()}AAAA",
    "registry": json.dumps({"auths": {"registry.example.com": {"auth": f"{CANARY}="}}}),
    "registry that is cut off": f'{{"auths": {{"registry.example.com": {{"auth": "{CANARY}=',
    "base64 of a URI": base64.b64encode(f"postgres://u:{CANARY}@h/d".encode()).decode(),
    "base64 of a key": base64.b64encode(f"-----BEGIN PRIVATE KEY-----\n{CANARY}".encode()).decode(),
}
ENCODED = base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-2]


def private_key(encoding: serialization.Encoding, form: serialization.PrivateFormat) -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(encoding, form, serialization.NoEncryption())


@pytest.mark.slow
@pytest.mark.parametrize(
    "container", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
)
def test_a_private_key_is_known_without_its_pem_frame(container: serialization.PrivateFormat) -> None:
    der = private_key(serialization.Encoding.DER, container)
    encoded = base64.b64encode(der).decode()
    lines = [encoded[begin : begin + 64] for begin in range(0, len(encoded), 64)]
    block = "x: |\n  " + "\n  ".join(lines) + "\nother\nwords\n"
    for form in (encoded, "\n".join(lines), "\\n".join(lines), block):
        assert not any(line in scrub(form) for line in lines[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("after", ["", "\nword", "\nword\nanother\n", " and more"])
def test_the_base64_of_a_key_is_gone_line_by_line(after: str) -> None:
    pem = private_key(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8).decode()
    for encoded in (wrapped(pem), wrapped(pem, 64), wrapped(wrapped(pem, 10_000))):
        assert not any(line in scrub(f"{encoded}{after}") for line in encoded.splitlines()[:-1])


def leaks(output: str) -> bool:
    return CANARY in output or ENCODED in output or any(form in output for form in (PLANTED["base64 of a URI"],))


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_secret_is_gone(form: str) -> None:
    assert not leaks(scrub(f"before {PLANTED[form]} after"))
    assert not leaks(scrub(PLANTED[form]))


@pytest.mark.parametrize("form", PLANTED)
def test_nothing_that_is_made_of_a_preview_has_a_planted_secret(form: str) -> None:
    """The secret may be in a value, a nested value, a key, a diagnostic, the configuration, or the log."""
    planted = PLANTED[form]
    printed = document(
        step(
            "update", TELEPORT_RELEASE, "teleport-x-release", old={"values": {"a": "1"}}, new={"values": {"a": planted}}
        ),
        step("create", SECRET, "credentials-tls", new={"spec": [{"deep": [planted]}], planted: "key"}),
        step("same", SECRET, "credentials-postgres", new={"note": planted}),
        diagnostics=[{"severity": "error", "message": planted}, {"severity": "warning", "message": planted}],
        config={"teleport-access-graph:tags": json.dumps({"note": planted}), "x:plain": planted},
    )
    preview = read_preview(printed, exit_code=1, log=f"noise\n{planted}\n")
    for made in (comment(preview, stack="dev"), page(preview, stack="dev"), issue_body(preview, stack="dev")):
        assert not leaks(made)


@pytest.mark.parametrize("secret", [{"values": "[secret]"}, {"values": {"a": {"b": "[secret]"}, "c": 2}}])
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_secret_on_one_side_of_a_change_is_shown_on_neither(secret: dict[str, Any], turned: bool) -> None:
    """As when a release is taken over: the plugin reads its values in plain text, while the program's values are
    secret."""
    plain = {"values": {"a": {"b": [{"name": "x", "value": CANARY}]}, "c": 1}}
    old, new = (secret, plain) if turned else (plain, secret)
    printed = document(step("update", TELEPORT_RELEASE, "teleport-x-release", old=old, new=new, paths=["values.c"]))
    preview = read_preview(printed)
    for made in (comment(preview, stack="dev"), page(preview, stack="dev"), issue_body(preview, stack="dev")):
        assert "values" in made
        assert not leaks(made)


@pytest.mark.parametrize("operation", ["update", "delete"])
@pytest.mark.parametrize("secret", [{"values": "[secret]"}, {"values": {"a": {"b": "[secret]"}}}])
@pytest.mark.parametrize("former", [TELEPORT_RELEASE, "other:index:Parent$kubernetes:helm.sh/v3:Release"])
def test_what_the_state_had_as_secret_is_not_shown_because_a_refresh_read_it_in_plain_text(
    operation: str, secret: dict[str, Any], former: str
) -> None:
    """As in a nightly preview after the secret values were removed from the configuration, or the release from the
    stack: nothing in the new state marks the value as secret any more."""
    name = "teleport-x-release"
    plain = {"values": {"a": {"b": [{"name": "x", "value": CANARY}]}, "c": 1}}
    changed = step(operation, TELEPORT_RELEASE, name, old=plain, new={"values": {"c": 1}}, paths=["values.a"])
    changed["oldState"]["urn"] = urn(former, name)
    printed = document(step("refresh", former, name, old=secret, new=plain), changed)
    preview = read_preview(printed, exit_code=7)
    for made in (comment(preview, stack="dev"), page(preview, stack="dev"), issue_body(preview, stack="dev")):
        assert name in made
        assert not leaks(made)


@pytest.mark.parametrize(
    "value",
    [
        {"password": CANARY},
        {"masterPassword": {"nested": [CANARY]}},
        {"auth": {"joinToken": CANARY}},
        {"privateKeyPem": CANARY},
        {"kubeconfig": CANARY},
        {"kind": "Secret", "stringData": {"anything": CANARY}},
        {"kind": "Secret", "data": {"anything": base64.b64encode(CANARY.encode()).decode()}},
        {"env": [{"name": "PGPASSWORD", "value": CANARY}]},
        {"env": [{"name": "DB_PASS", "value": CANARY}]},
        {"env": [{"name": "OKTA_CREDENTIAL", "value": CANARY}, {"name": "SEED_TOKEN_VALUE", "value": CANARY}]},
        {"args": ["graph", "--token", CANARY]},
        {"command": ["graph", "--client-secret", f"first {CANARY}", "--port", "443"]},
        {"annotations": {"x/last-applied-configuration": json.dumps({"kind": "Secret", "stringData": {"a": CANARY}})}},
        {"passwordWo": CANARY},
        {"secretString": CANARY},
        {"tokens": [CANARY]},
        {"headers": {"Set-Cookie": [CANARY], "cookie": CANARY}},
        {"adminPwd": CANARY, "dbPass": CANARY},
        {"secret": CANARY, "auth": CANARY},
        # The names that the program refuses in a plain values file.
        {"signingSecret": CANARY, "jwtSecretValue": CANARY, "smtp_pass": CANARY},
        {"credential": CANARY, "credentials": [CANARY], "passwordHash": CANARY, "tokenSeed": CANARY},
        {"data": {"tls.key": CANARY, "license.pem": CANARY}},
        {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": CANARY},
    ],
)
def test_a_secret_is_known_by_where_it_stands(value: dict[str, Any]) -> None:
    assert not leaks(json.dumps(scrub_value(value)))


def test_a_number_may_be_a_password() -> None:
    hidden = {"password": 12345678, "tokens": [4711], "apiKey": {"id": 7}, "hasPassword": True, "passphrase": None}
    assert scrub_value(hidden) == {
        "password": "[scrubbed]",
        "tokens": ["[scrubbed]"],
        "apiKey": {"id": "[scrubbed]"},
        "hasPassword": True,
        "passphrase": None,
    }


@pytest.mark.parametrize("deep", [65, 500])
def test_what_is_deeper_than_any_document_is_dropped(deep: int) -> None:
    value: Any = {"of": CANARY}
    for _ in range(deep):
        value = {"in": [value]}
    assert not leaks(json.dumps(scrub_value(value)))


def test_a_key_store_is_known_by_its_first_bytes() -> None:
    """PKCS #12 begins with a sequence whose version is 3."""
    store = base64.b64encode(b"\x30\x82\x0a\x00\x02\x01\x03" + bytes(range(200, 256))).decode()
    assert scrub(f"keystore.p12: {store}") == "keystore.p12: [scrubbed]"


def test_a_secret_that_was_encoded_twice_is_gone() -> None:
    """As in the `data` of a Secret when a program wrote its value in base64 already."""
    once = base64.b64encode(f"postgres://u:{CANARY}@h/d".encode())
    assert scrub(f"x {base64.b64encode(once).decode()} y") == "x [scrubbed] y"


# Each token in its issuer's format, assembled here so that no secret scanner takes it for a real one.
TOKENS = [
    *(f"{prefix}{'A7' * 8}" for prefix in ("AKIA", "ASIA")),
    *(f"gh{kind}_{'a7' * 18}" for kind in "pousr"),
    f"github_pat_{'a7' * 20}",
    f"pul-{'a7' * 20}",
    *(f"xox{kind}-{'a7' * 10}" for kind in "abeoprs"),
    f"hooks.slack.com/services/T0/B0/{'a7' * 12}",
    f"glpat-{'a7' * 10}",
    f"npm_{'a7' * 18}",
    f"hvs.{'a7' * 12}",
    *(f"{kind}k_{mode}_{'a7' * 12}" for kind in "rs" for mode in ("live", "test")),
    f"AIza{'a7' * 17}",
    f"AGE-SECRET-KEY-1{'A7' * 29}",
    f"IQoJb3JpZ2{'a7' * 40}",
    *(f"$2{kind}$12${'a7' * 26}a" for kind in "aby"),
    f"SCRAM-SHA-256$4096:{'a7' * 12}$x:y",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_own_form(token: str) -> None:
    assert scrub(f"it said {token} and ended") == "it said [scrubbed] and ended"


# A setting with a secret's name, in whatever form the value is written.
NAMES = (
    *("password", "passwords", "passwordWo", "passwd", "dbPasswd", "passphrase", "pwd", "mysqlpwd", "pass", "dbpass"),
    *("userPass", "adminPass", "rootPass", "masterPass", "token", "tokens", "privateKey", "privateKeyPem"),
    *("privateKeyOpenssh", "secretAccessKey", "storageAccountKey", "clientSecret", "sharedSecret", "webhookSecret"),
    *("secretString", "secretBinary", "secretStringWo", "apiKey", "connectionString", "kubeconfig", "client-key-data"),
    *("bcryptHash", "tls.key", "license.pem", "licenseKey", "sessionCookie"),
)


@pytest.mark.parametrize("form", [CANARY, [CANARY], {"any": CANARY}], ids=["a text", "a list", "a map"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_secret_hides_all_below_it(name: str, form: Any) -> None:
    assert not leaks(json.dumps(scrub_value({name: form, "other": "stays"})))


@pytest.mark.parametrize("form", ["{name}: {value} more", "{name}={value}", "said {name}: {value}, and more"])
@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwords", "passwd", "pwd", "pw", "pass", "passphrase", "token", "tokens", "secret"),
        *("secret_key", "api_key", "accessKey", "account-key", "license_key", "clientSecret", "client-key-data"),
        *("private_key", "privateKeyPem", "encryption_key", "X-Amz-Signature"),
    ],
)
def test_a_name_of_a_secret_hides_what_follows_it_in_a_text(name: str, form: str) -> None:
    assert not leaks(scrub(form.format(name=name, value=CANARY)))


@pytest.mark.parametrize(
    "public",
    [
        "[secret]",
        "password: [secret]",
        "urn:pulumi:dev::p::teleport-access-graph:index:Certificates$tls:index/privateKey:PrivateKey::certificates-ca-1-key",
        "urn:pulumi:dev::p::teleport-access-graph:index:Credentials$kubernetes:core/v1:Secret::credentials-tls",
        "kubernetes:core/v1:Secret",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-5ad69199-ed52-RBbYpR",
        "https://charts.releases.teleport.dev",
        "teleport-access-graph.teleport-access-graph.svc.cluster.local:443",
        "secretName: teleport-access-graph-postgres",
        "postgres://access_graph@db.example.com:5432/access_graph?sslmode=verify-full",
        "bypass: true",
        "psql -h db.example.com -p 5432 -U graph",
        "tsh login --proxy=teleport.example.com:443",
        "registry.example.com:5000/graph/access-graph:1.30.2",
        "<password></password>",
        "sun:04:00-sun:05:00",
        "docker run --user graph psql -U graph",
        "cookies: {secure: true}",
        "tokens are rotated: nothing to do",
        'error: update failed: secrets "database" not found',
        "read it by `pulumi config set --secret databaseUri`",
        "env:\n- name: LOG_LEVEL\n  value: debug\n",
        "env:\n- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef: {name: database, key: uri}\n",
        'args: ["--token-file", "/var/run/token", "--port", "443"]',
        "args:\n- --token-file\n- /var/run/token\n",
        "kind: ConfigMap\ndata:\n  log: debug\n",
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"}]}',
        "sig: network; design=1",
        "d1fe0ca43967ba4f7ea2ec53a7cbdd35f5681d54702bf4921584f199e95fdb90",
        "-----BEGIN CERTIFICATE-----\nMIIBwTCCAWagAwIBAgIUEnZHvmxPbetZmkFWznEX0Mrf3rUw\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_public_stays(public: str) -> None:
    assert scrub(public) == public


def test_plain_settings_that_sound_like_secrets_stay() -> None:
    settings = {
        "postgres": {"secretName": "teleport-access-graph-postgres", "secretKey": "uri"},
        "volumes": [{"name": "tls", "secret": {"secretName": "teleport-access-graph-tls"}}],
        "auth": {"teleportConfig": {"access_graph": {"enabled": True}}},
        "manageMasterUserPassword": True,
        "automountServiceAccountToken": False,
        "password": "",
        "stringData": "[secret]",
        "tls": {"existingSecretName": "certificate", "existingCASecretName": "authority"},
        "imagePullSecrets": [{"name": "registry"}, "registry"],
        "annotations": {
            "secret.reloader.stakater.com/reload": "teleport-access-graph-tls",
            "checksum/credentials": "d1",
        },
        "enableSecretMutable": "true",
        "secrets": [{"name": "builder"}],
        "masterUserSecretKmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
    }
    assert scrub_value(settings) == settings


@pytest.mark.parametrize(
    "name",
    ["first", "quiet", "renewed-authority", "replaced-database", "switched-off", "drift", "other-host-authority"],
)
def test_nothing_of_a_real_preview_is_taken_for_a_secret(name: str) -> None:
    assert "[scrubbed]" not in json.dumps(scrub_value(json.loads(text(name))["steps"]))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(sorted(PLANTED.values())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "password='",
        "secret: ",
        "x://a:",
        "@x://a:",
        "-----BEGIN PRIVATE KEY-----",
        "eyJaaaaaa.",
        "clusters: Config ",
        "password:\n ",
        " token: |\n",
        "aaaaaaaaaaaaaaaaaaaaaaaa\n",
        "YWFhYWFhYWFhYWFhYWFhYWFhYWE",
        "https://a",
        "cookie:",
        "-u a",
        'token: "\\',
        "password: a => ",
        "login a ",
        "mysql -",
        "mysql-",
        "mariadb-",
        "name: password\nvalue: |\n ",
        "data:\n#\n",
        "*:1:a:",
        "<password ",
        "-",
        "-a",
        "- --token\n",
        '--token", "',
        "name: password\\",
        "name: password ",
        '"name":"password","value":',
        '{"a":',
        '{"":}',
        '{"',
        '{"a":"\\"',
        "kind: Secret\ndata:\n",
        "kind: Secret data:{",
        "stringData:\n \n",
        "sig",
    ],
)
def test_a_long_text_takes_no_longer_than_it_is_long(piece: str) -> None:
    """A backtracking regular expression would take hours for a megabyte."""
    began = time.process_time()
    scrub(piece * (400_000 // len(piece)))
    assert time.process_time() - began < 5


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(old=_JSON, new=_JSON, around=st.text(max_size=12), form=st.sampled_from(sorted(PLANTED)))
def test_no_secret_survives_wherever_it_is_planted(old: Any, new: Any, around: str, form: str) -> None:
    planted = f"{around} {PLANTED[form]} {around}"
    printed = document(step("update", SECRET, "x", old={"a": old, "b": planted}, new={"a": new, "c": [planted]}))
    preview = read_preview(printed)
    assert not leaks(comment(preview, stack="dev") + page(preview, stack="dev"))
