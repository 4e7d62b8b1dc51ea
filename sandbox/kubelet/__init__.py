"""A node on this machine: binds pods and runs each container as local processes.

`python -m sandbox.kubelet --home <home>`. What a real node does and this one does not: users and capabilities are not
enforced (a container runs as whoever started the sandbox), nor are a read-only root file system, memory and CPU limits,
or network policies; there is no exec, attach or port-forward; a container's file system is the machine's, except for
what is mounted.
"""
