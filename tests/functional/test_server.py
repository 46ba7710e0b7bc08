"""The container server as a process of its own on loopback, asked by the real clients of its protocols."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import onnx
import openai
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import yaml
from onnx import TensorProto, helper
from prometheus_client.parser import text_string_to_metric_families
from tests.functional.generators import seal_generator
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from artifacts.signing import KeyFile, make_key, sign_folder
from inference.listener import open_socket
from inference.tensors import DTYPES
from pawl.bundle import Bundle, Lineage, Tensor, seal
from pawl.receipt import ReceiptKeys
from pawl.records import CaptureRecord

ROOT = Path(__file__).parents[2]
KEY = "key-for-the-tests"
KEYED = {"x-api-key": KEY}
SECRET = "1:" + "s" * 32
FREE_PORTS = {"HTTP_PORT": "0", "GRPC_PORT": "0"}
SAID = [{"role": "user", "content": "hello"}]
NUMBERS = [name for name in DTYPES if name != "BOOL"]
ONNX: dict[str, int] = {
    "BOOL": TensorProto.BOOL,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    **{f"{sign}INT{bits}": getattr(TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
pb2: Any = service_pb2


class Process:
    """A running server: where it listens, and what it has said so far."""

    def __init__(self, models: Path, **settings: str) -> None:
        path = f"{ROOT / 'functions'}:{ROOT / 'layers' / 'core'}"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        defaults = {**FREE_PORTS, "OMP_NUM_THREADS": "1", "LINGER_S": "0", "ALLOW_UNSIGNED": "true"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inference.server", "--models", str(models)],
            env={**kept, "PYTHONPATH": path, **defaults, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Process":
        def is_up() -> bool:
            assert self._process.poll() is None, self.lines
            return any("http_port" in line for line in self.lines)

        wait_until(is_up)
        told = next(json.loads(line) for line in self.lines if "http_port" in line)
        self.ports: dict[str, int] = {name: port for name, port in told.items() if name.endswith("_port")}
        self.http, self.grpc = f"127.0.0.1:{told['http_port']}", f"127.0.0.1:{told['grpc_port']}"
        self.url = f"http://{self.http}"
        wait_until(lambda: self.get("/v2/health/ready").status_code == 200 or "ERROR" in "".join(self.lines))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.ends()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=KEYED, timeout=30)

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(self.url + path, headers=KEYED, json=body, timeout=30)

    def signal(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def ends(self) -> int:
        """The exit status, once the process has ended."""
        code = self._process.wait(30)
        self._reader.join(10)
        assert self._process.stdout
        self._process.stdout.close()
        return code

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line)

    def in_flight(self) -> float:
        return self.metrics()[("pawl_requests_in_flight",)]

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Each sample by its name and its labels' values in alphabetical order of the labels."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


def wait_until(is_so: Callable[[], bool], within_s: float = 60) -> None:
    ends = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, starter: Bundle, make_bundle: Callable[..., Bundle]) -> Path:
    """Two versions of a classifier, a generator, and models that give back a tensor of each datatype."""
    folder = tmp_path_factory.mktemp("models")
    for version, bundle in {"1": starter, "2": make_bundle("2", "any", right=[])}.items():
        target = folder / "triage" / version
        target.mkdir(parents=True)
        for path in bundle.path.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
    seal_generator(folder / "parrot" / "1")
    seal_echo(folder / "echo" / "1", list(ONNX))
    seal_echo(folder / "typed" / "1", list(CONTENTS))
    return folder


def seal_echo(folder: Path, datatypes: list[str]) -> None:
    folder.mkdir(parents=True)
    borders = [
        [helper.make_tensor_value_info(f"{end}_{name}", ONNX[name], ["n", 2]) for name in datatypes]
        for end in ("in", "out")
    ]
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in datatypes]
    graph = helper.make_graph(nodes, "echo", *borders)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(folder / "model.onnx")
    )
    seal(
        folder,
        name=folder.parent.name,
        version="1",
        kind="tensors",
        created_at="2026-07-14T09:00:00.000Z",
        inputs=[Tensor(f"in_{name}", name, [-1, 2]) for name in datatypes],
        outputs=[Tensor(f"out_{name}", name, [-1, 2]) for name in datatypes],
        labels=[],
        max_tokens=0,
        quantization={},
        metrics={},
        lineage=Lineage("run-1", "none", None, "none", "Apache-2.0", "tests"),
    )


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Process]:
    with Process(models, API_KEYS=KEY, RECEIPT_KEYS=SECRET) as process:
        yield process
        assert not [line for line in process.lines if "ERROR" in line or "Traceback" in line]


@pytest.fixture(scope="module")
def triton(server: Process) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server: Process) -> Iterator[Any]:
    """The protocol's bare client, for what Triton's never sends."""
    with grpc.insecure_channel(server.grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def ask_openai(server: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


def infer_text(*texts: str) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}]}


def values_of(datatype: str) -> Any:
    """Two rows that hold the datatype's extremes."""
    if datatype == "BYTES":
        return np.array([["", "a"], ["größer", "猫 🦜"]], object)
    if datatype == "BOOL":
        return np.array([[True, False], [False, True]])
    dtype = np.dtype(DTYPES[datatype])
    about = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([[about.min, about.max], [0, 1]], dtype)


