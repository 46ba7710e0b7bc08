"""Broken requests through the built handler: `python fuzz.py COUNT SEED` prints what came of them as JSON.

A generator's answer is cut after a fraction of a second, since a broken request may ask for the whole context.
"""

import json
import sys
import time
import traceback
from collections import Counter

from built_handler import Context, answer, settle, tell
from fuzzing import events

SECONDS = 1.5


def main() -> None:
    """Counts by status; a status of 5xx and an exception are kept with what they were about."""
    statuses: Counter[str] = Counter()
    failures: list[str] = []
    slowest_s = 0.0
    for number, event in enumerate(events(int(sys.argv[1]), int(sys.argv[2]))):
        began = time.perf_counter()
        try:
            status = answer(event, Context(SECONDS))["statusCode"]
        except Exception:
            status = "raised"
            failures.append(f"{number} {event['resource']}: {traceback.format_exc(limit=-3)}")
        if isinstance(status, int) and status >= 500 and status != 501:
            failures.append(f"{number} {event['resource']}: {status}")
        statuses[str(status)] += 1
        slowest_s = max(slowest_s, time.perf_counter() - began)
        settle()
    tell(json.dumps({"statuses": statuses, "failures": failures, "slowest_s": slowest_s}))


if __name__ == "__main__":
    main()
