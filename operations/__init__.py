"""What looks at the live world: preflight, adopt, recover, verify, diagnose; what a preview says: comment, drift.

The former work wherever a kubeconfig reaches. The Pulumi program itself is `components`; nothing here changes what it declares.
"""