# ---- HTTP


def test_tritons_http_client_finds_the_server_and_its_models(server: Process) -> None:
    with triton_http.InferenceServerClient(server.http) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("triage", "1", headers=KEYED)
        assert client.get_server_metadata(headers=KEYED)["name"] == "pawl"
        assert client.get_model_metadata("triage", headers=KEYED)["versions"] == ["1", "2"]
        assert [each["name"] for each in client.get_model_repository_index(headers=KEYED)] == [
            "echo",
            "parrot",
            "triage",
            "triage",
            "typed",
        ]


def test_tritons_http_client_is_answered_in_binary(server: Process) -> None:
    text = triton_http.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"refund"], object))
    with triton_http.InferenceServerClient(server.http) as client:
        answer = client.infer("triage", [text], "1", headers=dict(KEYED))  # it adds to them

    assert answer.as_numpy("label").tolist() == [b"billing"]
    assert answer.as_numpy("probabilities").tolist() == pytest.approx(np.array([[0.8, 0.1, 0.1]]), abs=1e-6)


def test_receipts_of_all_protocols_are_the_deployments_own(
    server: Process,
    triton: triton_grpc.InferenceServerClient,
    ask_openai: openai.OpenAI,
    keys: ReceiptKeys,
    now_ms: int,
) -> None:
    text = triton_grpc.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"refund"], object))
    ids = [
        server.post("/v2/models/triage/infer", infer_text("refund")).json()["id"],
        triton.infer("triage", [text], headers=KEYED).get_response().id,
        ask_openai.chat.completions.create(model="parrot", messages=SAID, max_tokens=2).id,
    ]

    receipts = [keys.verify(each, now_ms=now_ms, valid_days=1) for each in ids]

    assert [(each.model, each.model_version) for each in receipts] == [
        ("triage", "2"),
        ("triage", "2"),
        ("parrot", "1"),
    ]
    assert receipts[0].input_digest == receipts[1].input_digest


def test_a_body_over_the_limit_is_refused_in_the_protocols_form(server: Process) -> None:
    replies = [
        httpx.post(f"{server.url}{path}", headers=KEYED, content=bytes(6_000_001), timeout=30)
        for path in ("/v2/models/triage/infer", "/v1/embeddings")
    ]

    assert [reply.status_code for reply in replies] == [413, 413]
    assert replies[0].json() == {"error": "the body is too large: want at most 6000000 bytes"}
    assert replies[1].json()["error"]["message"] == "the body is too large: want at most 6000000 bytes"


def test_a_body_over_the_limit_that_hides_its_length_is_refused_too(server: Process) -> None:
    reply = httpx.post(
        f"{server.url}/v2/models/triage/infer", headers=KEYED, content=(bytes(100_000) for _ in range(61)), timeout=30
    )

    assert reply.status_code == 413


def test_bodies_on_their_way_are_held_only_up_to_a_limit_and_given_up_when_their_client_leaves(models: Path) -> None:
    path, body = "/v2/models/triage/infer", bytes(600_000)
    with Process(models, BODY_BYTES="1000000") as process:

        def held() -> float:
            return process.metrics()[("pawl_held_body_bytes",)]

        with posting(process, path, body, 700_000):
            wait_until(lambda: held() == 600_000)
            with posting(process, path, body, 700_000) as refused:
                assert refused.recv(1000).startswith(b"HTTP/1.1 429 ")
            assert process.post(path, infer_text("refund")).status_code == 200
            assert held() == 600_000
        wait_until(lambda: held() == 0)
        wait_until(lambda: ("pawl_requests_total", "", "rest", "499", "") in process.metrics())


def test_without_the_key_only_health_is_answered(server: Process) -> None:
    paths = ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models", "/metrics", "/v1/models", "/v2/models/triage"]

    assert [httpx.get(server.url + path).status_code for path in paths] == [200, 200, 401, 401, 401, 401, 401]


# ---- OpenAI


def test_the_openai_client_gets_the_same_text_in_one_piece_and_as_a_stream(ask_openai: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "parrot", "messages": SAID, "seed": 3, "max_tokens": 40}
    whole = ask_openai.chat.completions.create(**asked)
    chunks = list(ask_openai.chat.completions.create(**asked, stream=True))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert len(chunks) > 20


