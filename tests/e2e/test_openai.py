"""OpenAI's own client, as it comes but for base URL and key header, against the real template in the local cloud."""

from collections.abc import Iterator

import httpx
import pytest
from openai import NotFoundError, OpenAI

from local.story import Story

pytestmark = pytest.mark.e2e
SAY = [{"role": "user", "content": "Name three birds."}]


@pytest.fixture
def client(story: Story) -> Iterator[OpenAI]:
    headers = {"x-api-key": story.stack.api_key}
    with OpenAI(
        base_url=f"{story.client.url}/v1", api_key="unused", default_headers=headers, timeout=60, max_retries=0
    ) as client:
        yield client


def test_the_assistant_answers_and_the_same_seed_gives_the_same_text(client: OpenAI) -> None:
    first, again = (
        client.chat.completions.create(model="assistant", messages=SAY, max_tokens=24, seed=5)  # type: ignore[arg-type]
        for _ in range(2)
    )

    assert first.choices[0].message.content
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.usage and 0 < first.usage.completion_tokens <= 24
    assert first.model == "assistant@1"


def test_a_stream_is_the_whole_answer_in_pieces(client: OpenAI) -> None:
    asked = {"model": "assistant", "messages": SAY, "max_tokens": 16, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    pieces = list(client.chat.completions.create(**asked, stream=True))

    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_like_texts_have_like_embeddings(client: OpenAI) -> None:
    texts = ["where is my parcel?", "my package has not arrived", "how do I bake bread?"]
    rows = [each.embedding for each in client.embeddings.create(model="embed", input=texts).data]

    likeness = [sum(a * b for a, b in zip(rows[0], row, strict=True)) for row in rows]
    assert likeness[0] == pytest.approx(1, abs=1e-3)
    assert likeness[1] > likeness[2] + 0.2


def test_an_answers_id_takes_feedback(client: OpenAI, story: Story) -> None:
    answer = client.chat.completions.create(model="assistant", messages=SAY, max_tokens=4)  # type: ignore[arg-type]

    reply = httpx.post(
        f"{story.client.url}/feedback",
        json={"metric_name": "thumbs_up", "value": True, "inference_id": answer.id, "dryrun": True},
        headers={"x-api-key": story.stack.api_key},
        timeout=60,
    )

    assert reply.status_code == 200, reply.text


def test_the_models_are_listed_and_an_unknown_one_is_not_found(client: OpenAI) -> None:
    assert {model.id for model in client.models.list()} >= {"assistant", "embed", "triage"}
    with pytest.raises(NotFoundError, match="parrot"):
        client.embeddings.create(model="parrot", input="x")
