"""The scripts of the Jobs on the database: the shell around `psql`, the SQL that makes the roles, grants and
extensions, and the SQL that retires logins.

Text, and pure functions. Every name and value reaches a script through its environment, so the text is the same for
every stack. Kubernetes expands `$(NAME)` and `$$` in a container's command, so the text contains neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

MASTER_SECRET_DIRECTORY = "/var/run/master-secret"

# PostgreSQL's own default. The passwords are random with over 200 bits, so more rounds would protect nothing.
SCRAM_ITERATIONS = 4096

FETCH_MASTER_SECRET = f"""\
umask 077
aws secretsmanager get-secret-value --secret-id "$MASTER_SECRET_ARN" --query SecretString --output text \\
  > {MASTER_SECRET_DIRECTORY}/secret.json
"""

# The image has no JSON parser. This script reads the flat object of strings and numbers that RDS keeps in Secrets
# Manager, with every JSON escape of ASCII, and prints the value of "password".
READ_MASTER_PASSWORD = (
    r"""umask 077
cat > /tmp/password.awk <<'AWK'
function refuse(reason) { print "master secret: " reason > "/dev/stderr"; failed = 1; exit 1 }
function skip_space() { while (at <= length(text) && index(" \t\r\n", substr(text, at, 1))) at++ }
function hexadecimal(digits,    n, value) {
  value = 0
  for (n = 1; n <= length(digits); n++)
    value = value * 16 + index("0123456789abcdef", tolower(substr(digits, n, 1))) - 1
  return value
}
function read_string(    value, character, code) {
  if (substr(text, at, 1) != "\"") refuse("is not the JSON object that RDS writes")
  at++
  value = ""
  while (at <= length(text)) {
    character = substr(text, at++, 1)
    if (character == "\"") return value
    if (character != "\\") { value = value character; continue }
    character = substr(text, at++, 1)
    if (character == "u") {
      code = hexadecimal(substr(text, at, 4))
      at += 4
      if (code < 32 || code > 126) refuse("has a character that no RDS password has")
      value = value sprintf("%c", code)
    } else if (index("\"\\/", character)) value = value character
    else refuse("has a character that no RDS password has")
  }
  refuse("ends within a string")
}
{ text = text $0 "\n" }
END {
  if (failed) exit 1
  at = 1
  skip_space()
  if (substr(text, at, 1) != "{") refuse("is not the JSON object that RDS writes")
  at++
  skip_space()
  while (substr(text, at, 1) != "}") {
    key = read_string()
    skip_space()
    if (substr(text, at, 1) != ":") refuse("is not the JSON object that RDS writes")
    at++
    skip_space()
    if (substr(text, at, 1) == "\"") {
      value = read_string()
      if (key == "password") { print value; found = 1 }
    } else while (at <= length(text) && !index(",}", substr(text, at, 1))) at++
    skip_space()
    if (substr(text, at, 1) == ",") { at++; skip_space() }
    else if (substr(text, at, 1) != "}") refuse("is not the JSON object that RDS writes")
  }
  if (!found) refuse("has no password")
}
AWK
"""
    rf"""awk -f /tmp/password.awk {MASTER_SECRET_DIRECTORY}/secret.json > {MASTER_SECRET_DIRECTORY}/password
IFS= read -r PGPASSWORD < {MASTER_SECRET_DIRECTORY}/password
export PGPASSWORD
"""
)

# Access Graph owns the database, and so `public` and the result of `ALTER DATABASE ... SET search_path`. If a statement
# of the master user took one of its functions for PostgreSQL's, that function would run with the master's rights.
_BEGIN_SQL = r"""psql --no-psqlrc --no-password --quiet --set=ON_ERROR_STOP=1 --file=- <<'SQL'
SET search_path = pg_catalog, pg_temp;
"""

# One transaction: a Job that dies half way leaves nothing behind, and the next starts from the same state. Every
# statement can be repeated.
PREPARE_DATABASE = (
    _BEGIN_SQL
    + r"""\getenv owner OWNER_ROLE
\getenv login LOGIN_ROLE
\getenv authentication AUTHENTICATION
\getenv extensions EXTENSIONS
\getenv database PGDATABASE
BEGIN;