def test_the_first_piece_of_a_stream_arrives_before_the_last_is_computed_and_leaving_ends_it(
    server: Process, ask_openai: openai.OpenAI
) -> None:
    def finished() -> int:
        stats = server.get("/v2/models/parrot/stats").json()["model_stats"][0]["inference_stats"]
        return stats["success"]["count"]

    before = finished()
    with ask_openai.chat.completions.create(model="parrot", messages=SAID, n=8, temperature=0, stream=True) as stream:
        first = next(iter(stream))
        assert first.choices[0].index == 0
        assert finished() == before  # eight texts of a thousand tokens are counted when the last has ended
    # The client has gone: the generator is free for another.
    answer = ask_openai.chat.completions.create(model="parrot", messages=SAID, max_tokens=3)

    assert answer.usage and answer.usage.completion_tokens == 3
    wait_until(lambda: server.in_flight() == 0)


ENDLESS = "a b c d"
"""A text that the generator goes on with for as long as it may."""
LONG = {
    "/v2/models/parrot/infer": {**infer_text(*64 * [ENDLESS]), "parameters": {"max_tokens": 1000, "temperature": 0}},
    "/v1/completions": {"model": "parrot", "prompt": 64 * [ENDLESS], "max_tokens": 1000, "temperature": 0},
}


@contextmanager
def posting(server: Process, path: str, body: bytes, length: int) -> Generator[socket.socket]:
    """A client that sends a body of so many bytes, as far as it goes, and leaves in the end."""
    host, _, port = server.http.partition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nx-api-key: {KEY}\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(head.encode() + body)
        yield connection


@contextmanager
def asking(server: Process, path: str) -> Generator[None]:
    """A client that has asked for long texts, and leaves in the end."""
    body, before = json.dumps(LONG[path]).encode(), server.in_flight()
    with posting(server, path, body, len(body)):
        wait_until(lambda: server.in_flight() == before + 1)
        yield


@pytest.mark.parametrize("path", LONG)
def test_a_client_that_leaves_frees_the_generator_whether_its_text_is_made_or_waits_for_its_turn(
    server: Process, path: str
) -> None:
    with asking(server, path):
        with asking(server, path):
            assert server.in_flight() == 2
        wait_until(lambda: server.in_flight() == 1, within_s=1)
    wait_until(lambda: server.in_flight() == 0, within_s=1)

    protocol = "rest" if path.startswith("/v2") else "openai"
    assert server.metrics()[("pawl_requests_total", "parrot", protocol, "499", "1")] == 2


def test_many_streams_at_once_all_come_to_their_end(server: Process) -> None:
    """More streams than Python's usual threads: those that wait for their turn leave one to the text that has it."""

    def stream(seed: int) -> str:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
            asked = client.chat.completions.create(
                model="parrot", messages=SAID, seed=seed, max_tokens=5, temperature=0, stream=True
            )
            return [chunk.choices[0].finish_reason for chunk in asked][-1] or ""

    with ThreadPoolExecutor(48) as pool:
        assert set(pool.map(stream, range(48))) == {"length"}


def test_the_openai_client_is_told_that_its_key_is_wrong(server: Process) -> None:
    with (
        openai.OpenAI(
            base_url=f"{server.url}/v1", api_key="another-key-of-somebody", max_retries=0, timeout=60
        ) as client,
        pytest.raises(openai.AuthenticationError, match="want an API key"),
    ):
        client.models.list()


# ---- gRPC


def test_tritons_grpc_client_finds_the_server_and_its_models(triton: triton_grpc.InferenceServerClient) -> None:
    assert triton.is_server_live() and triton.is_server_ready()
    assert [triton.is_model_ready(*which, headers=KEYED) for which in (("triage",), ("triage", "3"), ("nobody",))] == [
        True,
        False,
        False,
    ]
    about = triton.get_server_metadata(headers=KEYED, as_json=True)
    assert (about["name"], "statistics" in about["extensions"]) == ("pawl", True)
    about = triton.get_model_metadata("triage", "1", headers=KEYED, as_json=True)
    assert (about["versions"], about["platform"]) == (["1", "2"], "onnx_onnxv1")
    assert about["outputs"][1] == {"name": "probabilities", "datatype": "FP32", "shape": ["-1", "3"]}
    index = triton.get_model_repository_index(headers=KEYED, as_json=True)
    assert {(each["name"], each["version"], each["state"]) for each in index["models"]} == {
        ("echo", "1", "READY"),
        ("parrot", "1", "READY"),
        ("triage", "1", "READY"),
        ("triage", "2", "READY"),
        ("typed", "1", "READY"),
    }


