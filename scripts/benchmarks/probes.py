"""What a measured process runs: `python probes.py MODE FOLDER [ROUTE PROMPT]` prints one JSON object and ends.

It runs under the functions' own interpreter with nothing but a built artifact and its layers on the path, so it may
import only the standard library at the top. Modes: `bare` and `cold` measure process start to first prediction, the
first with numpy, onnxruntime and tokenizers alone, the second through the Lambda handler on a route of `ASKED`, where
`bare` is given the prompt that the handler makes of the question; `warm` measures many calls of
the handler, `floor` many of the least that such an answer takes; `steady` times whole calls, `threaded` the same with
as many threads as onnxruntime would take, `alone` the graph's runs with nothing around them.
"""

import json
import os
import sys
import time

TEXTS = (
    "where is my parcel, it should have arrived on monday",
    "the app keeps crashing whenever i open the energy chart on my phone, what can i do about that please",
    "please cancel my plan at the end of this month",
)


INFER = "/v2/models/{model}/infer"
QUESTION = [{"role": "user", "content": TEXTS[0]}]
ASKED = {
    INFER: {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXTS[0]]}]},
    "/v1/embeddings": {"model": "embed", "input": TEXTS[0]},
    "/v1/completions": {"model": "assistant", "prompt": TEXTS[0], "max_tokens": 1},
    "/v1/chat/completions": {"model": "assistant", "messages": QUESTION, "max_tokens": 1},
}


def event(text: str) -> dict:
    """An API Gateway event that asks for one text."""
    return post(INFER, {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]})


def post(route: str, body: dict) -> dict:
    """An API Gateway event of a route."""
    return {
        "httpMethod": "POST",
        "resource": route,
        "pathParameters": {"model": "triage"},
        "body": json.dumps(body),
        "isBase64Encoded": False,
        "headers": {},
    }


class Context:
    """The part of Lambda's context that the handler reads."""

    function_version = "1"
    aws_request_id = "bench"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


def bare(folder: str, route: str = INFER, prompt: str = TEXTS[0]) -> dict:
    """The stack by itself: the budgets are ratios to this."""
    import numpy
    from tokenizers import Tokenizer

    session = _bare_session(folder)
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    ids = numpy.array([tokenizer.encode(prompt).ids], numpy.int64)
    feed = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
    if os.path.exists(f"{folder}/generation.json"):
        with open(f"{folder}/generation.json") as file:
            about = json.load(file)
        empty = numpy.zeros((1, about["kv_heads"], 0, about["head_size"]), numpy.float32)
        feed |= {each.name: empty for each in session.get_inputs() if each.name not in feed}
    session.run([session.get_outputs()[0].name], feed)
    return spent()


def cold(folder: str, route: str = INFER, prompt: str = "") -> dict:
    """The real thing: the built artifact's handler, digests checked, receipt signed, answer rendered."""
    from inference.app import handler

    reply = handler(post(route, ASKED[route]), Context())
    assert reply["statusCode"] == 200, reply
    return spent()


def spent() -> dict:
    """CPU milliseconds of this process so far."""
    return {"cpu_ms": time.process_time() * 1000}


