"""The wire format of protocol buffers, read field by field without loading the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireFormatError(ValueError):
    """The bytes are no protocol buffer, or its end is missing."""


@dataclass(frozen=True)
class Field:
    """One field of a message, without its content.

    Args:
        number: Number of the field in the message's definition.
        wire_type: `VARINT`, `FIXED64`, `BYTES` or `FIXED32`.
        start: Offset of its content in the file.
        end: Offset of the first byte after it.
        value: The content of a `VARINT`, else 0.
    """

    number: int
    wire_type: int
    start: int
    end: int
    value: int = 0


def read_fields(file: BinaryIO, start: int, end: int) -> Iterator[Field]:
    """Yields the fields of the message that fills the bytes `[start, end)` of a file.

    The caller may move the file's position between two fields. The official
    runtime would keep the whole file and its parsed copy in memory, 1.1 GB for
    one of 540 MB, beside the model that is filled from it.

    Raises:
        WireFormatError: If a field is of an unknown type or ends after `end`.

    Reference:
        https://protobuf.dev/programming-guides/encoding
    """
    position = start
    while position < end:
        file.seek(position)
        tag = _read_varint(file)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise WireFormatError(f"field number 0 at byte {position}")
        value = 0
        if wire_type == BYTES:
            length = _read_varint(file)
            content = file.tell()
            position = content + length
        elif wire_type == VARINT:
            content = file.tell()
            value = _read_varint(file)
            position = file.tell()
        elif wire_type in (FIXED32, FIXED64):
            content = file.tell()
            position = content + (4 if wire_type == FIXED32 else 8)
        else:
            raise WireFormatError(f"unknown wire type {wire_type} at byte {position}")
        if position > end:
            raise WireFormatError(
                f"the field at byte {content} ends at byte {position}, its message at {end}"
            )
        yield Field(number, wire_type, content, position, value)


def read_packed_varints(file: BinaryIO, field: Field) -> list[int]:
    """Returns the integers of a packed field, or the one of a `VARINT` field."""
    if field.wire_type == VARINT:
        return [field.value]
    file.seek(field.start)
    values = []
    while file.tell() < field.end:
        values.append(_read_varint(file))
    return values


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise WireFormatError("the file ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise WireFormatError(f"a number of more than ten bytes before byte {file.tell()}")