@pytest.mark.parametrize(("version", "label"), [("", b"account"), ("1", b"billing"), ("live", b"account")])
def test_a_version_or_an_alias_answers_over_grpc(
    triton: triton_grpc.InferenceServerClient, version: str, label: bytes
) -> None:
    text = triton_grpc.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"refund"], object))

    answer = triton.infer("triage", [text], version, headers=KEYED, request_id="ticket-1")

    assert answer.as_numpy("label").tolist() == [label]
    assert answer.get_response().id == "ticket-1"
    assert answer.get_response().parameters["inference_id"].string_param.startswith("1.")


def test_only_the_outputs_asked_for_come_back_and_classes_when_wanted(
    triton: triton_grpc.InferenceServerClient,
) -> None:
    text = triton_grpc.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"refund"], object))
    wanted = [triton_grpc.InferRequestedOutput("probabilities", class_count=2)]

    answer = triton.infer("triage", [text], "1", outputs=wanted, headers=KEYED)

    assert answer.as_numpy("label") is None
    assert answer.as_numpy("probabilities").tolist() == [[b"0.800000:0:billing", b"0.100000:1:account"]]


def test_every_datatype_comes_back_unaltered_as_raw_contents(triton: triton_grpc.InferenceServerClient) -> None:
    inputs: list[triton_grpc.InferInput] = []
    for name in ONNX:
        tensor = triton_grpc.InferInput(f"in_{name}", [2, 2], name)
        tensor.set_data_from_numpy(values_of(name))
        inputs.append(tensor)

    answer = triton.infer("echo", inputs, headers=KEYED)

    for name in (*NUMBERS, "BOOL"):
        values = answer.as_numpy(f"out_{name}")
        assert (values.dtype, values.tolist()) == (values_of(name).dtype, values_of(name).tolist()), name
    texts = [text.decode() for text in answer.as_numpy("out_BYTES").ravel()]
    assert texts == values_of("BYTES").ravel().tolist()


def typed_request(model: str, datatypes: Iterable[str], **contents: list[Any]) -> Any:
    """A request with typed contents: the datatypes' extremes, but for those given."""
    request = pb2.ModelInferRequest(model_name=model)
    for name in datatypes:
        tensor = request.inputs.add(name=f"in_{name}", datatype=name, shape=[2, 2])
        values = contents.get(name, values_of(name).ravel().tolist())
        if name in CONTENTS:
            values = [each.encode() if isinstance(each, str) else each for each in values]
            getattr(tensor.contents, CONTENTS[name]).extend(values)
    return request


def call(method: Any, request: Any) -> Any:
    return method(request, metadata=[("x-api-key", KEY)], timeout=30)


def test_typed_contents_of_a_text_are_answered_by_typed_contents(stub: Any) -> None:
    request = pb2.ModelInferRequest(model_name="triage", model_version="1")
    request.inputs.add(name="text", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"refund", b"hello"])

    response = call(stub.ModelInfer, request)

    assert list(response.raw_output_contents) == []
    assert list(response.outputs[0].contents.bytes_contents) == [b"billing", b"other"]
    assert list(response.outputs[1].contents.fp32_contents) == pytest.approx([0.8, 0.1, 0.1, 0.1, 0.1, 0.8], abs=1e-6)


