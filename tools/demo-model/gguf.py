"""Writes a GGUF file, version 3, little endian: metadata and tensors of F32 and Q8_0.

    "GGUF" | u32 version | u64 tensors | u64 pairs
    pairs:   string key | u32 type | value
    tensors: string name | u32 dimensions | u64 each | u32 type | u64 offset from the start of the data
    padding to 32, then the data, each tensor at a multiple of 32
    string:  u64 length | UTF-8
"""
import struct

import numpy

ALIGNMENT = 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
F32, Q8_0 = 0, 8
BLOCK = 32  # values of Q8_0 that share a scale


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(item):
    """(type, bytes)"""
    if isinstance(item, bool):
        return BOOL, struct.pack("<?", item)
    if isinstance(item, int):
        return UINT32, struct.pack("<I", item)
    if isinstance(item, float):
        return FLOAT32, struct.pack("<f", item)
    if isinstance(item, str):
        return STRING, string(item)
    if all(isinstance(one, str) for one in item):
        return ARRAY, struct.pack("<IQ", STRING, len(item)) + b"".join(map(string, item))
    return ARRAY, struct.pack("<IQ", INT32, len(item)) + struct.pack(f"<{len(item)}i", *item)


def q8_0(matrix):
    """Blocks of 32 along a row: an f16 scale, then 32 signed bytes."""
    blocks = matrix.astype(numpy.float32).reshape(-1, BLOCK)
    scale = numpy.abs(blocks).max(1) / 127
    inverse = numpy.divide(1, scale, out=numpy.zeros_like(scale), where=scale > 0)
    quants = numpy.rint(blocks * inverse[:, None]).astype(numpy.int8)
    data = numpy.empty(len(blocks), dtype=[("scale", "<f2"), ("quants", "i1", BLOCK)])
    data["scale"], data["quants"] = scale, quants
    return data.tobytes()


def write(path, metadata, tensors):
    """tensors: name to a numpy array, rows first. Matrices become Q8_0, vectors stay F32."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, item in metadata.items():
        kind, data = value(item)
        head += string(key) + struct.pack("<I", kind) + data
    body = b""
    for name, array in tensors.items():
        matrix = array.ndim == 2
        head += string(name) + struct.pack(f"<I{array.ndim}Q", array.ndim, *reversed(array.shape)) + struct.pack("<IQ", Q8_0 if matrix else F32, len(body))
        data = q8_0(array) if matrix else array.astype("<f4").tobytes()
        body += data + bytes(-len(data) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + body)
