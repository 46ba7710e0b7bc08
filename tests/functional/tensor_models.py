"""Models of the kind `tensors` in real bundles: one gives back what it got in every datatype, one computes."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from pawl.bundle import Bundle, Lineage, Tensor, seal

MIRROR, SUMS = "mirror", "sums"
ONNX = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
DATATYPES = sorted(ONNX)


def seal_mirror(folder: Path, version: str = "1") -> Bundle:
    """An input of each datatype, named as it is in small letters, given back as `<name>_back`; rows of any width."""
    inputs = [Tensor(name.lower(), name, [-1, -1]) for name in DATATYPES]
    outputs = [Tensor(f"{name.lower()}_back", name, [-1, -1]) for name in DATATYPES]
    nodes = [helper.make_node("Identity", [a.name], [b.name]) for a, b in zip(inputs, outputs, strict=True)]
    return _seal(folder, MIRROR, version, nodes, inputs, outputs)


def seal_sums(folder: Path, version: str = "1") -> Bundle:
    """`sums` = `left` + `right` and `total` of each row; `times` = `left` x `matrix` of any width."""
    inputs = [Tensor("left", "FP32", [-1, 3]), Tensor("right", "FP32", [-1, 3]), Tensor("matrix", "FP32", [3, -1])]
    outputs = [Tensor("sums", "FP32", [-1, 3]), Tensor("total", "FP32", [-1]), Tensor("times", "FP32", [-1, -1])]
    nodes = [
        helper.make_node("Add", ["left", "right"], ["sums"]),
        helper.make_node("ReduceSum", ["sums", "one"], ["total"], keepdims=0),
        helper.make_node("MatMul", ["left", "matrix"], ["times"]),
    ]
    return _seal(folder, SUMS, version, nodes, inputs, outputs)


def _seal(
    folder: Path, name: str, version: str, nodes: list[onnx.NodeProto], inputs: list[Tensor], outputs: list[Tensor]
) -> Bundle:
    folder.mkdir(parents=True, exist_ok=True)
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, name, list(map(_border, inputs)), list(map(_border, outputs)), [one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "card.md").write_text(f"# {name}\n")
    return seal(
        folder,
        name=name,
        version=version,
        kind="tensors",
        created_at="2026-07-14T09:00:00.000Z",
        inputs=inputs,
        outputs=outputs,
        labels=["low", "middle", "high"],
        max_tokens=0,
        quantization={},
        metrics={},
        lineage=Lineage(f"run-{version}", "none", None, "none", "Apache-2.0", "tests"),
    )


def _border(tensor: Tensor) -> onnx.ValueInfoProto:
    sizes = [f"{tensor.name}_{i}" if size == -1 else size for i, size in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(tensor.name, ONNX[tensor.datatype], sizes)
