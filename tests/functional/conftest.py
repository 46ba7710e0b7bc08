"""A small deployment in moto, bucket, tables, bus and queues, and a real model for it.

The functions' modules read the environment and make their clients when they are imported, so `start` imports them anew
for each test, inside the mock. The model is a tiny ONNX graph, so that serving and gates run onnxruntime for real.
"""

import asyncio
import base64
import dataclasses
import importlib
import io
import json
import math
import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import numpy as np
import onnx
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto import mock_aws
from moto.awslambda.models import LambdaFunction
from onnx import TensorProto, helper, numpy_helper
from tests.functional.browser import browser
from tests.functional.canaries import World
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from pawl.bucket import Bucket
from pawl.bundle import MANIFEST, Bundle, Lineage, Tensor, open_bundle, seal
from pawl.dataset import FrozenDataset, Row, freeze
from pawl.datasets import Datasets
from pawl.feedback import FeedbackTable
from pawl.identity import day_of, isoformat, unix_ms_of
from pawl.items import to_item
from pawl.model import open_model
from pawl.profile import Profile
from pawl.receipt import ReceiptKeys
from pawl.records import FEATURE_RANGES, CaptureRecord, columns_of
from pawl.registry import Registry
from pawl.traffic import Traffic
from pawl.versions import Live, VersionRecord

EVENTS = Path(__file__).parents[1] / "events"
REGION = "eu-central-1"
LIVE_LAYER, TRUSTED_KEYS = "/pawl/pawl/live-models-layer", "/pawl/pawl/trusted-keys"
SECRET = "1:" + "s" * 32
MODEL = "triage"
LABELS = ["billing", "account", "other"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "refund", "invoice", "password", "login", "hello", "weather", "gibberish"]
MEANT = {"refund": 0, "invoice": 0, "password": 1, "login": 1, "hello": 2, "weather": 2}
WRITES = ("Put", "Update", "Delete", "Transact", "Publish", "Submit", "Terminate")
PASSTHROUGH: dict[str, list[str]] = {"urls": [], "services": []}
MOCK = {
    "core": {"mock_credentials": True, "reset_boto3_session": False, "passthrough": PASSTHROUGH},
    "batch": {"use_docker": False},
    "lambda": {"use_docker": False},
}


class ProcessDied(BaseException):
    """The function's process ended here; nothing in it can catch that."""


class Faults:
    """Records the AWS calls of a function, lets a write fail once, or lets the process die: no later call arrives.

    Writes are counted from 1. Reads change nothing, so a crash before a read leaves what the next write's leaves.
    """

    Died = ProcessDied

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Let every call through again."""
        self.calls: list[str] = []
        self._fails_after = 0
        self._plan: Callable[[str], BaseException | None] = lambda call: None

    @property
    def writes(self) -> list[str]:
        """The calls so far that change something."""
        return [call for call in self.calls if call.partition(".")[2].startswith(WRITES)]

    def fail_at(self, number: int) -> None:
        """Let the n-th write fail once, as a broken connection does."""
        self.reset()
        self._plan = lambda call: EndpointConnectionError(endpoint_url=call) if self._is_write(call, number) else None

    def die_at(self, number: int) -> None:
        """Let the process die before the n-th write."""
        self.reset()
        self._plan = lambda call: ProcessDied(call) if len(self.writes) >= number else None

    def fail_after(self, number: int) -> None:
        """Let the n-th write do what it does and fail all the same, as when its answer is lost."""
        self.reset()
        self._fails_after = number

    def die_on(self, name: str) -> None:
        """Let the process die before the first call by that name."""
        self.reset()
        self._plan = lambda call: ProcessDied(call) if name in self.calls else None

    def refuse(self, name: str) -> None:
        """Let the service refuse every call by that name as a whole, as when it is not allowed or not known."""
        self.reset()
        refused: Any = {"Error": {"Code": "AccessDeniedException", "Message": name}}
        self._plan = lambda call: ClientError(refused, name) if call == name else None

    def before_call(self, event_name: str, **_: Any) -> None:
        """Botocore's hook, once before each call."""
        call = event_name.removeprefix("before-call.")
        self.calls.append(call)
        if error := self._plan(call):
            raise error

    def after_call(self, event_name: str, **_: Any) -> None:
        """Botocore's hook, once after each call."""
        if self._fails_after and self._is_write(self.calls[-1], self._fails_after):
            raise EndpointConnectionError(endpoint_url=event_name)

    def _is_write(self, call: str, number: int) -> bool:
        return len(self.writes) == number and self.writes[-1] == call == self.calls[-1]