def test_half_precision_has_no_typed_contents_and_the_message_says_what_has(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        call(stub.ModelInfer, typed_request("echo", ONNX))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.value.details() == "input 'in_FP16': FP16 has no contents, send raw_input_contents"


def test_every_other_datatype_comes_back_unaltered_as_typed_contents(stub: Any) -> None:
    request = typed_request("typed", CONTENTS)

    response = call(stub.ModelInfer, request)

    assert [output.datatype for output in response.outputs] == list(CONTENTS)
    assert [output.contents for output in response.outputs] == [tensor.contents for tensor in request.inputs]
    assert [list(output.shape) for output in response.outputs] == len(CONTENTS) * [[2, 2]]


def _raw(request: Any) -> Any:
    for name in ONNX:
        values = values_of(name)
        texts = [text.encode() for text in values.ravel()] if name == "BYTES" else []
        raw = b"".join(struct.pack("<I", len(text)) + text for text in texts) or values.tobytes()
        request.raw_input_contents.append(raw)
    return request


def _without_contents(request: Any) -> Any:
    for tensor in request.inputs:
        tensor.ClearField("contents")
    return request


def _one_raw_too_few(request: Any) -> Any:
    request = _raw(_without_contents(request))
    del request.raw_input_contents[-1]
    return request


def _in_the_wrong_field(request: Any) -> Any:
    request.inputs[0].contents.int_contents.append(1)
    return request


def _unknown_output(request: Any) -> Any:
    request = _raw(_without_contents(request))
    request.outputs.add(name="nothing")
    return request


def _short(request: Any) -> Any:
    request = _raw(_without_contents(request))
    request.raw_input_contents[1] = b"\0"
    return request


def _shared_memory(request: Any) -> Any:
    request = _raw(_without_contents(request))
    request.inputs[0].parameters["shared_memory_region"].string_param = "region"
    return request


@pytest.mark.parametrize(
    ("spoil", "code", "why"),
    [
        (_raw, "INVALID_ARGUMENT", "want either raw_input_contents or contents in each input, not both"),
        (_one_raw_too_few, "INVALID_ARGUMENT", "12 raw_input_contents for 13 inputs: want one for each"),
        (_in_the_wrong_field, "INVALID_ARGUMENT", "input 'in_BOOL': want BOOL in bool_contents"),
        (_unknown_output, "INVALID_ARGUMENT", "no output 'nothing'"),
        (_short, "INVALID_ARGUMENT", "'in_FP16' has 1 bytes: FP16 of shape [2, 2] takes 8"),
        (_shared_memory, "UNIMPLEMENTED", "shared memory is not offered here"),
    ],
)
def test_a_bad_request_is_refused_with_rests_own_words(
    stub: Any, spoil: Callable[[Any], Any], code: str, why: str
) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        call(stub.ModelInfer, spoil(typed_request("echo", ONNX)))

    assert failure.value.code().name == code
    assert failure.value.details().startswith(why)


@pytest.mark.parametrize(("name", "value"), [("INT8", 128), ("INT16", -40_000), ("UINT8", 256)])
def test_a_number_out_of_its_datatypes_range_is_refused_not_wrapped(stub: Any, name: str, value: int) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        call(stub.ModelInfer, typed_request("typed", CONTENTS, **{name: [value, 0, 0, 0]}))

    assert failure.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.value.details() == f"input 'in_{name}' holds a number that is not in {name}"


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda client: client.get_model_metadata("nobody", headers=KEYED), "NOT_FOUND"),
        (lambda client: client.get_model_metadata("triage", "9", headers=KEYED), "NOT_FOUND"),
        (lambda client: client.get_inference_statistics("nobody", headers=KEYED), "NOT_FOUND"),
        (lambda client: client.get_model_config("triage", headers=KEYED), "UNIMPLEMENTED"),
        (lambda client: client.load_model("triage", headers=KEYED), "UNIMPLEMENTED"),
        (lambda client: client.unload_model("triage", headers=KEYED), "UNIMPLEMENTED"),
        (lambda client: client.get_trace_settings(headers=KEYED), "UNIMPLEMENTED"),
        (lambda client: client.get_model_metadata("triage"), "UNAUTHENTICATED"),
        (lambda client: client.get_server_metadata(headers={"authorization": "Bearer x"}), "UNAUTHENTICATED"),
    ],
)
def test_an_error_is_a_status_that_clients_know(
    triton: triton_grpc.InferenceServerClient, ask: Callable[[Any], Any], code: str
) -> None:
    with pytest.raises(InferenceServerException) as failure:
        ask(triton)

    assert failure.value.status() == f"StatusCode.{code}"


def test_a_bearer_token_is_a_key_over_grpc_too(triton: triton_grpc.InferenceServerClient) -> None:
    assert triton.get_server_metadata(headers={"authorization": f"Bearer {KEY}"}).name == "pawl"


def test_a_message_over_the_limit_is_refused(triton: triton_grpc.InferenceServerClient) -> None:
    text = triton_grpc.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([bytes(6_000_001)], object))

    with pytest.raises(InferenceServerException) as failure:
        triton.infer("triage", [text], headers=KEYED)

    assert failure.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


def test_a_text_is_generated_over_grpc(triton: triton_grpc.InferenceServerClient) -> None:
    text = triton_grpc.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"hello"], object))

    answer = triton.infer("parrot", [text], headers=KEYED, parameters={"max_tokens": 4, "seed": 1})

    assert answer.as_numpy("finish_reason").tolist() == [b"length"]


def long_texts() -> Any:
    request = pb2.ModelInferRequest(model_name="parrot")
    request.inputs.add(name="text", datatype="BYTES", shape=[64]).contents.bytes_contents.extend(
        64 * [ENDLESS.encode()]
    )
    request.parameters["max_tokens"].int64_param = 1000
    request.parameters["temperature"].double_param = 0
    return request


def test_a_call_that_its_client_cancels_frees_the_generator(server: Process, stub: Any) -> None:
    asked = stub.ModelInfer.future(long_texts(), metadata=[("x-api-key", KEY)])
    wait_until(lambda: server.in_flight() == 1)

    asked.cancel()

    wait_until(lambda: server.in_flight() == 0, within_s=1)
    wait_until(lambda: ("pawl_requests_total", "parrot", "grpc", "CANCELLED", "1") in server.metrics())


