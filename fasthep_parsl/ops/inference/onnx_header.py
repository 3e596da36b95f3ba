"""Inputs and outputs of an ONNX model: the few fields of its protocol buffers that name them.

The fields are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator

from fasthep_parsl.ops.inference.model_file import ModelFacts, ModelFileError, ModelPort

ELEMENT_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip
"""``TensorProto.DataType`` → NumPy."""
MODEL_GRAPH = 7
GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 5, 11, 12
TENSOR_NAME, TENSOR_LOCATION, EXTERNAL = 8, 14, 1
VALUE_NAME, VALUE_TYPE = 1, 2
TYPE_TENSOR, TENSOR_ELEMENT, TENSOR_SHAPE, SHAPE_DIM, DIM_VALUE = 1, 1, 2, 1, 1

Message = memoryview


def onnx_facts(content: bytes) -> ModelFacts:
    """Return what an ONNX model takes and gives.

    Raises
    ------
    ModelFileError
        It is not an ONNX model, or its weights are in other files.
    """
    try:
        graph = _message(memoryview(content), MODEL_GRAPH)
        if graph is None:
            raise ModelFileError("is neither an ONNX model nor one of XGBoost (JSON or UBJ)")
        weights = {_text(tensor, TENSOR_NAME): tensor for tensor in _messages(graph, GRAPH_INITIALIZER)}
        inputs = tuple(_port(value) for value in _messages(graph, GRAPH_INPUT))
        outputs = tuple(_port(value) for value in _messages(graph, GRAPH_OUTPUT))
    except (ValueError, IndexError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError("is neither an ONNX model nor one of XGBoost (JSON or UBJ)") from None
    if any(_number(tensor, TENSOR_LOCATION) == EXTERNAL for tensor in weights.values()):
        hint = "save it with its weights: onnx.save(onnx.load(…), …, save_as_external_data=False)"
        raise ModelFileError("has its weights in other files", hint)
    inputs = tuple(port for port in inputs if port.name not in weights)  # older models list weights as inputs
    if not inputs or not outputs:
        raise ModelFileError("is an ONNX model without inputs or without outputs")
    return ModelFacts("onnx", inputs, outputs)


def _port(value: Message) -> ModelPort:
    name = _text(value, VALUE_NAME)
    kind = _message(value, VALUE_TYPE)
    tensor = _message(kind, TYPE_TENSOR) if kind is not None else None
    if tensor is None:
        return ModelPort(name, "")
    dtype = ELEMENT_TYPES.get(_number(tensor, TENSOR_ELEMENT) or 0, "")
    shape = _message(tensor, TENSOR_SHAPE)
    if shape is None:
        return ModelPort(name, dtype)
    return ModelPort(name, dtype, tuple(_number(dim, DIM_VALUE) for dim in _messages(shape, SHAPE_DIM)))


# --- protocol buffers -----------------------------------------------------------------------------------------


def _fields(message: Message) -> Iterator[tuple[int, int | Message]]:
    """Yield number and value of each field: integers, and bytes of strings and messages. Other types are skipped."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field ends after its message")
            yield number, message[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")


def _varint(message: Message, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("an integer has more than 64 bits")


def _messages(message: Message, number: int) -> Iterator[Message]:
    return (value for field, value in _fields(message) if field == number and isinstance(value, memoryview))


def _message(message: Message, number: int) -> Message | None:
    return next(_messages(message, number), None)


def _text(message: Message, number: int) -> str:
    found = _message(message, number)
    return "" if found is None else bytes(found).decode()


def _number(message: Message, number: int) -> int | None:
    return next((value for field, value in _fields(message) if field == number and isinstance(value, int)), None)
