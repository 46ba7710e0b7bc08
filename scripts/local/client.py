"""A client of the public API, as an app would be: plain HTTP with an API key."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any


class RequestRefused(Exception):
    """The API answered with an error; `status` and the message are its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Prediction:
    """One text's answer."""

    text: str
    label: str
    confidence: float
    version: str
    inference_id: str


class Client:
    """Asks one deployment for predictions and gives feedback on them."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json", "x-api-key": api_key}

    def predict(self, model: str, texts: Sequence[str], row_limit: int = 16, version: str = "") -> list[Prediction]:
        """Predictions for texts, `row_limit` of them a request, two requests at a time; `version` may be an alias."""
        route = f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"
        chunks = [texts[start : start + row_limit] for start in range(0, len(texts), row_limit)]
        with ThreadPoolExecutor(2) as pool:
            return [each for answers in pool.map(lambda chunk: self._predict(route, chunk), chunks) for each in answers]

    def give_feedback(self, inference_id: str, metric: str, value: Any, rater: str = "agent-1") -> str:
        """Give one piece of feedback and return its id."""
        return self.post("/feedback", feedback_body(inference_id, metric, value, rater))["feedback_id"]

    def give_all_feedback(self, items: Sequence[dict[str, Any]]) -> int:
        """Give many pieces of feedback, a hundred a request; returns how many were accepted."""
        replies = [
            self.post("/feedback/bulk", {"items": list(items[start : start + 100])})["items"]
            for start in range(0, len(items), 100)
        ]
        return sum("feedback_id" in item for reply in replies for item in reply)

    def get(self, path: str) -> Any:
        """GET a route; RequestRefused when the API refuses it."""
        return self._open(urllib.request.Request(self.url + path, headers=self._headers))

    def post(self, path: str, body: Any) -> Any:
        """POST a JSON body; RequestRefused when the API refuses it."""
        return self._open(urllib.request.Request(self.url + path, json.dumps(body).encode(), self._headers))

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise RequestRefused(error.code, error.read().decode("utf-8", "replace")) from error

    def _predict(self, route: str, texts: Sequence[str]) -> list[Prediction]:
        tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
        reply = self.post(route, {"inputs": [tensor]})
        outputs = {output["name"]: output for output in reply["outputs"]}
        width = outputs["probabilities"]["shape"][1]
        flat = outputs["probabilities"]["data"]
        return [
            Prediction(
                text,
                label,
                max(flat[row * width : (row + 1) * width]),
                reply["model_version"],
                reply["parameters"]["inference_id"],
            )
            for row, (text, label) in enumerate(zip(texts, outputs["label"]["data"], strict=True))
        ]


def feedback_body(inference_id: str, metric: str, value: Any, rater: str) -> dict[str, Any]:
    """One piece of feedback as the API takes it."""
    return {"metric_name": metric, "value": value, "inference_id": inference_id, "tags": {"rater": rater}}
