"""`python -m training.nodes`: a recipe on every instance and GPU that a Batch job of several nodes has, by torchrun.

    python -m training.nodes reward --model NAME ...        the command is that of `python -m training`

Batch tells the main node's address to all others and not to itself, where the meeting point is: it is reached as this
very machine. Without what Batch tells, it is one node.
"""

import os
import sys
from collections.abc import Mapping, Sequence

PORT = 29500
"""Where the nodes meet; within what the template lets them reach of each other."""


def torchrun(arguments: Sequence[str], environment: Mapping[str, str], processes: int) -> list[str]:
    """The command that starts this node's processes; the two dashes keep torchrun from reading what is not for it.

    >>> batch = {"AWS_BATCH_JOB_NUM_NODES": "2", "AWS_BATCH_JOB_NODE_INDEX": "1"}
    >>> batch["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = "10.0.0.7"
    >>> " ".join(torchrun(["reward"], batch, 1)[2:8])
    'torch.distributed.run --nnodes 2 --node-rank 1 --master-addr'
    """
    places = {
        "--nnodes": environment.get("AWS_BATCH_JOB_NUM_NODES", "1"),
        "--node-rank": environment.get("AWS_BATCH_JOB_NODE_INDEX", "0"),
        "--master-addr": environment.get("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", "127.0.0.1"),
        "--master-port": str(PORT),
        "--nproc-per-node": str(processes),
    }
    told = [word for place in places.items() for word in place]
    return [sys.executable, "-m", "torch.distributed.run", *told, "--module", "--", "training", *arguments]


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Become torchrun, so that signals and the exit status are its own."""
    import torch

    command = torchrun(arguments, environment, max(1, torch.cuda.device_count()))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