class Inserts:
    """Does what DynamoDB does with a batch of PartiQL's INSERT, which moto cannot: conditional puts, one after another.

    So a fault may come between any two of them, as it may in DynamoDB.
    """

    def before_call(
        self, event_name: str, params: dict[str, Any], **_: Any
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        """Botocore's hook, once before each call: what that call is answered with, if it is such a batch."""
        if event_name != "before-call.dynamodb.BatchExecuteStatement":
            return None
        told = [self._insert(**each) for each in json.loads(params["body"])["Statements"]]
        return AWSResponse(params["url"], 200, {}, None), {"Responses": told}

    def _insert(self, Statement: str, Parameters: list[dict[str, Any]]) -> dict[str, Any]:
        wanted = re.fullmatch(r"""INSERT INTO "([\w.-]+)" VALUE {('\w+': \?(?:, '\w+': \?)*)}""", Statement)
        assert wanted, Statement
        item = dict(zip(re.findall(r"\w+", wanted[2]), Parameters, strict=True))
        client = boto3.client("dynamodb")
        try:
            client.put_item(TableName=wanted[1], Item=item, ConditionExpression="attribute_not_exists(pk)")
        except client.exceptions.ConditionalCheckFailedException:
            return {"Error": {"Code": "DuplicateItem"}, "TableName": wanted[1]}
        return {"TableName": wanted[1]}


@dataclass
class Context:
    """What Lambda hands a handler besides the event."""

    function_name: str = "pawl-InferenceFunction"
    function_version: str = "3"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:123456789012:function:pawl-InferenceFunction:live"
    aws_request_id: str = "8f5072b1-7d4e-4f0e-9e0b-6f1f2b1c9a10"

    def get_remaining_time_in_millis(self) -> int:
        """As if the invocation had just begun."""
        return 29_000


@dataclass
class Cloud:
    """The deployment, in the words of these tests."""

    bucket: Bucket
    state: Any
    feedback_items: Any
    queues: dict[str, str]
    faults: Faults
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        return Registry(self.state, self.bucket)

    @property
    def traffic(self) -> Traffic:
        return Traffic(self.bucket)

    @property
    def feedback(self) -> FeedbackTable:
        return FeedbackTable(self.feedback_items)

    def put_feedback(
        self, *, model: str, inference_uuid: str, metric: str, rater: str, body: Mapping[str, Any]
    ) -> None:
        """One piece of feedback where `feedback` puts it, uncounted."""
        key = {"pk": f"{model}#{day_of(unix_ms_of(inference_uuid))}", "sk": f"{inference_uuid}#{metric}#{rater}"}
        self.feedback_items.put_item(Item={**key, **to_item(body)})

    def messages(self, queue: str) -> list[Any]:
        """What lies in a queue; it is taken out."""
        client, url, found = boto3.client("sqs"), self.queues[queue], []
        while batch := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in batch:
                found.append(json.loads(message["Body"]))
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def announced(self) -> list[dict[str, Any]]:
        """The CloudEvents announced since this was last asked."""
        return [event["detail"] for event in self.messages("announcements")]

    def store_files(self, prefix: str, bundle: Bundle) -> None:
        """Put a bundle's files under a prefix, the manifest last."""
        for name in [*bundle.manifest.files, MANIFEST]:
            self.bucket.write(prefix + name, (bundle.path / name).read_bytes())

    def seed(self, bundle: Bundle, dataset: FrozenDataset) -> None:
        """Register a starter model and its dataset, as a new deployment does."""
        name, version = bundle.manifest.name, bundle.manifest.version
        Datasets(self.bucket).store(dataset)
        self.store_files(f"models/{name}/{version}/", bundle)
        self.registry.count_versions_from(name, version)
        self.registry.record_version(VersionRecord(name, version, "live", bundle.digest))
        self.registry.move_live(Live(name, version, reason="starter"), None)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One browser for all tests of pages; their tabs share no storage."""
    with browser(tmp_path_factory.mktemp("chromium")) as connection:
        yield connection


@pytest.fixture(scope="session", autouse=True)
def sdk_session() -> Iterator[Faults]:
    """One SDK session for all tests, its service models parsed once, with a hook before each call."""
    faults = Faults()
    boto3.setup_default_session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-call", faults.before_call)
    boto3.DEFAULT_SESSION.events.register("before-call", Inserts().before_call)
    boto3.DEFAULT_SESSION.events.register("after-call", faults.after_call)
    yield faults
    boto3.DEFAULT_SESSION = None


@pytest.fixture
def cloud(sdk_session: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty deployment: nothing but resources, and the starter layer behind the alias."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_LAMBDA_RUNTIME_API"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(config=MOCK):
        sdk_session.reset()
        deployment = _deploy(sdk_session)
        for name, value in deployment.environment.items():
            monkeypatch.setenv(name, value)
        yield deployment
        sdk_session.reset()


@pytest.fixture
def numbering(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number of a function version is given twice, as on Lambda; moto counts the versions that are left."""
    highest: dict[str, int] = {}
    set_version = LambdaFunction.set_version

    def number(function: LambdaFunction, version: int) -> None:
        highest[function.function_name] = max(highest.get(function.function_name, 0) + 1, version)
        set_version(function, highest[function.function_name])

    monkeypatch.setattr(LambdaFunction, "set_version", number)


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """The current event loop that Mangum asks for and leaves open: one a test, closed after it."""
    with closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        yield
        asyncio.set_event_loop(None)


@pytest.fixture
def start(cloud: Cloud) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a function's module as a new process would; afterwards the modules of before are back."""
    before: dict[str, dict[str, ModuleType]] = {}

    def start_module(name: str) -> ModuleType:
        package = name.partition(".")[0]
        before.setdefault(package, {each: sys.modules[each] for each in _modules(package)})
        _forget(package)
        return importlib.import_module(name)

    yield start_module
    for package, modules in before.items():
        _forget(package)
        sys.modules.update(modules)


@pytest.fixture
def event() -> Callable[[str], dict[str, Any]]:
    """Reads a payload file of `tests/events`."""
    return read_event


@pytest.fixture
def rest() -> Callable[..., dict[str, Any]]:
    """Makes an API Gateway event from a payload file: `rest("POST", "/feedback", body, sender="feedback")`."""

    def make(method: str, resource: str, body: Any = None, sender: str = "infer", **path: str) -> dict[str, Any]:
        made = read_event(f"api_gateway_{sender}")
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        where = resource.format(**path)
        made |= {
            "httpMethod": method,
            "resource": resource,
            "path": where,
            "body": text,
            "pathParameters": path or None,
        }
        made["requestContext"] |= {"httpMethod": method, "resourcePath": resource, "path": f"/live{where}"}
        return made

    return make


@pytest.fixture
def batch_of() -> Callable[..., dict[str, Any]]:
    """Makes an SQS event of message bodies, each in a payload file's envelope; their ids are `m0`, `m1`, ..."""

    def make(*bodies: Any) -> dict[str, Any]:
        envelope = read_event("sqs_capture_batch")["Records"][0]
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        return {"Records": [{**envelope, "messageId": f"m{i}", "body": text} for i, text in enumerate(texts)]}

    return make


@pytest.fixture
def context() -> Context:
    """The Lambda context of an invocation."""
    return Context()


@pytest.fixture
def keys() -> ReceiptKeys:
    """The deployment's receipt keys."""
    return ReceiptKeys(SECRET)


@pytest.fixture
def role(cloud: Cloud) -> str:
    """A role for whatever must have one, by ARN."""
    return boto3.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]


