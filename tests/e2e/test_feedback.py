"""A file of feedback on the real template in the local cloud: it counts, and enough of it is announced."""

import json
from typing import Any

import httpx
import pytest

from local.story import Story

pytestmark = pytest.mark.e2e
ENOUGH = 500
"""The template's `ReadyFeedback`."""
FILE = "inbox/feedback/raters.jsonl"


def test_a_dropped_file_of_feedback_counts_and_when_it_is_enough_it_is_announced_once(story: Story) -> None:
    announced = listen(story, "FeedbackReady")
    answer = httpx.post(
        f"{story.client.url}/v1/embeddings",
        json={"model": "embed", "input": "where is my parcel?"},
        headers={"x-api-key": story.stack.api_key},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    inference_id = answer.json()["id"]
    rows = [
        {"metric_name": "demonstration", "value": f"text {n}", "inference_id": inference_id, "tags": {"rater": f"r{n}"}}
        for n in range(ENOUGH + 7)
    ]
    rows.insert(3, {**rows[3], "inference_id": inference_id[:-1] + "?"})
    story.stack.bucket.write(FILE, "".join(json.dumps(row) + "\n" for row in rows).encode())

    events = story.wait("the feedback is announced", 120, lambda: received(story, announced))
    assert [(event["detail"]["subject"], event["source"]) for event in events] == [("embed", "pawl.feedback")]
    assert events[0]["detail"]["data"]["version"] == "1"

    def faults() -> list[str]:
        return list(story.stack.bucket.keys(f"{FILE}.errors/"))

    (found,) = story.wait("the refused row is written beside the file", 60, faults)
    assert json.loads(story.stack.bucket.read(found))["line"] == 4
    assert received(story, announced) == []


def listen(story: Story, event: str) -> str:
    """The URL of a queue that gets every event of a type from now on."""
    sqs, events = story.stack.client("sqs"), story.stack.client("events")
    url = sqs.create_queue(QueueName=f"heard-{event}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bus = story.stack.outputs["EventBus"]
    events.put_rule(Name=f"hear-{event}", EventBusName=bus, EventPattern=json.dumps({"detail-type": [event]}))
    events.put_targets(Rule=f"hear-{event}", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    return url


def received(story: Story, queue: str) -> list[Any]:
    """What a queue has got since it was last asked."""
    sqs = story.stack.client("sqs")
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]
