"""cert-manager for the engine tests: its definitions, and a controller that does with them what cert-manager does.

Covers Certificate, Issuer and ClusterIssuer of kind CA, issuing, renewal and conditions. Leaves out CertificateRequest
and Order objects, other kinds of issuer, and key stores. The facts are of cert-manager 1.21: from its documents, and
from what its own controllers and webhook did in the same tests. Each module says which part it owns.
"""
