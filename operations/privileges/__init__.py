"""The rights that those who run the program need, and no more: IAM policies and Kubernetes RBAC, per purpose and stack.

Two tables, of AWS types and of Kubernetes types, say which rights each resource takes; the documents are made from them
and from a stack's settings. Pure: only `held` asks a cluster.
"""
