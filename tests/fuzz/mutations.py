"""What an attacker would do to a file: by its bytes, and by what its format means.

Every mutation draws from one random generator, so that a number and a target give the same bytes again.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]
MIB = 1 << 20
LARGEST = 32 * MIB
ODD_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
ODD_TEXTS = (
    "", " ", "\x00", "\x1b[2J\x1b]0;x\x07", "\u202egnp", "NaN", "inf", "-1", "1e999", "9" * 400, "0x7f", "%n%s",  # noqa: E501
    "../../etc/passwd", "/etc/passwd", "a" * 70_000, "\ud800", "[red]x[/]", "{}", "__import__('os')", "١٢", "٣.٥",  # noqa: E501
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1 << 31, 1 << 63, 1 << 64, 10**30, 10**300, 0.0, -0.0, 1e308, 1e-320, [], {}, [[]],  # noqa: E501
    {"": None}, [None], ["a"], [1, "a"], {"a": {"a": {}}}, *ODD_TEXTS,
)  # fmt: skip


def plain(draw: Random, data: bytes) -> bytes:
    """Change bytes without a look at what they mean."""
    content = bytearray(data or b"\0")
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(content) + 1)
        length = min(draw.choice((1, 2, 4, 8, 64, 1024)), len(content) - at)
        kind = draw.randrange(8)
        if kind == 0:
            del content[at:]
        elif kind == 1 and length:
            content[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            number = draw.choice(ODD_NUMBERS) & ((1 << 64) - 1)
            width = draw.choice((1, 2, 4, 8))
            piece = (number & ((1 << 8 * width) - 1)).to_bytes(width)
            content[at : at + width] = piece if draw.random() < 0.5 else piece[::-1]
        elif kind == 3:
            content[at:at] = content[at : at + length] * draw.choice((1, 2, 16))
        elif kind == 4:
            del content[at : at + length]
        elif kind == 5:
            content[at:at] = draw.randbytes(draw.choice((1, 4, 64)))
        elif kind == 6:
            content[at:at] = draw.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
        else:
            content[at : at + length] = bytes(length)
        content = content or bytearray(b"\0")
    return bytes(content[:LARGEST])


def ends(draw: Random, data: bytes) -> bytes:
    """Change bytes near one end, where formats keep what describes the rest."""
    size = min(len(data), draw.choice((64, 256, 4096)))
    if draw.random() < 0.5:
        return plain(draw, data[:size]) + data[size:]
    return data[: len(data) - size] + plain(draw, data[len(data) - size :])


def large(draw: Random, data: bytes) -> bytes:
    """Repeat a piece up to a file of many megabytes: what is cheap to write and may be dear to read."""
    at = draw.randrange(len(data) + 1)
    piece = data[at : at + draw.choice((1, 1, 2, 3, 8, 64, 1024))] or b"\0"
    if draw.random() < 0.3:
        piece = draw.choice(
            (b"[", b"{", b"(", b'{"a":', b"\x0a\x00", b"]", b",", b"\n", b"a.", b"1", b"\x85", b"}")
        )
    size = draw.choice((MIB, 8 * MIB, LARGEST)) - len(data)
    return data[:at] + piece * (max(0, size) // len(piece)) + data[at:]


def json_text(draw: Random, data: bytes) -> bytes:
    """Change a JSON text: a value, a key, a number of digits, a depth, a key twice."""
    try:
        root = json.loads(data)
    except ValueError:
        return plain(draw, data)
    kind = draw.randrange(10)
    if kind == 0:
        return plain(draw, data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        root = _with_odd_value(draw, root)
    text = json.dumps(root)
    if kind == 1:
        text = text.replace("{", '{"a": 1, "a": 2, ', 1)
    elif kind == 2:
        depth = draw.choice((65, 999, 100_000))
        text = text.replace("1", "[" * depth + "]" * depth, 1)
    elif kind == 3:
        text = text.replace("0", draw.choice(("NaN", "-Infinity", "1e999", "9" * 5000, "0." + "3" * 5000)), 1)
    return text.encode()


def _with_odd_value(draw: Random, root: Any) -> Any:
    """Return values with one of them, somewhere, replaced, doubled, taken away or renamed."""
    places: list[tuple[Any, Any]] = []
    level = [root]
    while level:
        node = level.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        level += [node[key] for key in keys]
    if not places or draw.random() < 0.02:
        return deepcopy(draw.choice(ODD_VALUES))
    node, key = draw.choice(places)
    kind = draw.randrange(6)
    if kind == 0 or (kind == 1 and isinstance(node, list)):
        del node[key]
    elif kind == 1:
        node[draw.choice(ODD_TEXTS)] = node.pop(key)
    elif kind == 2 and isinstance(node[key], int | float):
        node[key] = -node[key] if draw.random() < 0.5 else node[key] * draw.choice((2, 1 << 20, 1 << 40))
    elif kind == 3 and isinstance(node, list):
        node[key:key] = [node[key]] * draw.choice((1, 3, 300))
    else:
        node[key] = deepcopy(draw.choice(ODD_VALUES))
    return root


def lines(draw: Random, data: bytes) -> bytes:
    """Change a text of lines and fields, as TOML and records are: a field, a line, an end of lines."""
    rows = data.split(b"\n")
    for _ in range(draw.choice((1, 2, 5))):
        row = draw.randrange(len(rows))
        odd = draw.choice(ODD_TEXTS)[:5000].encode("utf-8", "surrogatepass")
        kind = draw.randrange(7)
        if kind == 0:
            rows[row] = plain(draw, rows[row])
        elif kind == 1:
            del rows[row]
            rows = rows or [b""]
        elif kind == 2:
            rows[row:row] = [rows[row]] * draw.choice((1, 50))
        elif kind == 3 and b"=" in rows[row]:
            name = rows[row].partition(b"=")[0]
            value = draw.choice(
                (
                    b"[" * 2000,
                    b"nan",
                    b"'" + odd + b"'",
                    b"9" * 500,
                    b"{a={a={}}}",
                    b"1979-05-27",
                    b"0x" + b"f" * 99,
                )
            )
            rows[row] = name + b"= " + value
        elif kind == 4:
            parts = rows[row].split(b",")
            parts[draw.randrange(len(parts))] = odd
            rows[row] = b",".join(parts)
        elif kind == 5:
            rows[row] += draw.choice((b"\r", b",", b"\x00", b'"', b"\t", b"\xff"))
        else:
            rows[row] = draw.choice(
                (b"[a]", b"[[a]]", b"a." * 200 + b"b = 1", b"\xef\xbb\xbf", b'"', b"#", b"," * 41)
            )
    return b"\n".join(rows)


def npy(draw: Random, data: bytes) -> bytes:
    """Change the header of a .npy file."""
    if draw.random() < 0.3 or data[:6] != b"\x93NUMPY":
        return plain(draw, data)
    length = int.from_bytes(data[8:10], "little")
    header, content = data[10 : 10 + length], data[10 + length :]
    odd = draw.choice(
        (b"|O", b"<f8", b"<U9", b"V8", b"<M8[ns]", b"<c32", b"O", b"|S0", b">u8", b"[('a','<i4')]")
    )
    shapes = (
        b"()",
        b"(-1,)",
        b"(1 << 40,)",
        b"(1099511627776, 1099511627776)",
        b"(0, 9999999999)",
        b"(True,)",
        b"('a',)",
    )
    header = draw.choice(
        (
            b"{'descr': '" + odd + b"', 'fortran_order': False, 'shape': " + draw.choice(shapes) + b"}",
            b"(" * 9000,
            b"{'descr': " * 500,
            plain(draw, header),
            b"__import__('os').system('x')",
        )
    )
    version = draw.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\xff\xff"))
    size = len(header) & 0xFFFF if draw.random() < 0.8 else draw.choice(ODD_NUMBERS) & 0xFFFF
    return (
        b"\x93NUMPY"
        + version
        + struct.pack("<H" if version == b"\x01\x00" else "<I", size)
        + header
        + content
    )


def tensors(draw: Random, data: bytes) -> bytes:
    """Change the header of a safetensors file, and what is written in its metadata."""
    if draw.random() < 0.2 or len(data) < 8:
        return plain(draw, data)
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return plain(draw, data)
    metadata = header.get("__metadata__", {})
    if metadata and draw.random() < 0.6:
        key = draw.choice([*metadata])
        metadata[key] = json_text(draw, str(metadata[key]).encode()).decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = json_text(draw, json.dumps(header).encode())
    size = len(text) if draw.random() < 0.9 else draw.choice(ODD_NUMBERS) & ((1 << 64) - 1)
    return size.to_bytes(8, "little") + text + data[8 + length :]


def archive(draw: Random, data: bytes) -> bytes:
    """Change a zip: a file within it by its own format, its directory, its names; or make a bomb of it."""
    kind = draw.randrange(8)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as source:
            files = [(entry.filename, source.read(entry)) for entry in source.infolist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, OSError, EOFError, zlib.error):
        return plain(draw, data)
    if kind == 0 or not files:
        return plain(draw, data)
    if kind == 1:
        return ends(draw, data)
    chosen = draw.randrange(len(files))
    name, content = files[chosen]
    if kind == 2:
        files[chosen] = (name, bytes(draw.choice((20, 200, 600)) * MIB) if draw.random() < 0.1 else b"")
    elif kind == 3:
        files.append((draw.choice((name, "../x", "/x", "x\\..\\y", "")), content))
    elif kind == 4:
        del files[chosen]
    else:
        files[chosen] = (name, by_name(name)(draw, content))
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED))
    target = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(target, "w", method, compresslevel=1) as packed,
    ):
        for entry, piece in files:
            packed.writestr(entry, piece)
    return target.getvalue()


def by_name(name: str) -> Mutation:
    """Return how a file within an archive is changed."""
    endings: dict[str, Mutation] = {".json": json_text, ".npy": npy, ".npz": archive}
    return next((mutation for ending, mutation in endings.items() if name.endswith(ending)), plain)


def compressed(draw: Random, data: bytes) -> bytes:
    """Change what is gzipped, or make a bomb of it."""
    if draw.random() < 0.2:
        return plain(draw, data)
    content = gzip.decompress(data)
    if draw.random() < 0.03:
        content += bytes(512 * MIB)
    changed = ends(draw, content) if draw.random() < 0.5 else plain(draw, content)
    return gzip.compress(changed, 1)


def messages(draw: Random, data: bytes) -> bytes:
    """Change a message of protocol buffers: a field, or one within it, with all lengths around it made right."""  # noqa: E501
    if draw.random() < 0.2:
        return plain(draw, data)
    return _changed_message(draw, data, 12)


def _changed_message(draw: Random, data: bytes, depth: int) -> bytes:
    parts = _fields(data)
    if not parts:
        return plain(draw, data)
    at = draw.randrange(len(parts))
    number, kind, content = parts[at]
    if kind == 2 and depth and len(content) > 1 and draw.random() < 0.8:
        parts[at] = (number, kind, _changed_message(draw, content, depth - 1))
        return b"".join(_field(*part) for part in parts)
    choice = draw.randrange(7)
    if choice == 0:
        del parts[at]
    elif choice == 1:
        parts[at:at] = [parts[at]] * draw.choice((1, 3, 1000))
    elif choice == 2 and kind == 0:
        parts[at] = (number, 0, _varint(draw.choice(ODD_NUMBERS)))
    elif choice == 3:
        parts[at] = (
            draw.choice((number, 1, 5, 6, 10, 14, 25)),
            2,
            draw.choice(ODD_TEXTS).encode("utf-8", "surrogatepass"),
        )
    elif choice == 4:
        parts[at] = (number, 2, _field(number, 2, content) * draw.choice((1, 2)))
    elif choice == 5:
        other = draw.choice(parts)
        parts[at] = (number, other[1], other[2])
    else:
        parts[at] = (number, kind, _varint(draw.choice(ODD_NUMBERS)) if kind == 0 else plain(draw, content))
    return b"".join(_field(*part) for part in parts)


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return number, wire type and content of each field; none where it is no message."""
    parts, at = [], 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind, start = key & 7, at
        if kind == 0:
            _, at = _read_varint(data, at)
        elif kind == 2:
            length, start = _read_varint(data, at)
            at = start + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            return []
        if at > len(data) or not key >> 3 or key >> 3 > 1000:
            return []
        parts.append((key >> 3, kind, data[start:at]))
    return parts


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return value, len(data) + 1
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            break
    return value, at


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def _field(number: int, kind: int, content: bytes) -> bytes:
    return _varint(number << 3 | kind) + (_varint(len(content)) if kind == 2 else b"") + content


