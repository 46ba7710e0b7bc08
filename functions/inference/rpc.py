"""The Open Inference Protocol over gRPC, `inference.GRPCInferenceService`, as Triton's and KServe's clients speak it.

A request is the REST protocol's binary extension in another envelope, and is turned into exactly that: what is wrong
with it is found in one place, and said in the same words.
"""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from inference import metadata
from inference.admission import Admission
from inference.engine import Engine
from inference.envelope import from_rest, to_rest
from inference.guard import BODY_LIMIT
from inference.messages import SERVICE, message
from inference.metrics import Metrics, Sighting
from inference.oip import HEADER_LENGTH
from inference.service import Call, Service
from pawl.errors import ClientLeft, PawlError, SettingsError, UnsupportedRequest, log_failure

CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""What an error's HTTP status is here; any other is INTERNAL."""
MARGIN_S = 0.2
"""How long before its client's deadline a text must be complete: a token's time, and the way back."""
_ALWAYS_OPEN = ("ServerLive", "ServerReady")
_THREADS_BESIDE = 4
"""For probes, which are answered when all the places for requests are taken."""


def start(rpc: "Rpc", address: str, port: int, limit: int) -> tuple[grpc.Server, int]:
    """A server that listens at an address, and the port that it took; at most `limit` requests run at a time.

    SettingsError when the port is taken, or the address none of this machine's.
    """
    pool = ThreadPoolExecutor(limit + _THREADS_BESIDE, thread_name_prefix="grpc")
    options = [("grpc.max_receive_message_length", BODY_LIMIT), ("grpc.so_reuseport", 0)]
    server = grpc.server(pool, options=options)
    server.add_generic_rpc_handlers((rpc.handler(),))
    host = f"[{address}]" if ":" in address else address
    try:
        taken = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise SettingsError(f"cannot listen at {address} port {port} for gRPC: is it taken?") from error
    server.start()
    return server, taken


class Rpc:
    """The calls of the service, each a method with the call's name in lower case."""

    def __init__(self, service: Service, admission: Admission, metrics: Metrics, call: Call) -> None:
        """`call` says who answers, and when to end."""
        self._service = service
        self._engine: Engine = service.engine
        self._admission = admission
        self._metrics = metrics
        self._call = call

    def handler(self) -> grpc.GenericRpcHandler:
        """All calls, as a server takes them; a call that is not among them is UNIMPLEMENTED."""
        calls: dict[str, Callable[[Any, Call], Any]] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
            "ModelStatistics": self.model_statistics,
            "RepositoryIndex": self.repository_index,
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                partial(self._answer, name, call),
                request_deserializer=message(f"{name}Request").FromString,
                response_serializer=message(f"{name}Response").SerializeToString,
            )
            for name, call in calls.items()
        }
        for name, why in _NOT_OFFERED.items():
            handlers[name] = grpc.unary_unary_rpc_method_handler(partial(self._answer, name, partial(_refuse, why)))
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def server_live(self, request: Any, call: Call) -> Any:
        """ServerLive."""
        return message("ServerLiveResponse")(live=True)

    def server_ready(self, request: Any, call: Call) -> Any:
        """ServerReady."""
        try:
            self._admission.check_ready()
            metadata.check_ready(self._engine)
        except PawlError:
            return message("ServerReadyResponse")(ready=False)
        return message("ServerReadyResponse")(ready=True)

    def server_metadata(self, request: Any, call: Call) -> Any:
        """ServerMetadata."""
        return message("ServerMetadataResponse")(**metadata.server())

    def model_ready(self, request: Any, call: Call) -> Any:
        """ModelReady."""
        try:
            self._engine.get(request.name, request.version or None)
        except PawlError:
            return message("ModelReadyResponse")(ready=False)
        return message("ModelReadyResponse")(ready=True)

    def model_metadata(self, request: Any, call: Call) -> Any:
        """ModelMetadata."""
        about = metadata.model(self._engine, request.name, request.version or None)
        return ParseDict(about, message("ModelMetadataResponse")(), ignore_unknown_fields=True)

    def model_infer(self, request: Any, call: Call) -> Any:
        """ModelInfer."""
        with self._admission.hold() as count:
            count(request.ByteSize())
            return self._infer(request, call)

    def _infer(self, request: Any, call: Call) -> Any:
        head, tensors = to_rest(request)
        reply = self._service.infer(head + tensors, len(head), request.model_name, request.model_version or None, call)
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        length = int(reply.headers[HEADER_LENGTH])
        is_typed = any(tensor.HasField("contents") for tensor in request.inputs)
        return from_rest(json.loads(body[:length]), body[length:], is_typed)

    def model_statistics(self, request: Any, call: Call) -> Any:
        """ModelStatistics."""
        versions = metadata.versions(self._engine, request.name or None, request.version or None)
        return ParseDict(self._service.statistics.report(versions), message("ModelStatisticsResponse")())

    def repository_index(self, request: Any, call: Call) -> Any:
        """RepositoryIndex."""
        found = metadata.index(self._engine, request.ready)
        return ParseDict({"models": found}, message("RepositoryIndexResponse")())

    def _answer(self, name: str, answer: Callable[[Any, Call], Any], request: Any, context: Any) -> Any:
        """Answer a call; what is wrong with it becomes its status, with the message that REST gives."""
        if name in _ALWAYS_OPEN:
            return answer(request, self._call)
        with self._metrics.watch("grpc") as sighting:
            try:
                headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
                self._admission.check_key(headers.get("x-api-key"), headers.get("authorization"))
                with self._admission.enter():
                    response = answer(request, self._call.within(partial(_remaining_s, context)))
                sighting.status = grpc.StatusCode.OK.name
                return response
            except PawlError as error:
                code, why = CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error)
            except Exception as error:
                request_id = os.urandom(8).hex()
                log_failure(error, request_id)
                code, why = grpc.StatusCode.INTERNAL, f"internal error; request {request_id}"
            _end(context, sighting, code, why)


def _remaining_s(context: Any) -> float:
    """How long the client still waits, less the way back; ClientLeft once it has cancelled, or its deadline is over."""
    if not context.is_active():
        raise ClientLeft("whoever asked has left")
    remaining: float | None = context.time_remaining()
    return float("inf") if remaining is None else remaining - MARGIN_S


def _refuse(why: str, request: Any, call: Call) -> Any:
    raise UnsupportedRequest(why)


def _end(context: Any, sighting: Sighting, code: grpc.StatusCode, why: str) -> None:
    sighting.status = code.name
    context.abort(code, why)


_NOT_OFFERED = {
    "ModelConfig": "models have no configuration here: ask for the metadata",
    "RepositoryModelLoad": metadata.FIXED_MODELS,
    "RepositoryModelUnload": metadata.FIXED_MODELS,
}
