"""`python coldstart.py FOLDER < question.json`: open the bundle, answer once, and print how long that took.

A program of its own, started anew for each run. Time counts from the start of the process, as Linux knows it, so the
interpreter and all imports are in it.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path


def main(folder: str, question: dict[str, list[object]]) -> None:
    """Print milliseconds since this process began, and the most memory that it held, in MB."""
    import numpy as np

    from pawl.bundle import open_bundle
    from pawl.model import open_model
    from pawl.tensors import NUMPY

    bundle = open_bundle(Path(folder))
    kinds = {tensor.name: NUMPY.get(tensor.datatype) for tensor in bundle.manifest.inputs}
    columns = {name: np.array(column, kinds[name]) if kinds[name] else column for name, column in question.items()}
    open_model(bundle).predict(columns)
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ms": round(milliseconds_since_start(), 3), "mb": round(mb, 1)}))


def milliseconds_since_start() -> float:
    """How long this process has existed, by the kernel's account (proc(5), field 22), exact to its clock tick."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - began) * 1000


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
