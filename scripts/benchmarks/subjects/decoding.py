"""How long a generator takes, the same way for each: to its first token, and to its last, on prompts never seen before.

CPU time: one thread computes and nobody waits, so it is the time taken, less what a neighbour on the machine costs.

Reads a plan as JSON from standard input (`prompts`: token ids, `new_tokens`), prints its times as one line of JSON and
waits for standard input to close, so that its memory can be read. A prompt asked twice would be answered from a cache.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence

Generate = Callable[[Sequence[int], int], int]
"""Goes on greedily after prompt ids by at most so many tokens; returns how many came."""


def measure(generate: Generate) -> None:
    """Alternate between one token and many, the first pair to warm up."""
    plan = json.loads(sys.stdin.readline())
    firsts: list[float] = []
    wholes: list[tuple[float, int]] = []
    for number, prompt in enumerate(plan["prompts"]):
        wanted = plan["new_tokens"] if number % 2 else 1
        began = time.process_time()
        count = generate(prompt, wanted)
        spent = time.process_time() - began
        if number < 2:
            continue
        if wanted == 1:
            firsts.append(spent)
        else:
            wholes.append((spent, count))
    print(json.dumps({"firsts": firsts, "wholes": wholes}), flush=True)
    sys.stdin.read()