def png(draw: Random, data: bytes) -> bytes:
    """Change a chunk of a PNG file, with its checksum made right."""
    if draw.random() < 0.3 or data[:4] != b"\x89PNG":
        return plain(draw, data)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    chosen = draw.randrange(len(chunks))
    kind, content = chunks[chosen]
    if kind == b"IHDR" and draw.random() < 0.5:
        sides = [draw.choice((0, 1, 8000, 60_000, 1 << 31, (1 << 32) - 1)) for _ in range(2)]
        content = struct.pack(">II", *sides) + content[8:]
    else:
        content = plain(draw, content)
    chunks[chosen] = (draw.choice((kind, kind, b"zTXt", b"iCCP", b"tRNS", b"PLTE", b"eXIf")), content)
    return data[:8] + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )


def pickled(draw: Random, data: bytes) -> bytes:
    """Put opcodes into a pickle: marks, memo, calls, lengths that lie."""
    codes = (b"(", b"]", b"}", b")", b"t", b"\x85", b"\x86", b"\x94", b"h\x00", b"R", b"b", b"s", b"u", b"e", b"a", b".",  # noqa: E501
             b"cos\nsystem\n", b"\x93", b"\x8c\x05hello", b"\x8a\xff" + b"\x7f" * 255, b"X\xff\xff\xff\x7f", b"Nq\x00",  # noqa: E501
             b"I" + b"9" * 5000 + b"\n", b"F1e999\n", b"\x95" + b"\xff" * 8, b"\x8d" + b"\xff" * 8)  # fmt: skip  # noqa: E501
    at = draw.randrange(len(data) + 1)
    count = draw.choice((1, 1, 2, 5, 70, 100_000))
    kept = data[at:] if draw.random() < 0.7 else b""
    return (
        (data[:at] + (draw.choice(codes) * count)[: 8 * MIB] + kept)
        if draw.random() < 0.7
        else plain(draw, data)
    )
