"""What looks at the live world: preflight, adopt, recover, verify, diagnose. Works on any cluster that kubeconfig reaches.

The Pulumi program itself is `components`; nothing here changes what it declares.
"""