DO $body$
BEGIN
  IF current_setting('server_version_num')::int < 140000 THEN
    RAISE EXCEPTION 'Teleport Access Graph needs PostgreSQL 14 or newer, and this server is %',
      current_setting('server_version') USING HINT = 'Set database.engineVersion to 14 or newer.';
  END IF;
  -- A second attempt of the same Job waits for the first.
  PERFORM pg_advisory_xact_lock(hashtext('teleport-access-graph-database-access'));
END
$body$;

SELECT format('CREATE ROLE %I NOLOGIN', :'owner')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
SELECT format('CREATE ROLE %I LOGIN', :'login')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \gexec

-- Whoever is a member of rds_iam, by way of another role too, logs in by tokens alone. The owner must never be: the
-- master user acts as it, and would lose its password login.
SELECT set_config('access_graph.by_password', concat_ws(' ', :'owner', CASE :'authentication' WHEN 'password' THEN
  :'login' END), true) AS by_password \gset
DO $body$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY string_to_array(current_setting('access_graph.by_password'), ' ') LOOP
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') AND pg_has_role(name, 'rds_iam', 'MEMBER') THEN
      RAISE EXCEPTION 'role % is a member of rds_iam, which ends the password login of whoever acts as it', name
        USING HINT = format('As the master user: REVOKE rds_iam FROM %I;', name);
    END IF;
  END LOOP;
END
$body$;

-- The master user is no superuser: to hand the database over it must be able to become the owner. From PostgreSQL 16
-- the creator of a role only administers it, and SET has to be granted.
SELECT current_setting('server_version_num')::int >= 160000 AS has_set_option \gset
\if :has_set_option
GRANT :"owner" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;
\else
GRANT :"owner" TO CURRENT_USER;
\endif
-- Data that were there before, adopted or restored, may have an owner whom the master user cannot act for.
SELECT set_config('access_graph.owner', :'owner', true) AS own_role \gset
DO $body$
DECLARE
  owner text := current_setting('access_graph.owner');
  former text := (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database());
BEGIN
  IF former <> owner AND NOT pg_has_role(former, 'USAGE') THEN
    RAISE EXCEPTION 'the database % belongs to %, and % may not hand it over', current_database(), former, current_user
      USING HINT = format('As %1$I, in that database: CREATE ROLE %2$I; GRANT %2$I, %3$I TO %1$I; '
        'REASSIGN OWNED BY %3$I TO %2$I; REVOKE %3$I FROM %1$I;', current_user, owner, former);
  END IF;
END
$body$;
SELECT format('ALTER DATABASE %I OWNER TO %I', :'database', :'owner')
  WHERE :'owner' <> (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :'database') \gexec

-- Every other role of the server stays out.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
-- From PostgreSQL 15 the database's owner has this by pg_database_owner, before that PUBLIC does, unless taken away.
SELECT format('GRANT USAGE, CREATE ON SCHEMA public TO %I', :'owner')
  WHERE NOT has_schema_privilege(:'owner', 'public', 'USAGE')
    OR NOT has_schema_privilege(:'owner', 'public', 'CREATE') \gexec

SELECT :'authentication' = 'iam' AS by_iam \gset
\if :by_iam
DO $body$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
    RAISE EXCEPTION 'this server has no role rds_iam, so that nobody can log in by IAM'
      USING HINT = 'Set database.authentication to password, or turn IAM authentication of the instance on.';
  END IF;
END
$body$;
-- Whoever has rds_iam logs in with tokens alone.
ALTER ROLE :"login" WITH LOGIN PASSWORD NULL;
GRANT rds_iam TO :"login";
\else
\getenv verifier LOGIN_VERIFIER
-- The verifier is what PostgreSQL would store, so that no statement, and no log of it, holds the password.
ALTER ROLE :"login" WITH LOGIN PASSWORD :'verifier';
\endif
GRANT :"owner" TO :"login";
-- What a login makes belongs to the owner, so that a rotation of logins leaves nothing behind.
ALTER ROLE :"login" SET role = :'owner';