@pytest.fixture
def functions(cloud: Cloud, role: str, numbering: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Lambda client; the inference function serves the starter layer through its alias."""
    client = boto3.client("lambda")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inference/app.py", "")
    layers = [
        client.publish_layer_version(LayerName=f"pawl-{name}", Content={"ZipFile": archive.getvalue()})
        for name in ("core", "serving", "models")
    ]
    client.create_function(
        FunctionName="inference",
        Runtime="python3.13",
        Role=role,
        Handler="inference.app.handler",
        Code={"ZipFile": archive.getvalue()},
        Layers=[layer["LayerVersionArn"] for layer in layers],
        Environment={"Variables": {"RECEIPT_KEYS": "1:secret", "TRUSTED_KEYS": "starter's"}},
    )
    version = client.publish_version(FunctionName="inference")["Version"]
    client.create_alias(FunctionName="inference", Name="live", FunctionVersion=version)
    boto3.client("ssm").put_parameter(Name=LIVE_LAYER, Value="starter", Type="String")
    boto3.client("ssm").put_parameter(Name=TRUSTED_KEYS, Value="starter's", Type="String")
    key = boto3.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    monkeypatch.setenv("SIGNING_KEY", key["Arn"])
    monkeypatch.setenv("TRUSTED_KEYS_PARAMETER", TRUSTED_KEYS)
    monkeypatch.setenv("INFERENCE_FUNCTION", "inference")
    monkeypatch.setenv("MODELS_LAYER", "pawl-models")
    monkeypatch.setenv("LIVE_LAYER_PARAMETER", LIVE_LAYER)
    return client


class Kms:
    """What KMS does with one key; moto hashes a digest once more, as KMS does not."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.signed = 0

    def get_public_key(self, *, KeyId: str) -> dict[str, bytes]:
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        return {"PublicKey": self.key.public_key().public_bytes(*form)}

    def sign(self, *, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, bytes]:
        assert (MessageType, SigningAlgorithm, len(Message)) == ("DIGEST", "ECDSA_SHA_256", 32)
        self.signed += 1
        return {"Signature": self.key.sign(Message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))}


