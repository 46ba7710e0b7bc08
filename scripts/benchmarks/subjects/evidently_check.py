"""Peer: Evidently's data drift preset on two tables of the same make as ours. `python evidently_check.py ROWS COLUMNS`.

Prints one line of JSON: the processor seconds of the report, the columns it judged, and its peak memory in MB.
"""

import json
import os
import sys
import time
import warnings

# It would otherwise tell its makers about each call.
os.environ["DO_NOT_TRACK"] = "1"
warnings.simplefilter("ignore")

import evidently  # noqa: E402
import pandas  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402
from tables import tables  # noqa: E402


def main() -> None:
    """One report, as its users make it."""
    rows, columns = map(int, sys.argv[1:])
    reference, recent = (pandas.DataFrame(table) for table in tables(rows, columns))
    began = time.process_time()
    report = evidently.Report([DataDriftPreset()]).run(recent, reference)
    found = report.dict()["metrics"]
    took = time.process_time() - began
    with open("/proc/self/status", encoding="ascii") as status:
        peak = int(status.read().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": took, "columns": len(found) - 1, "peak_mb": peak}))


if __name__ == "__main__":
    main()
