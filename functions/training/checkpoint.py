"""A decoder to be packaged: a Hugging Face folder, a name on the hub, or a folder with a GGUF file.

All three go one way: a GGUF file is first spread out into the folder that it was made from.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from pawl.errors import NotFound, UnsupportedRequest
from training.ggml import FAMILIES, spread
from training.likeness import Cache

ENDS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>")
"""Control tokens that end a text wherever a vocabulary has them, named in the configuration or not."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A Hugging Face folder with float weights, and what its configuration says about texts."""

    folder: Path
    tokenizer: Tokenizer
    chat_template: str | None
    bos_token: str | None
    eos_token: str | None
    eos_ids: list[int]
    cache: Cache
    positions: int
    """How many positions the model was trained on."""
    stored_as: str
    """What the weights were before they became floats, such as `float32` or `GGUF Q4_1`."""

    def model(self) -> PreTrainedModel:
        """The float model, in evaluation mode."""
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()


def open_checkpoint(source: str, scratch: Path) -> Checkpoint:
    """The checkpoint that `source` names; what has to be unpacked goes into the folder `scratch`.

    NotFound when there is none, UnsupportedRequest when it is none that can be packaged.
    """
    path = Path(source)
    if path.is_dir() and not (path / "config.json").is_file():
        path = _spread(_gguf_in(path), scratch / "checkpoint")
    elif path.suffix == ".gguf" and path.is_file():
        path = _spread(path, scratch / "checkpoint")
    elif not path.is_dir():
        path = _download(source)
    return _read(path)


def _download(name: str) -> Path:
    wanted = ["*.json", "*.jinja", "*.safetensors", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["*/*"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NotFound(
            f"{name!r} is neither a folder with config.json or a .gguf file nor a model that the Hugging Face hub "
            f"gives out here ({type(error).__name__})"
        ) from error


def _read(folder: Path) -> Checkpoint:
    config = _json(folder / "config.json")
    if config.get("model_type") not in FAMILIES:
        wanted = " or ".join(FAMILIES)
        raise UnsupportedRequest(f"{folder.name} is of type {config.get('model_type')!r}: want {wanted}")
    if not (folder / "tokenizer.json").is_file():
        raise UnsupportedRequest(f"{folder.name} has no tokenizer.json: save its fast tokenizer there")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    about = _json(folder / "tokenizer_config.json")
    template = folder / "chat_template.jinja"
    chat_template = template.read_text(encoding="utf-8") if template.is_file() else about.get("chat_template")
    if isinstance(chat_template, list):  # several by name; the one for plain conversations
        chat_template = next((each["template"] for each in chat_template if each["name"] == "default"), None)
    bos, eos = (_token(about.get(name)) for name in ("bos_token", "eos_token"))
    ids = _eos_ids(tokenizer, eos, [_json(folder / "generation_config.json"), config])
    if not ids:
        raise UnsupportedRequest(f"{folder.name} names no token that ends a text: set eos_token_id in config.json")
    heads = config["num_attention_heads"]
    cache = Cache(
        config["num_hidden_layers"],
        config.get("num_key_value_heads") or heads,
        config.get("head_dim") or config["hidden_size"] // heads,
        config["vocab_size"],
    )
    positions = config["max_position_embeddings"]
    stored_as = config.get("stored_as") or config.get("dtype") or config.get("torch_dtype") or "float32"
    return Checkpoint(folder, tokenizer, chat_template, bos, eos, ids, cache, positions, stored_as)


def _eos_ids(tokenizer: Tokenizer, eos: str | None, configs: Iterable[dict[str, Any]]) -> list[int]:
    found = {tokenizer.token_to_id(token) for token in (*ENDS, eos) if token}
    for config in configs:
        ids = config.get("eos_token_id")
        found |= set(ids) if isinstance(ids, list) else {ids}
    return sorted(each for each in found if each is not None)


def _token(value: Any) -> str | None:
    """A token of `tokenizer_config.json`: a string, or an object that holds one."""
    return value["content"] if isinstance(value, dict) else value


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _gguf_in(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise NotFound(f"{folder.name} has no config.json and {len(files)} .gguf files: want one of the two")
    return files[0]


def _spread(path: Path, folder: Path) -> Path:
    spread(path, folder)
    return folder