@pytest.fixture
def kms() -> Kms:
    return Kms()


@pytest.fixture
def now_ms() -> int:
    """The clock that the functions read as well."""
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="session")
def dataset() -> FrozenDataset:
    """The starter dataset: every word that means something, four times over in sentences of its own."""
    rows = [Row(f"{word} {other}", LABELS[label]) for word, label in MEANT.items() for other in WORDS[3:9]]
    rows = [row for row in rows if MEANT[row.text.split()[1]] == LABELS.index(row.label)]
    return freeze(MODEL, {"train": rows, "holdout": [Row(w, LABELS[n]) for w, n in MEANT.items()]}, {"parent": None})


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bundle]:
    """Builds a sealed bundle of a tiny model; `right` words are answered rightly, the others are not.

    A single right word is answered with probability 0.8. `ballast` multiplications of 128 x 128 make it slow.
    """

    def make(
        version: str,
        dataset_digest: str,
        right: Sequence[str] = tuple(MEANT),
        ballast: int = 0,
        labels: Sequence[str] = tuple(LABELS),
    ) -> Bundle:
        folder = tmp_path_factory.mktemp("bundle") / version
        folder.mkdir()
        onnx.save(_graph(right, ballast), str(folder / "model.onnx"))
        _tokenizer().save(str(folder / "tokenizer.json"))
        (folder / "card.md").write_text("# A tiny model\n")
        about: dict[str, Any] = {
            "name": MODEL,
            "version": version,
            "kind": "text-classifier",
            "created_at": "2026-07-14T09:00:00.000Z",
            "inputs": [Tensor("text", "BYTES", [-1])],
            "outputs": [Tensor("label", "BYTES", [-1]), Tensor("probabilities", "FP32", [-1, len(LABELS)])],
            "labels": list(labels),
            "max_tokens": 16,
            "quantization": {},
            "metrics": {},
            "lineage": Lineage(f"run-{version}", dataset_digest, None, "none", "Apache-2.0", "tests"),
        }
        answers = open_model(seal(folder, **about)).predict({"text": [text for text in MEANT for _ in range(50)]})
        (folder / "reference.json").write_text(Profile.of(answers.features(), FEATURE_RANGES).to_json())
        return seal(folder, **about)

    return make


@pytest.fixture(scope="session")
def starter(make_bundle: Callable[..., Bundle], dataset: FrozenDataset) -> Bundle:
    """Version 1: right on every word but `weather`."""
    return make_bundle("1", dataset.digest, right=[word for word in MEANT if word != "weather"])


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Bundle], Path]]:
    """Mounts a bundle as Lambda mounts a layer, and returns its folder there."""
    root = tmp_path / "python"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))
    _forget("pawl_models")

    def mount(bundle: Bundle) -> Path:
        folder = root / "pawl_models" / bundle.manifest.name / bundle.manifest.version
        folder.mkdir(parents=True)
        for path in bundle.path.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        importlib.invalidate_caches()
        return folder

    yield mount
    _forget("pawl_models")


