"""cert-manager for the engine tests: its definitions, and a controller that does with them what cert-manager does.

Owned here: Certificate, Issuer and ClusterIssuer of kind CA, issuing, renewal, conditions. Left out: CertificateRequest
and Order objects, other kinds of issuer, key stores. Facts are of cert-manager 1.21: of its documents, and of what its
own controllers and webhook did in the same tests. Every module says what of them it has.
"""
