"""The recipe for text embedders: a sentence encoder as the int8 graph that is served, pooled and normalized inside.

Nothing is trained. What the graph loses to int8 is measured on texts that its smoothing has not seen.

    encoder -> trimmed -> main directions -> graph -> cosine and latency beside the float graph -> bundle
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from pawl.bundle import Bundle, seal
from pawl.bundle import Tensor as Signature
from pawl.embedder import KIND, TextEmbedder
from pawl.errors import InvalidBundle, NotFound, UnsupportedRequest
from pawl.model import open_session
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from training import int8, starter
from training.card import write_embedder_card
from training.classifier import load_encoder, load_tokenizer, pad
from training.evaluate import compare_latency
from training.export import GRAPH, INPUTS, OPSET, TOLERANCE, WEIGHTS, fuse, optimize, trace
from training.origin import Origin
from training.precision import SCHEME, refine
from training.smoothing import largest_inputs, smooth
from training.trimming import trim

OUTPUTS = ["embedding", "projection"]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Knobs:
    """What may be turned; `scripts/bench quantization` does not, these are tried by hand."""

    max_tokens: int = 256
    """Longer texts are cut, where the model's own configuration does not cut earlier."""
    dimensions: int = 8
    """Main directions of the embeddings that the drift profile watches."""
    smoothing_rows: int = 128
    """Texts that the smoothing looks at."""
    measured_rows: int = 200
    """Other texts, by which the served graph is compared with the float one and its reference profile made."""
    seconds_tokens: int = 32
    """Tokens of the row whose latency is measured."""


class SentenceEncoder(nn.Module):
    """An encoder, mean pooling and normalizing; centre and directions are set once, from sample texts."""

    centre: Tensor
    directions: Tensor

    def __init__(self, encoder: PreTrainedModel, dimensions: int) -> None:
        super().__init__()
        hidden: int = encoder.config.hidden_size
        self.encoder = encoder
        self.register_buffer("centre", torch.zeros(hidden))
        self.register_buffer("directions", torch.zeros(hidden, dimensions))

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors of ids and mask (rows, tokens): (rows, hidden)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)  # (rows, tokens, 1)
        return nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding (rows, hidden) and projection (rows, dimensions)."""
        embedding = self.embed(input_ids, attention_mask)
        return embedding, (embedding - self.centre) @ self.directions


def package(source: str, origin: Origin, knobs: Knobs, folder: Path) -> Bundle:
    """Leave a sealed bundle of the sentence encoder that `source` names in the empty `folder`."""
    network = SentenceEncoder(_load(source), knobs.dimensions).eval().requires_grad_(False)
    max_tokens = min(knobs.max_tokens, _longest(source, network.encoder))
    tokenizer = load_tokenizer(source, max_tokens)
    rows = starter.read_rows(starter.ROWS.read_text(encoding="utf-8").splitlines())
    network, kept = trim(network, tokenizer, max_tokens)
    tokenizer = kept.tokenizer
    texts = [row.text for row in rows]
    sample = texts[:: math.ceil(len(texts) / knobs.smoothing_rows)]
    held = [text for text in texts if text not in set(sample)]
    held = held[:: math.ceil(len(held) / knobs.measured_rows)]
    ids = [encoding.ids for encoding in tokenizer.encode_batch(sample)]
    set_directions(network, ids)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    with TemporaryDirectory() as scratch:
        floats = export(network, ids, folder, Path(scratch))
        about: dict[str, Any] = {
            "name": origin.name,
            "version": origin.version,
            "kind": KIND,
            "created_at": origin.created_at,
            "inputs": [Signature("text", "BYTES", [-1])],
            "outputs": [Signature("embedding", "FP32", [-1, network.encoder.config.hidden_size])],
            "labels": [],
            "max_tokens": max_tokens,
            "quantization": {
                "method": "dynamic",
                "weights": "int8",
                "activations": "uint8",
                "per_channel": True,
                "smoothed": True,
                "blocks": {**asdict(SCHEME), "of": "feed-forward outputs; feed-forward inputs of the lower half"},
                "optimized_for": "any CPU",
                "onnxruntime": ort.__version__,
            },
            "lineage": origin.lineage(),
        }
        served = TextEmbedder(seal(folder, **about, metrics={}))  # sealed for the measuring; sealed again below
        metrics, reference = measure(network, served, tokenizer, held)
        metrics |= time_answers(floats, folder / GRAPH, knobs.seconds_tokens)
        served_bytes = sum((folder / name).stat().st_size for name in (GRAPH, WEIGHTS))
        metrics["bytes_ratio"] = round(served_bytes / (floats.stat().st_size + 4 * kept.values), 4)
    (folder / "reference.json").write_text(reference.to_json(), encoding="utf-8")
    write_embedder_card(folder / "card.md", about, metrics)
    return seal(folder, **about, metrics=metrics)


def set_directions(network: SentenceEncoder, ids: list[list[int]]) -> None:
    """Set centre and main directions of the embeddings of token id rows, scaled to unit variance there."""
    vectors = torch.cat([network.embed(*pad([row], torch.device("cpu"))) for row in ids]).double()
    centre = vectors.mean(0)
    _, spread, basis = torch.linalg.svd(vectors - centre, full_matrices=False)
    deviation = spread / math.sqrt(max(1, len(vectors) - 1))
    count = min(network.directions.shape[1], int((deviation > 1e-6).sum()))
    chosen = basis[:count]
    signs = chosen.gather(1, chosen.abs().argmax(1, keepdim=True)).sign()
    network.centre.copy_(centre)
    network.directions[:, :count] = (chosen * signs / deviation[:count, None]).T.to(network.directions)


def export(network: SentenceEncoder, ids: list[list[int]], folder: Path, scratch: Path, opset: int = OPSET) -> Path:
    """Write the served graph into `folder`; the float one, in `scratch`, is returned.

    InvalidBundle when the float graph disagrees with torch.
    """
    ends = sorted(ids, key=len)
    example = pad([ends[-1], ends[0], ends[len(ends) // 2]], torch.device("cpu"))
    stages = ("traced", "fused", "refined", "quantized")
    traced, fused, refined, quantized = (scratch / f"{stage}.onnx" for stage in stages)
    trace(smooth(network, ids), example, OUTPUTS, traced, opset)
    fuse(network.encoder.config, traced, fused)
    session = ort.InferenceSession(str(fused), providers=["CPUExecutionProvider"])
    (got,) = session.run(OUTPUTS[:1], {name: each.numpy() for name, each in zip(INPUTS, example, strict=True)})
    difference = float(np.abs(got - network.embed(*example).numpy()).max())
    if difference > TOLERANCE:
        raise InvalidBundle(f"{GRAPH}: the float graph is off from torch by {difference:.2g}, want {TOLERANCE} at most")
    model = onnx.load(fused)
    queries = {
        name: part
        for name, part in network.encoder.named_modules()
        if name.endswith(".self.query") and isinstance(part, nn.Linear)
    }
    largest = [each.numpy() for each in largest_inputs(network, queries, ids).values()]
    refine(model.graph, network.encoder.config.intermediate_size, largest)
    onnx.save(model, refined)
    int8.quantize(refined, quantized)
    optimize(quantized, folder / GRAPH)
    return fused


def measure(
    network: SentenceEncoder, served: TextEmbedder, tokenizer: Any, texts: list[str]
) -> tuple[dict[str, Any], Profile]:
    """Cosines of the served embeddings to torch's, one text at a time, and the profile of the served answers."""
    cosines: list[float] = []
    columns: dict[str, list[Any]] = {}
    for text in texts:
        (wanted,) = network.embed(*pad([tokenizer.encode(text).ids], torch.device("cpu"))).numpy()
        answer = served.predict({"text": [text]})
        cosines.append(float(np.dot(wanted, answer.outputs["embedding"][0])))
        for name, column in answer.features().items():
            columns.setdefault(name, []).extend(column)
    metrics = {
        "texts": len(texts),
        "cosine_mean": round(float(np.mean(cosines)), 5),
        "cosine_min": round(min(cosines), 5),
    }
    return metrics, Profile.of(columns, FEATURE_RANGES)


