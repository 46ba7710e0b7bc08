"""Ours on the tables of `tables.py`: `python pawl_check.py ROWS COLUMNS`.

Prints one line of JSON: the processor seconds of profiling the recent rows, as happens while they come in, and of the
check, which reads both profiles from JSON and never a row; the columns it judged, and its peak memory in MB.
"""

import json
import sys
import time

from tables import tables

from drift.judgement import compare
from pawl.profile import Profile


def main() -> None:
    """One window profiled and judged."""
    rows, columns = map(int, sys.argv[1:])
    old, new = tables(rows, columns)
    reference = Profile.of(old)
    began = time.process_time()
    recent = Profile.like(reference)
    recent.update(new)
    profiled = time.process_time()
    texts = reference.to_json(), recent.to_json()
    read = time.process_time()
    found = compare(*map(Profile.from_json, texts))
    judged = time.process_time()
    with open("/proc/self/status", encoding="ascii") as status:
        peak = int(status.read().split("VmHWM:")[1].split()[0]) / 1024
    columns = sum(each.column in old for each in found)
    told = {"profile_s": profiled - began, "check_s": judged - read, "columns": columns, "peak_mb": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
