"""The checks of `verify` and `preflight`, one module for each part of the stack.

`verify` proves what is deployed (endpoint, database, Teleport, values); `preflight` asks before an `up` (definitions,
namespace, where the certificate comes from). Both judge certificates by `certificate`.
"""
