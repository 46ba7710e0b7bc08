"""The Open Inference Protocol's own client, as it comes, against the real template in the local cloud."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from local.story import MODEL, Story

pytestmark = pytest.mark.e2e
TEXTS = ["I was charged twice for my invoice", "światło nie działa"]


class Triton:
    """The client with the deployment's API key, counting the rows that it asks."""

    def __init__(self, story: Story, client: InferenceServerClient) -> None:
        self.client = client
        self.headers = {"x-api-key": story.stack.api_key}
        self._story = story

    def infer(self, *texts: str, is_binary: bool = True, **options: Any) -> Any:
        tensor = InferInput("text", [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array(texts, np.object_), binary_data=is_binary)
        result = self.client.infer(MODEL, [tensor], headers=dict(self.headers), **options)
        self._story.asked += len(texts)
        return result


@pytest.fixture
def triton(story: Story) -> Iterator[Triton]:
    where = urlsplit(story.client.url)
    with InferenceServerClient(where.netloc + where.path, network_timeout=60) as client:
        yield Triton(story, client)


def test_health_is_open_and_everything_else_wants_the_key(triton: Triton) -> None:
    assert triton.client.is_server_live()
    assert triton.client.is_server_ready()
    with pytest.raises(InferenceServerException, match="Forbidden") as refusal:
        triton.client.get_server_metadata()
    assert refusal.value.status() == "403"
    assert "binary_tensor_data" in triton.client.get_server_metadata(headers=triton.headers)["extensions"]


def test_texts_are_answered_the_same_in_json_and_in_bytes(triton: Triton) -> None:
    answers = []
    for is_binary in (True, False):
        wanted = [InferRequestedOutput(name, binary_data=is_binary) for name in ("label", "probabilities")]
        result = triton.infer(*TEXTS, is_binary=is_binary, outputs=wanted)
        labels = [each.decode() if isinstance(each, bytes) else each for each in result.as_numpy("label").tolist()]
        answers.append((labels, result.as_numpy("probabilities").tolist()))

    assert answers[0] == answers[1]
    assert np.allclose(np.sum(answers[0][1], axis=1), 1, atol=1e-5)


def test_by_default_and_compressed_both_ways_the_answer_is_the_same(triton: Triton) -> None:
    plain = triton.infer(*TEXTS)
    for algorithm in ("gzip", "deflate"):
        packed = triton.infer(*TEXTS, request_compression_algorithm=algorithm, response_compression_algorithm=algorithm)
        assert np.array_equal(packed.as_numpy("probabilities"), plain.as_numpy("probabilities"))
        assert packed.as_numpy("label").tolist() == plain.as_numpy("label").tolist()


def test_a_version_an_alias_and_classes_are_served(triton: Triton, story: Story) -> None:
    live = triton.client.get_model_metadata(MODEL, "live", headers=triton.headers)["properties"]["version"]
    wanted = [InferRequestedOutput("probabilities", class_count=1)]

    for version in (live, "live"):
        result = triton.infer(TEXTS[0], model_version=version, outputs=wanted)
        (best,) = result.as_numpy("probabilities").ravel().tolist()
        score, position, label = best.decode().split(":")
        assert (result.get_response()["model_version"], result.as_numpy("probabilities").shape) == (live, (1, 1))
        assert 0 < float(score) <= 1
        metadata = triton.client.get_model_metadata(MODEL, headers=triton.headers)
        assert metadata["properties"]["labels"].split(",")[int(position)] == label


def test_answers_are_counted_and_models_listed(triton: Triton) -> None:
    counts = []
    for _ in range(10):  # each environment of the function counts its own, and there may be several
        version = triton.infer(TEXTS[0]).get_response()["model_version"]
        found = triton.client.get_inference_statistics(MODEL, version, headers=triton.headers)["model_stats"]
        counts += [(each["name"], each["version"], each["inference_count"]) for each in found]
    index = triton.client.get_model_repository_index(headers=triton.headers)

    assert {(name, number) for name, number, _ in counts} == {(MODEL, version)}
    assert max(count for *_, count in counts) > 0
    assert {"name": MODEL, "version": version, "state": "READY", "reason": ""} in index


def test_errors_carry_our_message(triton: Triton) -> None:
    with pytest.raises(InferenceServerException, match=f"no version '99' of '{MODEL}' here") as refusal:
        triton.infer(TEXTS[0], model_version="99")
    assert refusal.value.status() == "404"
    with pytest.raises(InferenceServerException, match="models come in immutable layers") as refusal:
        triton.client.load_model(MODEL, headers=triton.headers)
    assert refusal.value.status() == "501"
