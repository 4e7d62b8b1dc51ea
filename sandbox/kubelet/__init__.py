"""A node on this machine: binds pods and runs each container as local processes.

`python -m sandbox.kubelet --home <home>`. Unlike a real node, it does not enforce users and capabilities (a container
runs as whoever started the sandbox), read-only root file systems, memory and CPU limits, or network policies; there is
no exec, attach or port-forward; a container sees the machine's file system, except for its mounts.
"""
