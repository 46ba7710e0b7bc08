"""The messages of the gRPC service `inference.GRPCInferenceService`, made when this module is imported.

Specification: kserve/open-inference-protocol, `inference_grpc`, with Triton's extensions for statistics and for the
model repository; names and numbers are theirs. They live in a descriptor pool of their own, so that a client library
that brings its own definitions of the same names can be used in the same process.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"
_PACKAGE = "inference"
_FIELD: Any = descriptor_pb2.FieldDescriptorProto

FIELDS: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready 1",
    "ModelReadyRequest": "string name 1, string version 2",
    "ModelReadyResponse": "bool ready 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name 1, string version 2, repeated string extensions 3",
    "ModelMetadataRequest": "string name 1, string version 2",
    "ModelMetadataResponse": (
        "string name 1, repeated string versions 2, string platform 3, "
        "repeated ModelMetadataResponse.TensorMetadata inputs 4, "
        "repeated ModelMetadataResponse.TensorMetadata outputs 5"
    ),
    "ModelMetadataResponse.TensorMetadata": "string name 1, string datatype 2, repeated int64 shape 3",
    "InferParameter": (
        "oneof bool bool_param 1, oneof int64 int64_param 2, oneof string string_param 3, "
        "oneof double double_param 4, oneof uint64 uint64_param 5"
    ),
    "InferTensorContents": (
        "repeated bool bool_contents 1, repeated int32 int_contents 2, repeated int64 int64_contents 3, "
        "repeated uint32 uint_contents 4, repeated uint64 uint64_contents 5, repeated float fp32_contents 6, "
        "repeated double fp64_contents 7, repeated bytes bytes_contents 8"
    ),
    "ModelInferRequest": (
        "string model_name 1, string model_version 2, string id 3, map InferParameter parameters 4, "
        "repeated ModelInferRequest.InferInputTensor inputs 5, "
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs 6, repeated bytes raw_input_contents 7"
    ),
    "ModelInferRequest.InferInputTensor": (
        "string name 1, string datatype 2, repeated int64 shape 3, map InferParameter parameters 4, "
        "InferTensorContents contents 5"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": "string name 1, map InferParameter parameters 2",
    "ModelInferResponse": (
        "string model_name 1, string model_version 2, string id 3, map InferParameter parameters 4, "
        "repeated ModelInferResponse.InferOutputTensor outputs 5, repeated bytes raw_output_contents 6"
    ),
    "ModelInferResponse.InferOutputTensor": (
        "string name 1, string datatype 2, repeated int64 shape 3, map InferParameter parameters 4, "
        "InferTensorContents contents 5"
    ),
    "ModelStatisticsRequest": "string name 1, string version 2",
    "ModelStatisticsResponse": "repeated ModelStatistics model_stats 1",
    "ModelStatistics": (
        "string name 1, string version 2, uint64 last_inference 3, uint64 inference_count 4, uint64 execution_count 5, "
        "InferStatistics inference_stats 6, repeated InferBatchStatistics batch_stats 7"
    ),
    "InferStatistics": (
        "StatisticDuration success 1, StatisticDuration fail 2, StatisticDuration queue 3, "
        "StatisticDuration compute_input 4, StatisticDuration compute_infer 5, StatisticDuration compute_output 6"
    ),
    "InferBatchStatistics": (
        "uint64 batch_size 1, StatisticDuration compute_input 2, StatisticDuration compute_infer 3, "
        "StatisticDuration compute_output 4"
    ),
    "StatisticDuration": "uint64 count 1, uint64 ns 2",
    "RepositoryIndexRequest": "string repository_name 1, bool ready 2",
    "RepositoryIndexResponse": "repeated RepositoryIndexResponse.ModelIndex models 1",
    "RepositoryIndexResponse.ModelIndex": "string name 1, string version 2, string state 3, string reason 4",
}
"""The fields of each message: [repeated, map from string, or oneof] type, name, number. A dot nests a message."""


def _describe() -> Any:
    """The description of the messages as protobuf's own compiler would make it."""
    file = descriptor_pb2.FileDescriptorProto(name="pawl/inference.proto", package=_PACKAGE, syntax="proto3")
    described: dict[str, Any] = {}
    for name, fields in FIELDS.items():
        outer, _, own = name.rpartition(".")
        message = described[outer].nested_type.add(name=own) if outer else file.message_type.add(name=own)
        described[name] = message
        for words in _split(fields):
            _add_field(message, name, words)
    return file


def _split(fields: str) -> Iterator[list[str]]:
    return (field.split() for field in fields.split(", ") if field)


def _add_field(message: Any, owner: str, words: list[str]) -> None:
    *_, kind, name, number = words
    field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if words[0] in ("repeated", "map"):
        field.label = _FIELD.LABEL_REPEATED
    if words[0] == "map":
        kind = f"{owner}.{_add_entry(message, name, kind)}"
    if words[0] == "oneof":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    _set_type(field, kind)


def _add_entry(message: Any, name: str, kind: str) -> str:
    """A map is a repeated message of key and value, nested in its owner."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    key = entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL)
    _set_type(key, "string")
    value = entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL)
    _set_type(value, kind)
    return entry.name


def _set_type(field: Any, kind: str) -> None:
    if kind[0].isupper():
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(_FIELD, f"TYPE_{kind.upper()}")


_POOL: Any = descriptor_pool.DescriptorPool()
_POOL.Add(_describe())


def message(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