def time_answers(floats: Path, served: Path, tokens: int) -> dict[str, Any]:
    """Median latency of one row on one thread, the float graph by turns with the served one."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    reference = ort.InferenceSession(str(floats), options, providers=["CPUExecutionProvider"])
    session = open_session(str(served))
    feed = {"input_ids": np.arange(tokens)[None] % 1000, "attention_mask": np.ones((1, tokens), np.int64)}

    def run_float() -> None:
        reference.run(None, feed)

    def run_served() -> None:
        session.run(None, feed)

    return {"latency": asdict(compare_latency(tokens, run_float, run_served))}


def _load(source: str) -> PreTrainedModel:
    try:
        encoder = load_encoder(source)
    except (OSError, ValueError) as error:
        raise NotFound(
            f"{source!r} is neither a folder with an encoder nor one that the Hugging Face hub gives out here "
            f"({type(error).__name__})"
        ) from error
    if not _is_mean_pooled(source):
        raise UnsupportedRequest(f"{source!r} pools its tokens otherwise than by their mean: only that is packaged")
    return encoder


def _is_mean_pooled(source: str) -> bool:
    """Whether sentence-transformers' own configuration, if the folder has one, asks for the mean."""
    file = Path(source) / "1_Pooling" / "config.json"
    if not file.is_file():
        return True
    modes = {name for name, is_on in json.loads(file.read_text()).items() if name.startswith("pooling_mode") and is_on}
    return modes <= {"pooling_mode_mean_tokens", "mean"}


def _longest(source: str, encoder: PreTrainedModel) -> int:
    file = Path(source) / "sentence_bert_config.json"
    positions: int = encoder.config.max_position_embeddings
    return min(positions, json.loads(file.read_text())["max_seq_length"]) if file.is_file() else positions
