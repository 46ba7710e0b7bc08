"""Peer: FastAPI + uvicorn[standard] with torch, the way most tutorials serve a classifier.

`python fastapi_torch.py PORT BUNDLE ENCODER`. A bundle holds no float weights, so this is the network that the served
graph was made from with other numbers in it: the pretrained MiniLM, mean pooling, a head of as many labels. The work
is the same; the answers are not, and are not compared. `def`, not `async def`: a model that computes in the event loop
would keep every other connection waiting.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from protocol import PATH, reply
from pydantic import BaseModel
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModel


class Tensor(BaseModel):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str]


class Request(BaseModel):
    """The body of a request."""

    inputs: list[Tensor]


class Classifier(nn.Module):
    """Encoder, mean pooling, linear head."""

    def __init__(self, encoder: str, labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(encoder, dtype=torch.float32)
        self.head = nn.Linear(self.encoder.config.hidden_size, labels)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Probabilities (rows, labels) of ids and mask (rows, tokens)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * mask).sum(1) / mask.sum(1)
        return torch.softmax(self.head(pooled), dim=-1)


def build(bundle: Path, encoder: str) -> FastAPI:
    """The application with its model loaded."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(manifest["max_tokens"])
    tokenizer.enable_padding()
    classifier = Classifier(encoder, len(manifest["labels"])).eval()
    app = FastAPI()

    @app.post(PATH)
    def infer(request: Request) -> dict[str, Any]:
        encodings = tokenizer.encode_batch(request.inputs[0].data)
        with torch.inference_mode():
            probabilities = classifier(
                torch.tensor([each.ids for each in encodings]),
                torch.tensor([each.attention_mask for each in encodings]),
            )
        return reply([manifest["labels"][i] for i in probabilities.argmax(1)], probabilities)

    return app


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    application = build(Path(sys.argv[2]), sys.argv[3])
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