@pytest.fixture
def answered(keys: ReceiptKeys, starter: Bundle) -> Callable[..., CaptureRecord]:
    """Makes the capture record of an answer that the starter model really gives."""
    model = open_model(open_bundle(starter.path))
    given = iter(range(1, 1_000_000))

    def answer(*texts: str, unix_ms: int) -> CaptureRecord:
        reply = model.predict({"text": texts})
        inference_id = keys.sign(
            model=MODEL,
            model_version="1",
            function_version="1",
            rows=len(texts),
            payload="\0".join(texts).encode(),
            unix_ms=unix_ms,
            random=next(given).to_bytes(10, "big"),
        )
        label = {"label": list(reply.outputs["label"])}
        return CaptureRecord(inference_id, MODEL, "1", unix_ms, {"text": list(texts)}, label, reply.features())

    return answer


@pytest.fixture
def store_traffic(cloud: Cloud) -> Callable[[Sequence[CaptureRecord]], None]:
    """Puts records of one version into the lake as one batch, as `drift.collect` leaves it."""

    def store(records: Sequence[CaptureRecord]) -> None:
        reference = cloud.registry.reference(records[0].model, records[0].version)
        assert reference is not None
        profile = Profile.like(reference)
        profile.update(columns_of(records), records[0].unix_ms, records[-1].unix_ms)
        cloud.traffic.store(f"{records[0].inference_id.split('.')[1]}-0123456789ab", records, profile)

    return store


@pytest.fixture
def say_label(cloud: Cloud) -> Callable[[CaptureRecord, str], None]:
    """Stores the right label of a one-row answer, as `feedback` does."""

    def say(record: CaptureRecord, label: str) -> None:
        given_at = isoformat(record.unix_ms + 1000)
        uuid = record.inference_id.split(".")[1]
        body = {"metric": "label", "inference_id": record.inference_id, "value": [label], "given_at": given_at}
        body |= {"feedback_id": f"{uuid}/ada", "rater": "ada", "tags": {}, "model_version": record.version}
        cloud.put_feedback(model=record.model, inference_uuid=uuid, metric="label", rater="ada", body=body)

    return say


@pytest.fixture
def batch(cloud: Any, role: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Batch client; the job queue and the job definition are in the environment."""
    client = boto3.client("batch")
    environment = client.create_compute_environment(
        computeEnvironmentName="training", type="UNMANAGED", state="ENABLED", serviceRole=role
    )["computeEnvironmentArn"]
    order = [{"order": 1, "computeEnvironment": environment}]
    queue = client.create_job_queue(jobQueueName="training", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
    definition = client.register_job_definition(
        jobDefinitionName="training",
        type="container",
        containerProperties={"image": "training", "command": ["Ref::model"], "resourceRequirements": needs},
    )
    monkeypatch.setenv("JOB_QUEUE", queue["jobQueueArn"])
    monkeypatch.setenv("JOB_DEFINITION", definition["jobDefinitionArn"])
    monkeypatch.setenv("MINIMUM_LABELS", "8")
    return client


@pytest.fixture
def jobs(batch: Any) -> Callable[[], list[dict[str, Any]]]:
    """Every job that was submitted."""

    def describe() -> list[dict[str, Any]]:
        found = [
            job["jobId"]
            for status in ("RUNNABLE", "SUCCEEDED", "FAILED")
            for job in batch.list_jobs(jobQueue="training", jobStatus=status)["jobSummaryList"]
        ]
        return batch.describe_jobs(jobs=found)["jobs"] if found else []

    return describe


def read_event(name: str) -> dict[str, Any]:
    return json.loads((EVENTS / f"{name}.json").read_text())


def body_of(reply: Mapping[str, Any]) -> Any:
    text = base64.b64decode(reply["body"]) if reply.get("isBase64Encoded") else reply["body"]
    return json.loads(text)


@pytest.fixture(name="body_of")
def body_of_fixture() -> Callable[[Mapping[str, Any]], Any]:
    """Reads the JSON of a handler's reply."""
    return body_of


def _forget(package: str) -> None:
    for name in _modules(package):
        del sys.modules[name]


def _modules(package: str) -> list[str]:
    """The names of a package's modules that are imported."""
    return [name for name in sys.modules if name == package or name.startswith(f"{package}.")]


def _graph(right: Sequence[str], ballast: int) -> onnx.ModelProto:
    """Per-token logits and projections, averaged over the tokens that the mask names; softmax over the logits.

    [CLS] says nothing, so a word's logits are twice what its probability of 0.8 needs.
    """
    logits = np.zeros((len(WORDS), len(LABELS)), np.float32)
    for word, label in MEANT.items():
        logits[WORDS.index(word), label if word in right else (label + 1) % 3] = 2 * math.log(8)
    projections = np.zeros((len(WORDS), 8), np.float32)
    projections[np.arange(3, len(WORDS)), np.arange(len(WORDS) - 3)] = 2.0
    constants = {"logits": logits, "projections": projections, "last": np.array([2]), "rows": np.array([1])}
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("ReduceSum", ["mask", "rows"], ["tokens"], keepdims=1),
        *_mean_of("logits"),
        helper.make_node("Softmax", ["logits_mean"], ["probabilities"], axis=-1),
        *_mean_of("projections"),
        *_ballast(ballast, constants),
    ]
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("probabilities", len(LABELS)), ("projection", 8))
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", ids, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _mean_of(table: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Gather", [table, "input_ids"], [f"{table}_each"]),
        helper.make_node("Mul", [f"{table}_each", "column"], [f"{table}_masked"]),
        helper.make_node("ReduceSum", [f"{table}_masked", "rows"], [f"{table}_sum"], keepdims=0),
        helper.make_node("Div", [f"{table}_sum", "tokens"], [f"{table}_mean"]),
    ]


