"""Our own definitions of the gRPC messages against those that Triton's client brings, field by field."""

from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from inference.messages import FIELDS, message


def _fields(descriptor: Any) -> dict[str, Any]:
    """Number, type, whether repeated, its message's fields or name, and its oneof, by the field's name."""
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.message_type and _type(field.message_type),
            field.containing_oneof and field.containing_oneof.name,
        )
        for field in descriptor.fields
    }


def _type(descriptor: Any) -> Any:
    is_entry = descriptor.GetOptions().map_entry
    return (descriptor.full_name, _fields(descriptor) if is_entry else None)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_message_has_the_names_numbers_and_types_that_clients_know(name: str) -> None:
    theirs: Any = service_pb2.DESCRIPTOR.pool.FindMessageTypeByName(f"inference.{name}")
    ours = _fields(message(name).DESCRIPTOR)

    assert ours == {field: about for field, about in _fields(theirs).items() if field in ours}


def test_our_definitions_are_not_the_clients_own_although_their_names_are() -> None:
    assert message("ServerLiveRequest").DESCRIPTOR.file.pool is not service_pb2.DESCRIPTOR.pool


def test_a_request_that_the_client_has_written_is_read_alike() -> None:
    theirs: Any = service_pb2.ModelInferRequest(model_name="triage", raw_input_contents=[b"\0\1"])  # pyright: ignore
    theirs.parameters["top"].int64_param = -3
    theirs.inputs.add(name="x", datatype="INT8", shape=[-1, 2]).contents.int_contents.extend([1, -2])

    ours = message("ModelInferRequest").FromString(theirs.SerializeToString())

    assert (ours.model_name, list(ours.raw_input_contents)) == ("triage", [b"\0\1"])
    assert (ours.parameters["top"].WhichOneof("parameter_choice"), ours.parameters["top"].int64_param) == (
        "int64_param",
        -3,
    )
    assert (ours.inputs[0].name, list(ours.inputs[0].shape)) == ("x", [-1, 2])
    assert list(ours.inputs[0].contents.int_contents) == [1, -2]
