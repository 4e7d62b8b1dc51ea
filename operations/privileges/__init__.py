"""What those who run the program need, and no more: IAM policies and Kubernetes RBAC for each purpose and stack.

Two tables, one of AWS's types and one of Kubernetes', say what each resource of the program takes; the documents are
made of them and of a stack's settings. Pure: `held` alone asks a cluster.
"""
