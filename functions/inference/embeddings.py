"""OpenAI's embeddings over an embedder: each input a vector of length one, as numbers or as base64.

Its Python client asks for base64 unless told otherwise: little-endian float32, a third of the digits.
"""

import time
from base64 import b64encode
from dataclasses import dataclass
from functools import partial

import numpy as np

from inference.fields import HINTS, Fields
from inference.names import open_named, parse_name
from inference.oip import parse_object
from inference.service import Call, Reply, Service, timed
from inference.tensors import to_json
from pawl.bundle import Tensor
from pawl.model import Answer, Array, Features, Model
from pawl.records import CaptureRecord

KIND = "text-embedder"
_FIELDS = {"model", "input", "encoding_format", "dimensions", *HINTS}


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A checked request; `dimensions` None: as many as the model has."""

    model: str
    texts: list[str]
    is_base64: bool
    dimensions: int | None
    user: str = ""


def parse_embedding(body: str | bytes, row_limit: int) -> EmbeddingRequest:
    """The request in `body`, for at most `row_limit` texts; RefusedField names what is wrong."""
    fields = Fields(parse_object(body, 'want {"model": ..., "input": ...}'))
    fields.check_names(_FIELDS, {})
    fields.check_hints()
    model = parse_name(fields)
    texts = fields.texts("input")
    if not texts:
        raise fields.refuse("input", "want a string or a list of strings; token ids are not offered here")
    if len(texts) > row_limit:
        raise fields.refuse("input", f"{len(texts)} texts: want 1 to {row_limit} in one request")
    form = fields.text("encoding_format")
    if form not in (None, "float", "base64"):
        raise fields.refuse("encoding_format", "want float or base64")
    return EmbeddingRequest(model, texts, form == "base64", fields.whole("dimensions", 1, 1 << 20), fields.user())


def embed(service: Service, body: str | bytes, call: Call) -> Reply:
    """The reply to the request in `body`; the answer is counted and captured on the way."""
    request = parse_embedding(body, service.row_limit)
    model = open_embedder(service, request)
    began = time.perf_counter_ns()
    try:
        answer = service.run(model, {"text": request.texts}, {})
    except Exception:
        service.statistics.count_failure(model.manifest, time.perf_counter_ns() - began)
        raise
    return reply(service, request, model, call, answer, time.perf_counter_ns() - began)


def open_embedder(service: Service, request: EmbeddingRequest) -> Model:
    """The model that a request asks; RefusedField where it is none that embeds, or has other dimensions."""
    model = open_named(service, request.model, KIND)
    size = model.manifest.outputs[0].shape[-1]
    if request.dimensions not in (None, size):
        raise Fields({}).refuse("dimensions", f"{model.manifest.name} has {size}: leave it out", "unsupported_value")
    return model


def reply(service: Service, request: EmbeddingRequest, model: Model, call: Call, answer: Answer, took_ns: int) -> Reply:
    """The reply to a request whose model has answered, and which is counted and captured with it."""
    manifest, texts = model.manifest, request.texts
    payload = "\0".join(texts).encode()
    inference_id, unix_ms = service.receipt(manifest, len(texts), payload, call)
    service.statistics.count_success(manifest, len(texts), took_ns, unix_ms, answer.run)
    features = timed(answer.features(), len(texts), took_ns)
    service.record(partial(_captured, inference_id, unix_ms, model, texts, features), len(payload), request.user)
    tokens = sum(features["tokens"])
    rows = np.asarray(answer.outputs["embedding"], "<f4")
    vectors = [_write(manifest.outputs[0], row, request.is_base64) for row in rows]
    data = ",".join(f'{{"object":"embedding","index":{i},"embedding":{vectors[i]}}}' for i in range(len(rows)))
    return Reply(
        200,
        f'{{"object":"list","data":[{data}],"model":"{manifest.name}@{manifest.version}",'
        f'"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}},"id":"{inference_id}"}}',
    )


def _write(tensor: Tensor, row: Array, is_base64: bool) -> str:
    return f'"{b64encode(row.tobytes()).decode()}"' if is_base64 else to_json(tensor, row)


def _captured(inference_id: str, unix_ms: int, model: Model, texts: list[str], features: Features) -> CaptureRecord:
    """The texts and what the profile counts; a vector can be computed again."""
    manifest = model.manifest
    return CaptureRecord(inference_id, manifest.name, manifest.version, unix_ms, {"text": texts}, {}, features)
