"""`python -m training`: the Batch image's command line. Time, ids and the environment are read here and nowhere below.

    python -m training starter   --output DIR [--only MODEL]
    python -m training transfer  --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]
    python -m training automl    --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]
    python -m training reward    --model NAME --version N --dataset URI --output URI --run ID [--parent models:/NAME/N]
    python -m training align     --model NAME --version N --dataset URI --output URI --run ID --live URI [--reward URI]
    python -m training recalibrate --model NAME --version N --dataset URI --output URI --run ID --live URI
    python -m training generator SOURCE --model NAME [--version N] --output URI
    python -m training embedder  SOURCE --model NAME [--version N] --output URI
    python -m training tensors   SOURCE --model NAME [--version N] --output URI [--data FILE] [--quantize WAY]

A URI is a local folder or `s3://bucket/prefix`. The bundle's manifest is stored last: its arrival announces the rest.
Under torchrun every process runs the same command, and the first alone stores. A training that is cut off goes on from
its checkpoint when the same command runs again: in the bucket under `checkpoints/`, else in `<output>.checkpoint/`.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence

import torch
import transformers

from pawl.identity import isoformat
from training.arguments import parser
from training.commands import COMMANDS


def main(arguments: Sequence[str], environment: Mapping[str, str], now_ms: int) -> None:
    """Run the recipe that the command line names."""
    options = parser().parse_args(arguments)
    _prepare(environment)
    code = options.code or environment.get("PAWL_CODE_REVISION", "unknown")
    COMMANDS[options.recipe](options, code, isoformat(now_ms))


def _prepare(environment: Mapping[str, str]) -> None:
    """Leave a core to others unless told otherwise: threads wait for one another, so a shared core slows them all."""
    if "OMP_NUM_THREADS" not in environment:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    torch.backends.cudnn.deterministic = True
    transformers.utils.logging.disable_progress_bar()


if __name__ == "__main__":
    main(sys.argv[1:], os.environ, time.time_ns() // 1_000_000)