def test_a_text_is_cut_before_its_clients_deadline(server: Process, stub: Any) -> None:
    response = stub.ModelInfer(long_texts(), metadata=[("x-api-key", KEY)], timeout=1)

    texts = list(response.outputs[0].contents.bytes_contents)
    assert (bool(texts[0]), texts[-1]) == (True, b"")


def test_both_protocols_count_the_same_answers(server: Process, triton: triton_grpc.InferenceServerClient) -> None:
    server.post("/v2/models/triage/versions/1/infer", infer_text("refund", "hello"))

    rpc = triton.get_inference_statistics("triage", "1", headers=KEYED, as_json=True)["model_stats"][0]
    rest = server.get("/v2/models/triage/versions/1/stats").json()["model_stats"][0]

    assert int(rpc["inference_count"]) == rest["inference_count"] >= 2
    assert int(rpc["inference_stats"]["success"]["count"]) == rest["inference_stats"]["success"]["count"]


# ---- metrics and batches


def test_prometheus_is_told_what_was_asked_by_model_protocol_and_status(
    server: Process, triton: triton_grpc.InferenceServerClient
) -> None:
    before = server.metrics()
    server.post("/v2/models/triage/versions/1/infer", infer_text("refund"))
    server.post("/v2/models/triage/versions/1/infer", {})
    server.post("/v2/models/a-name-somebody-made-up/infer", infer_text("refund"))
    assert triton.is_model_ready("triage", "1", headers=KEYED)
    after = server.metrics()

    def more(*sample: str) -> float:
        return after.get(sample, 0.0) - before.get(sample, 0.0)

    assert more("pawl_requests_total", "triage", "rest", "200", "1") == 1
    assert more("pawl_requests_total", "triage", "rest", "400", "1") == 1
    assert more("pawl_requests_total", "", "rest", "404", "") == 1
    assert more("pawl_requests_total", "triage", "grpc", "OK", "1") == 1
    assert more("pawl_batch_rows_count", "triage", "1") == 1
    assert "somebody" not in str(list(after))


def test_texts_asked_at_once_are_merged_and_everybody_gets_their_own_answer(
    tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    folder = tmp_path / "triage" / "1"
    folder.mkdir(parents=True)
    for path in make_bundle("1", "any", ballast=60).path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    said = {"refund": "billing", "password": "account", "hello": "other", "invoice": "billing"}
    texts = list(said) * 16
    with Process(tmp_path, BATCH_RUNS="1", BATCH_ROWS="8", BATCH_DELAY_MS="50") as process:
        assert any("API_KEYS is not set" in line for line in process.lines)

        def ask(text: str) -> str:
            return process.post("/v2/models/triage/infer", infer_text(text)).json()["outputs"][0]["data"][0]

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, texts)) == [said[text] for text in texts]
        samples = process.metrics()
        assert samples[("pawl_batch_rows_sum", "triage", "1")] == 64
        assert samples[("pawl_batch_rows_count", "triage", "1")] < 64
        assert (
            samples[("pawl_batch_rows_bucket", "8.0", "triage", "1")]
            == samples[("pawl_batch_rows_count", "triage", "1")]
        )


def test_on_one_processor_both_protocols_share_a_models_runs_and_everybody_gets_their_own_answer(
    models: Path,
) -> None:
    said = {"refund": "billing", "password": "account", "hello": "other", "invoice": "billing"}
    with Process(models, BATCH_RUNS="1") as process, triton_grpc.InferenceServerClient(process.grpc) as client:

        def ask(number: int) -> str:
            text = list(said)[number % len(said)]
            if number % 3:
                reply = process.post("/v2/models/triage/versions/1/infer", infer_text(text))
                return reply.json()["outputs"][0]["data"][0]
            asked = triton_grpc.InferInput("text", [1], "BYTES")
            asked.set_data_from_numpy(np.array([text], object))
            return client.infer("triage", [asked], "1").as_numpy("label")[0].decode()

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, range(300))) == [said[list(said)[n % len(said)]] for n in range(300)]
        assert process.metrics()[("pawl_batch_rows_sum", "triage", "1")] == 300
        wait_until(lambda: process.in_flight() == 0)


