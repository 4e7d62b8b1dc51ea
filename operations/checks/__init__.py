"""What `verify` and `preflight` look at, one module for each side.

`verify` proves what is deployed (endpoint, database, Teleport, values), `preflight` asks before an `up` (definitions,
namespace, where the certificate comes from); both judge a certificate by `certificate`.
"""
