"""Ours, in process: the handler's own time for each event, which is what Lambda bills and a caller waits for.

Reads a plan as JSON from standard input (`bodies`, `seconds`, `warm_up`), prints its times as one line of JSON and
waits for standard input to close, so that its memory can be read.
"""

import json
import sys
import time
from itertools import cycle, islice

from built_handler import Context, answer, event, settle, tell

LABELS = 5
"""How many answers are shown, for the peers' to be held against."""


def main() -> None:
    """Call by call, as Lambda does: one at a time in one environment."""
    plan = json.loads(sys.stdin.readline())
    every = [event(body) for body in plan["bodies"]]
    first = [json.loads(answer(each, Context())["body"]) for each in every[:LABELS]]
    events = cycle(every)
    for each in islice(events, plan["warm_up"]):
        answer(each, Context())
    settle()
    times: list[float] = []
    failed = 0
    began, spent = time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) - began < plan["seconds"]:
        reply = answer(next(events), Context())
        times.append(time.perf_counter() - now)
        failed += reply["statusCode"] != 200
        settle()
    told = {"wall": time.perf_counter() - began, "cpu": time.process_time() - spent, "failed": failed}
    tell(json.dumps({"times": times, "first": first, **told}))
    sys.stdin.read()


if __name__ == "__main__":
    main()
