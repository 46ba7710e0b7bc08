"""How fast a generator's bundle goes on with a text, and how near that is to what the memory can deliver.

A token needs every weight once, so reading them from memory bounds its time from below. The bound is measured in turns
with the text, in the same process: the highest of a 256 MB array of float32, larger than any cache, by `numpy.max` on
one core. Both sides of the ratio are the thread's CPU time, so that a neighbour on the machine costs neither.
"""

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.figures import Figure
from pawl.bundle import open_bundle
from pawl.generator import TextGenerator
from pawl.sampling import Sampling
from training.scales import GIVEN

TOKENS = 64
ROUNDS = 7
PROBE_BYTES = 256 * 2**20
PASSES = 3
PROMPT = "Once upon a time, in a little town by the sea, there lived a parrot who wanted to know everything."
TICKET: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"type": "string", "maxLength": 20},
        "category": {"enum": ["billing", "technical", "account access"]},
        "priority": {"type": "integer", "minimum": 1, "maximum": 5},
        "needs_human": {"type": "boolean"},
        "summary": {"type": "string", "maxLength": 60},
    },
    "required": ["customer", "category", "priority", "needs_human", "summary"],
    "additionalProperties": False,
}
MULTIPLICATIONS = ("MatMul", "MatMulNBits", "Gemm")


def measure(folder: Path) -> list[Figure]:
    """The figures of the generator in a bundle's folder, on one thread."""
    bundle = open_bundle(folder)
    generator = TextGenerator(bundle, threads=1)
    weights = weight_bytes(folder / "model.onnx")
    memory = np.ones(PROBE_BYTES // 4, np.float32)  # written, for untouched pages are all one page
    rounds = [(*_decode(generator), _bandwidth(memory)) for _ in range(ROUNDS + 1)][1:]
    rate = statistics.median(wall for wall, _, _ in rounds)
    ratio = statistics.median(weights * cpu / bandwidth for _, cpu, bandwidth in rounds)
    speed = statistics.median(bandwidth for _, _, bandwidth in rounds) / 1e9
    bound = f"of {speed:.1f} GB/s from memory by one core, {weights / 1e6:.0f} MB of weights a token"
    apart, together, free = (statistics.median(each) for each in zip(*_json_rounds(generator), strict=True))
    return [
        Figure(
            "decode_tokens_per_s", rate, "tok/s", f"one thread, greedy, {TOKENS} tokens, sampling and text included"
        ),
        Figure("decode_vs_bandwidth", ratio, "x", bound, 0.6, "higher"),
        Figure(
            "json_speedup",
            apart / together,
            "x",
            f"JSON by a schema, {free:.0%} of its tokens chosen, against one by one",
        ),
    ]


def weight_bytes(path: Path) -> int:
    """The bytes of the weights that a graph multiplies by, as they are stored: what every token must read at least.

    Of an embedding it reads one row. Scales are stored as half of what the graph declares.
    """
    graph = onnx.load(path, load_external_data=False).graph
    used = {name for node in graph.node if node.op_type in MULTIPLICATIONS for name in node.input[1:]}
    return sum(_size(tensor) for tensor in graph.initializer if tensor.name in used)


def _size(tensor: Any) -> int:
    whole = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    is_given = any((each.key, each.value) == ("location", GIVEN) for each in tensor.external_data)
    return whole // 2 if is_given else whole


def _decode(generator: TextGenerator) -> tuple[float, float]:
    """Tokens a second of wall time and of CPU time: a text less one of a single token, which costs its prompt."""
    prompt = generator.text_ids(PROMPT)
    one, many = (Sampling(temperature=0, max_tokens=count) for count in (1, 1 + TOKENS))
    generator.generate(prompt, one)
    start, cpu_start = time.perf_counter(), time.thread_time()
    generator.generate(prompt, one)
    middle, cpu_middle = time.perf_counter(), time.thread_time()
    count = generator.generate(prompt, many).token_count - 1
    end, cpu_end = time.perf_counter(), time.thread_time()
    return count / ((end - middle) - (middle - start)), count / ((cpu_end - cpu_middle) - (cpu_middle - cpu_start))


def _json_rounds(generator: TextGenerator) -> Iterator[tuple[float, float, float]]:
    """Seconds a token of an object by a schema, one by one and with those run together that must follow, in turns.

    Log probabilities are told of each token, and so it is run alone. And the share of the tokens that are chosen.
    """
    prompt = generator.text_ids(PROMPT)
    sampling = Sampling(temperature=0, json_schema=TICKET)
    for _ in range(ROUNDS + 1):
        times: list[float] = []
        for one in (replace(sampling, top_logprobs=0), sampling):
            start = time.perf_counter()
            done = generator.generate(prompt, one)
            times.append((time.perf_counter() - start) / done.token_count)
        yield times[0], times[1], sum(not token.is_forced for token in done.tokens) / done.token_count


def _bandwidth(memory: np.ndarray[Any, Any]) -> float:
    """Bytes a second of CPU time, in the best of a few passes."""
    times: list[float] = []
    for _ in range(PASSES):
        start = time.thread_time()
        memory.max()
        times.append(time.thread_time() - start)
    return memory.nbytes / min(times)