def test_the_manifests_annotations_and_probes_are_answered_without_a_key_and_nothing_else_is(models: Path) -> None:
    """The deployment's own environment over the image's, with ports that are free here."""
    folder = ROOT / "functions" / "inference"
    template = yaml.safe_load((folder / "kubernetes" / "deployment.yaml").read_text(encoding="utf-8"))["spec"][
        "template"
    ]
    (container,) = template["spec"]["containers"]
    image = dict(re.findall(r"([A-Z_]+_PORT)=(\d+)", (folder / "Dockerfile").read_text(encoding="utf-8")))
    given = {each["name"]: each["value"] for each in container["env"] if "value" in each}
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    asked = {(numbers[probe["port"]], probe["path"]) for probe in probes}
    about = template["metadata"]["annotations"]
    asked.add((int(about["prometheus.io/port"]), about["prometheus.io/path"]))

    with Process(models, **given, **dict.fromkeys(image, "0"), API_KEYS=KEY, RECEIPT_KEYS=SECRET) as process:
        actual = {int(image[name.upper()]): port for name, port in process.ports.items()}
        replies = [httpx.get(f"http://127.0.0.1:{actual[port]}{path}") for port, path in sorted(asked)]
        unkeyed = httpx.get(f"{process.url}/metrics")
        elsewhere = httpx.get(f"http://127.0.0.1:{process.ports['metrics_port']}/v2/models")

    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert "pawl_requests_in_flight 0.0" in replies[-1].text
    assert (unkeyed.status_code, elsewhere.status_code) == (401, 404)


# ---- beginning and end


def stream_of(process: Process) -> Any:
    body = {"model": "parrot", "messages": SAID, "n": 8, "temperature": 0, "stream": True}
    return httpx.stream("POST", f"{process.url}/v1/chat/completions", json=body, timeout=60)


