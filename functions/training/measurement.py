"""What a trained model answers, and what the manifest tells of it: float and served on the same rows."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from pawl.classifier import TextClassifier
from pawl.dataset import FrozenDataset
from pawl.errors import InvalidDataset
from pawl.model import open_session
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from training.classifier import Classifier, pad
from training.evaluate import Floats, Latency, compare_latency, robustness, score, served_answers
from training.examples import batches
from training.export import GRAPH, Exported


def embed(classifier: Classifier, ids: list[list[int]], size: int = 8) -> Tensor:
    """Pooled embeddings of token id rows, in evaluation mode: (rows, hidden)."""
    classifier.eval()
    pooled = torch.empty(len(ids), classifier.head.in_features, device=classifier.centre.device)
    with torch.no_grad():
        for chosen in batches(ids, size):
            pooled[chosen] = classifier.embed(*pad([ids[row] for row in chosen], pooled.device))
    return pooled


def torch_answers(classifier: Classifier, ids: list[list[int]]) -> Floats:
    """The float model's probabilities of token id rows: (rows, labels)."""
    with torch.no_grad():
        logits = classifier.head(embed(classifier, ids))
        return torch.softmax(logits / classifier.temperature, dim=-1).double().numpy()


def measure(
    classifier: Classifier,
    model: TextClassifier,
    folder: Path,
    dataset: FrozenDataset,
    labels: list[str],
    tokenizer: Tokenizer,
    exported: Exported,
    seed: int,
) -> tuple[dict[str, Any], Profile]:
    """The manifest's metrics, and the reference profile: the served model's answers on rows not learned from."""
    metrics: dict[str, Any] = {"float": {}, "int8": {}, "int8_label_agreement": {}}
    profile: Profile | None = None
    for split in ("holdout", "recent"):
        if rows := dataset.splits.get(split):
            floats = torch_answers(classifier, [e.ids for e in tokenizer.encode_batch([row.text for row in rows])])
            served, features = served_answers(model, rows)
            metrics["float"][split] = score(rows, labels, floats)
            metrics["int8"][split] = score(rows, labels, served)
            agreement = float((floats.argmax(1) == served.argmax(1)).mean())
            metrics["int8_label_agreement"][split] = round(agreement, 4)
            profile = profile or Profile.of(features, FEATURE_RANGES)
    if profile is None:
        raise InvalidDataset("the holdout is empty: a model needs rows to be judged by")
    lost = metrics["float"]["holdout"]["accuracy"] - metrics["int8"]["holdout"]["accuracy"]
    latency = asdict(compare_served(classifier, classifier.encoder.config.vocab_size, folder / GRAPH, tokens=32))
    metrics |= {
        "int8_accuracy_lost_points": round(100 * lost, 2),
        "int8_speedup": round(latency["float_ms"] / latency["int8_ms"], 2),
        "latency": latency,
        "bytes_ratio": round(exported.int8_bytes / exported.float_bytes, 4),
        "robustness": robustness(model, dataset.splits["holdout"], seed),
    }
    return metrics, profile


def compare_served(
    network: Callable[[Tensor, Tensor], object], words: int, graph: Path, tokens: int, turns: int = 5, runs: int = 10
) -> Latency:
    """How long one row takes on one thread: a network of ids and mask, shape (1, tokens), against the served graph.

    `words` is how many different ids the network knows.
    """
    session = open_session(str(graph))
    ids = torch.arange(tokens)[None] % words  # (1, tokens)
    mask = torch.ones_like(ids)
    feed = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}

    def run_served() -> None:
        session.run(None, feed)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return compare_latency(tokens, lambda: network(ids, mask), run_served, turns, runs)
    finally:
        torch.set_num_threads(threads)