def warm(folder: str, calls: int = 3000) -> dict:
    """Microseconds of the handler less the time inside `session.run`, call by call."""
    app = _app()
    model = app.service.engine.get("triage")
    session = _TimedSession(model._session)
    model._session = session
    events = [event(text) for text in TEXTS]
    overheads = sorted(_overheads(app, session, events, calls))
    session.is_remembered = True
    hot = sorted(_overheads(app, session, events, calls))
    return {"p50_us": overheads[calls // 2], "p99_us": overheads[calls * 99 // 100], "hot_p50_us": hot[calls // 2]}


def steady(folder: str, calls: int = 3000) -> dict:
    """Microseconds of whole calls of the handler."""
    app = _app()
    return _whole(app, calls)


def threaded(folder: str, calls: int = 3000) -> dict:
    """The same where the session takes as many threads as it likes, and lets them spin, as onnxruntime's default is."""
    import onnxruntime

    app = _app()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    app.service.engine.get("triage")._session = session
    return _whole(app, calls)


def alone(folder: str, calls: int = 3000) -> dict:
    """Microseconds of the session's runs on one text, with nothing in between: how even the machine itself is."""
    import numpy
    from tokenizers import Tokenizer

    session = _bare_session(folder)
    ids = numpy.array([Tokenizer.from_file(f"{folder}/tokenizer.json").encode(TEXTS[0]).ids], numpy.int64)
    feed = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
    session.run(["probabilities"], feed)
    spent_us = []
    for _ in range(calls):
        began = time.perf_counter_ns()
        session.run(["probabilities"], feed)
        spent_us.append((time.perf_counter_ns() - began) / 1000)
    return _p50_p99(spent_us)


def _bare_session(folder: str):
    """A session of one thread over a graph that is optimized already, by onnxruntime alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if os.path.exists(f"{folder}/scales.safetensors"):
        scales = _scales(f"{folder}/scales.safetensors")
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in scales.values()]
        options.add_external_initializers(list(scales), values)
    return onnxruntime.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])


def _scales(file: str) -> dict:
    import numpy

    with open(file, "rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        values = numpy.frombuffer(opened.read(), numpy.float16).astype(numpy.float32)
    places = {name: (about["data_offsets"], about["shape"]) for name, about in header.items()}
    return {name: values[start // 2 : end // 2].reshape(shape) for name, ((start, end), shape) in places.items()}


def _p50_p99(spent_us: list) -> dict:
    spent_us.sort()
    return {"p50_us": spent_us[len(spent_us) // 2], "p99_us": spent_us[len(spent_us) * 99 // 100]}


def _app():
    """The handler's module with its model open. Records go nowhere, and when `flush` says so, as on Lambda.

    There an extension flushes once a reply has left. Where there is none, capture waits 5 ms for more: in turns with
    calls the processor would be idle for so long, and the next run takes up to twice as long after that.
    """
    from inference import app

    app.capture._delivery = lambda bodies: list(bodies)
    app.capture.wake = lambda: None
    app.handler(event(TEXTS[0]), Context())
    return app


def _whole(app, calls: int) -> dict:
    """p50 and p99 of whole calls that ask for one text; records leave between them."""
    asked, spent_us = event(TEXTS[0]), []
    for _ in range(calls):
        began = time.perf_counter_ns()
        reply = app.handler(asked, Context())
        spent_us.append((time.perf_counter_ns() - began) / 1000)
        del reply  # its record leaves now, as on Lambda once the runtime has posted the reply
        app.capture.flush(1)
    return _p50_p99(spent_us)


def floor(folder: str, calls: int = 3000) -> dict:
    """Microseconds of the least that any such handler does, less the time inside `session.run`, call by call.

    Read the JSON, tokenize, softmax, one MAC over the text, write the JSON: no check, no record, no statistics.
    """
    import hmac

    import numpy
    from tokenizers import Tokenizer

    session = _TimedSession(_bare_session(folder))
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")

    def answer(asked: dict) -> dict:
        text = json.loads(asked["body"])["inputs"][0]["data"][0]
        ids = numpy.array([tokenizer.encode(text).ids], numpy.int64)
        (told,) = session.run(["probabilities"], {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})
        mac = hmac.digest(b"k" * 32, text.encode(), "sha256").hex()
        tensor = {"name": "probabilities", "datatype": "FP32", "shape": list(told.shape), "data": told[0].tolist()}
        body = json.dumps({"model_name": "triage", "model_version": "1", "id": mac, "outputs": [tensor]})
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": body}

    events = [event(text) for text in TEXTS]
    spent_us = []
    for call in range(calls):
        session.spent_ns = 0
        began = time.perf_counter_ns()
        answer(events[call % len(events)])
        spent_us.append((time.perf_counter_ns() - began - session.spent_ns) / 1000)
    return _p50_p99(spent_us)


def _overheads(app, session, events: list, calls: int, together: int = 100) -> list:
    """Microseconds of each call of the handler, less those inside the session.

    Capturing begins when a reply is let go, on Lambda by the runtime that has posted it: here they are kept, and a
    hundred records leave between one call and the next, so that no thread is woken within a measured call.
    """
    overheads, replies = [], []
    for call in range(calls):
        session.spent_ns = 0
        began = time.perf_counter_ns()
        replies.append(app.handler(events[call % len(events)], Context()))
        overheads.append((time.perf_counter_ns() - began - session.spent_ns) / 1000)
        if len(replies) == together:
            replies.clear()
            app.capture.flush(1)
    return overheads


class _TimedSession:
    """A session that counts its time; `is_remembered`: it answers what it has answered before without running."""

    def __init__(self, session) -> None:
        self._session = session
        self._known = {}
        self.spent_ns = 0
        self.is_remembered = False

    def run(self, names, feed):
        began = time.perf_counter_ns()
        key = feed["input_ids"].shape
        result = self._known[key] if self.is_remembered else self._session.run(names, feed)
        self._known[key] = result
        self.spent_ns += time.perf_counter_ns() - began
        return result


if __name__ == "__main__":
    modes = {mode.__name__: mode for mode in (bare, cold, warm, floor, steady, alone, threaded)}
    print(json.dumps(modes[sys.argv[1]](*sys.argv[2:])), flush=True)
    os._exit(0)