def test_a_server_told_to_end_is_not_ready_finishes_its_streams_keeps_its_records_and_ends_well(
    models: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept" / "answers.jsonl"
    with Process(models, LINGER_S="2", CAPTURE_FILE=str(kept)) as process, stream_of(process) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        process.signal()
        wait_until(lambda: process.get("/v2/health/ready").status_code == 503)
        assert process.get("/v2/health/live").status_code == 200
        assert process.post("/v2/models/triage/infer", infer_text("refund")).status_code == 200
        with triton_grpc.InferenceServerClient(process.grpc) as client:
            assert (client.is_server_live(), client.is_server_ready()) == (True, False)

        assert [line for line in lines if line][-1] == "data: [DONE]"
        assert process.ends() == 0
    records = [CaptureRecord.from_dict(json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert sorted(record.model for record in records) == ["parrot", "triage"]
    assert next(record for record in records if record.model == "triage").inputs == {"text": ["refund"]}


def test_a_stream_that_goes_on_past_the_deadline_does_not_keep_the_server(models: Path) -> None:
    with Process(models, DRAIN_S="1") as process, stream_of(process) as stream:
        assert next(stream.iter_lines()).startswith("data: ")
        process.signal()

        assert process.ends() == 0


def test_texts_asked_over_grpc_are_answered_as_far_as_they_came_before_the_drain_ends(models: Path) -> None:
    with Process(models, DRAIN_S="2") as process, grpc.insecure_channel(process.grpc) as channel:
        asked = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(long_texts())
        wait_until(lambda: process.in_flight() == 1)
        process.signal()

        texts = list(asked.result(30).outputs[0].contents.bytes_contents)
        assert (bool(texts[0]), texts[-1]) == (True, b"")
        assert process.ends() == 0


def test_a_second_signal_ends_the_server_at_once(models: Path) -> None:
    with Process(models, LINGER_S="60") as process:
        process.signal()
        wait_until(lambda: process.get("/v2/health/ready").status_code == 503)
        process.signal()

        assert process.ends() == 128 + signal.SIGTERM


def test_a_model_that_has_been_altered_keeps_the_server_from_being_ready_and_is_named(
    tmp_path: Path, starter: Bundle
) -> None:
    folder = tmp_path / "triage" / "1"
    folder.mkdir(parents=True)
    for path in starter.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "card.md").write_text("# Another\n")
    with Process(tmp_path) as process:
        reply = process.get("/v2/health/ready")

        assert (reply.status_code, reply.json()) == (503, {"error": "triage 1: card.md does not match its digest"})
        assert process.get("/v2/health/live").status_code == 200
        with triton_grpc.InferenceServerClient(process.grpc) as client:
            assert not client.is_server_ready()


def test_a_server_without_models_is_not_ready_and_names_the_folder(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        reply = process.get("/v2/health/ready")

        wanted = f"no models here: want <name>/<version>/manifest.json in {tmp_path}"
        assert (reply.status_code, reply.json()) == (503, {"error": wanted})
        assert any(wanted in line for line in process.lines)
        with triton_grpc.InferenceServerClient(process.grpc) as client:
            assert not client.is_server_ready()


def test_a_stray_folder_is_told_and_a_broken_model_named_while_the_others_answer(
    tmp_path: Path, starter: Bundle
) -> None:
    for place in ("triage/1", "triage/1.bak"):
        shutil.copytree(starter.path, tmp_path / place)
    (tmp_path / "broken" / "1" / "manifest.json").mkdir(parents=True)
    with Process(tmp_path) as process:
        assert process.post("/v2/models/triage/infer", infer_text("refund")).status_code == 200
        assert process.get("/v2/models").json() == {"models": ["broken", "triage"]}
        assert [each["id"] for each in process.get("/v1/models").json()["data"]] == ["triage"]
        reply = process.get("/v2/health/ready")
        wanted = "broken 1: manifest.json cannot be read: Is a directory"
        assert (reply.status_code, reply.json()) == (503, {"error": wanted})
        assert process.post("/v2/models/broken/infer", infer_text("refund")).json() == {"error": wanted}
        (tmp_path / "broken" / "1" / "manifest.json").rmdir()
        assert process.get("/v2/health/ready").status_code == 200
    said = [line for line in process.lines if "1.bak is not served" in line]
    assert (len(said), "WARNING" in said[0]) == (1, True)


def test_a_client_that_never_finishes_a_head_or_a_body_is_left(models: Path) -> None:
    head = b"POST /v2/models/triage/infer HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n"
    with Process(models, PATIENCE_S="0.5") as process:
        host, _, port = process.http.partition(":")
        with socket.create_connection((host, int(port)), 30) as silent:
            assert silent.recv(1000) == b""
        with socket.create_connection((host, int(port)), 30) as slow:
            slow.sendall(head)
            assert slow.recv(1000) == b""
        with socket.create_connection((host, int(port)), 30) as slow:
            slow.sendall(head + b"\r\n12345")
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        with httpx.Client(base_url=process.url) as client:  # a connection may rest between requests
            assert client.get("/v2").status_code == 200
            time.sleep(1)
            assert client.get("/v2").status_code == 200


def test_unsigned_models_are_served_only_where_that_is_allowed(models: Path) -> None:
    with Process(models, ALLOW_UNSIGNED="false") as process:
        reply = process.post("/v2/models/triage/infer", infer_text("hello"))
        wanted = "triage 2: model.sig is missing, and unsigned bundles are not served here"
        assert (reply.status_code, reply.json()) == (503, {"error": wanted})
    assert any(wanted in line for line in process.lines)


def test_signed_models_are_served_by_the_key_that_is_trusted(
    make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    make_key(tmp_path / "key.pem")
    folder = tmp_path / "models" / "triage" / "1"
    shutil.copytree(make_bundle("1", "any").path, folder)
    sign_folder(folder, KeyFile(tmp_path / "key.pem"))

    with Process(tmp_path / "models", ALLOW_UNSIGNED="false", TRUSTED_KEYS=KeyFile(tmp_path / "key.pem").trusted) as it:
        assert it.post("/v2/models/triage/infer", infer_text("hello")).status_code == 200
        assert not [line for line in it.lines if "ALLOW_UNSIGNED" in line]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"TRUSTED_KEYS": "none"}, "trusted keys: 'none'...: not a public key on the curve P-256"),
        ({"API_KEYS": "short"}, "API_KEYS: want keys of at least 16 ASCII characters"),
        ({"RECEIPT_KEYS": "1:short"}, "receipt keys: want id:secret"),
        ({"CONCURRENCY": "many"}, "CONCURRENCY='many': want int"),
    ],
)
def test_a_wrong_setting_ends_the_server_with_what_would_be_right(
    models: Path, settings: dict[str, str], why: str
) -> None:
    process = Process(models, **settings)

    assert process.ends() == 1
    assert why in process.lines[-1]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    process = Process(tmp_path / "nowhere")

    assert process.ends() == 1
    assert "nowhere': want a folder with bundles" in process.lines[-1]


@pytest.mark.parametrize("name", ["HTTP_PORT", "GRPC_PORT"])
def test_a_port_that_is_taken_is_named(models: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = Process(models, **{name: port})

        assert process.ends() == 1
    assert f"cannot listen at 127.0.0.1 port {port}" in process.lines[-1]


def test_options_go_before_the_environment(models: Path) -> None:
    """`scripts/serve` passes its options on."""
    environment = {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'layers' / 'core'}", "LISTEN": "256.0.0.1"}
    command = [
        sys.executable,
        "-m",
        "inference.server",
        "--models",
        str(models),
        "--port",
        "1",
        "--listen",
        "192.0.2.1",
    ]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "cannot listen at 192.0.2.1 port 1" in done.stdout


def test_small_pieces_leave_at_once() -> None:
    """Else each answer waits 40 ms for the client's acknowledgement of its head."""

    async def connect() -> int:
        found: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda _, writer: found.set_result(writer), sock=open_socket("127.0.0.1", 0)
        )
        async with server:
            _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
            ours = (await found).get_extra_info("socket")
            is_without_delay = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for writer in (client, await found):
                writer.close()
                await writer.wait_closed()
        return is_without_delay

    assert asyncio.run(connect())