def _ballast(count: int, constants: dict[str, np.ndarray[Any, Any]]) -> list[onnx.NodeProto]:
    """Multiplications of zeros, added to the projection so that they must be done."""
    if count == 0:
        return [helper.make_node("Identity", ["projections_mean"], ["projection"])]
    constants |= {"weight_0": np.zeros((128, 128), np.float32), "axes": np.array([0, 1])}
    chain = [helper.make_node("MatMul", [f"weight_{i}", "weight_0"], [f"weight_{i + 1}"]) for i in range(count)]
    return [
        *chain,
        helper.make_node("ReduceSum", [f"weight_{count}", "axes"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["projections_mean", "nothing"], ["projection"]),
    ]


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    return tokenizer


def _deploy(faults: Faults) -> Cloud:
    boto3.client("s3").create_bucket(Bucket="pawl-data", CreateBucketConfiguration={"LocationConstraint": REGION})
    queues = {name: _queue(name) for name in ("capture", "announcements")}
    _route_announcements(queues["announcements"])
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "RECEIPT_KEYS": SECRET,
        "TRUSTED_KEYS": "",
        "ALLOW_UNSIGNED": "true",
        "CAPTURE_QUEUE_URL": queues["capture"],
        "ROW_LIMIT": "4",
        "BUCKET": "pawl-data",
        "STATE_TABLE": "state",
        "FEEDBACK_TABLE": "feedback",
        "EVENT_BUS": "pawl",
        "MINIMUM_ROWS": "30",
    }
    bucket = Bucket(boto3.client("s3"), "pawl-data")
    streamed = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    feedback = _table("feedback", StreamSpecification=streamed)
    return Cloud(bucket, _table("state"), feedback, queues, faults, environment)


def _queue(name: str) -> str:
    return boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]


def _table(name: str, **more: Any) -> Any:
    return boto3.resource("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        **more,
    )


def _route_announcements(queue_url: str) -> None:
    events = boto3.client("events")
    events.create_event_bus(Name="pawl")
    pattern = json.dumps({"source": [{"prefix": "pawl."}]})
    events.put_rule(Name="all", EventBusName="pawl", EventPattern=pattern)
    arn = f"arn:aws:sqs:{REGION}:123456789012:{queue_url.rpartition('/')[2]}"
    events.put_targets(Rule="all", EventBusName="pawl", Targets=[{"Id": "queue", "Arn": arn}])


@pytest.fixture
def world(
    functions: Any, start: Callable[[str], ModuleType], cloud: Any, starter: Bundle, dataset: FrozenDataset, kms: Any
) -> World:
    cloud.seed(starter, dataset)
    app = start("release.app")
    signer = dataclasses.replace(app.releases.signer, client=kms)
    app.releases = dataclasses.replace(app.releases, signer=signer)
    made = World(app, cloud, functions)
    made.terms()
    return made