-- Session search uses these; without them only that feature is missing.
SELECT set_config('access_graph.extensions', :'extensions', true) AS extensions \gset
DO $body$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY string_to_array(current_setting('access_graph.extensions'), ' ') LOOP
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = wanted) THEN
      RAISE NOTICE 'extension % is not available on this server; session search will lack it', wanted;
      CONTINUE;
    END IF;
    BEGIN
      EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA public', wanted);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'extension % may not be created by %; session search will lack it', wanted, current_user;
    END;
  END LOOP;
END
$body$;

COMMIT;
\echo the database is owned by :owner, and :login acts as it
SQL
"""
)


# This ends every other login of the stack; the roles stay, for their next turn. Pods from before the rollout may still
# be finishing their work, so they keep their connections for as long as Kubernetes lets them live. Every statement can
# be repeated, and takes effect at once: a login that is thrown out must not come in again.
RETIRE_LOGINS = (
    _BEGIN_SQL
    + r"""\getenv login LOGIN_ROLE
\getenv logins LOGIN_ROLES
\getenv grace GRACE_SECONDS
SELECT set_config('access_graph.login', :'login', false), set_config('access_graph.logins', :'logins', false)
  \g /dev/null
DO $body$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_setting('access_graph.login') AND rolcanlogin) THEN
    RAISE EXCEPTION '% cannot log in, so that the other logins are left as they are',
      current_setting('access_graph.login') USING HINT = 'Let the access Job run again: delete it, and `up`.';
  END IF;
END
$body$;

SELECT count(*) FILTER (WHERE rolcanlogin) > 0 AS any_in_use, coalesce(string_agg(rolname, ' '), '') AS retired
  FROM pg_roles
  WHERE rolname = ANY (string_to_array(:'logins', ' ')) AND rolname <> :'login' \gset
\if :any_in_use
SELECT pg_sleep(:grace) \g /dev/null
\endif
SELECT format('ALTER ROLE %I WITH NOLOGIN PASSWORD NULL', rolname)
  FROM unnest(string_to_array(:'retired', ' ')) AS rolname \gexec
SELECT format('REVOKE rds_iam FROM %I', members.rolname)
  FROM pg_auth_members
  JOIN pg_roles AS members ON members.oid = pg_auth_members.member
  JOIN pg_roles AS granted ON granted.oid = pg_auth_members.roleid AND granted.rolname = 'rds_iam'
  WHERE members.rolname = ANY (string_to_array(:'retired', ' ')) \gexec
DO $body$
DECLARE
  session record;
BEGIN
  FOR session IN
    SELECT pid, usename FROM pg_stat_activity
    WHERE usename = ANY (string_to_array(current_setting('access_graph.logins'), ' '))
      AND usename <> current_setting('access_graph.login')
  LOOP
    BEGIN
      -- Waits for the end of a session for up to 5 seconds; one that has ended by itself is only warned of.
      PERFORM pg_terminate_backend(session.pid, 5000);
    EXCEPTION WHEN insufficient_privilege THEN
      RAISE WARNING 'a session of % may not be ended by %; it ends with its client', session.usename, current_user;
    END;
  END LOOP;
END
$body$;
\echo :login is the only login; retired: :retired
SQL
"""
)


def job_script(script: str, *, managed: bool) -> str:
    """A Job's whole shell script: first what gives `psql` the master password, then `script`.

    `managed`: the password is in the file that the init container fetched, not in the environment.
    """
    return (READ_MASTER_PASSWORD if managed else "") + script


def scram_verifier(password: str) -> str:
    """The form in which PostgreSQL stores `password` (RFC 5803): `SCRAM-SHA-256$4096:<salt>$<stored>:<server>`.

    The salt is derived from the password, so that the same password gives the same verifier and nothing changes between
    two runs. So the password must be random, of high entropy, and in ASCII (which SASLprep leaves unchanged). Raises
    `ValueError` for a password that is not ASCII or too short.
    """
    if not password.isascii() or len(password) < 24:
        raise ValueError("a login's password must be random ASCII of at least 24 characters")
    secret = password.encode("ascii")
    salt = hmac.digest(secret, b"teleport-access-graph login salt", "sha256")[:16]
    salted = hashlib.pbkdf2_hmac("sha256", secret, salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded_salt, stored, server = (base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded_salt}${stored}:{server}"
