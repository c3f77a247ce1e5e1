"""Unpack compressed record batches piece by piece: no sender decides how much memory that takes.

100 kB of gzip can become 100 MB, and 1 MB of zstd 30 GB. The codecs of aiokafka unpack a record
batch into one object, however large it becomes. Here a batch is unpacked in pieces, `Unpacked`
reads them like a file, and `MAX_UNPACKED_BYTES` limits their sum.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Self

import cramjam
import lz4.frame
from backports import zstd

from shared.events.field_types import MESSAGE_BYTES

PIECE_BYTES = 1 << 20
WHOLE_BYTES = 8 << 20
"""A record batch that unpacks to no more is read at once, by the library's fast reader."""
MAX_UNPACKED_BYTES = 256 << 20
"""A record batch that unpacks to more is not decoded. It takes a second to unpack so much."""
RECORD_BYTES = MESSAGE_BYTES + 200_000
"""A longer record of a batch over `WHOLE_BYTES` is not kept whole."""
KEPT_BYTES = 1 << 16
"""What is kept of a key or value of such a record, and of each key and value in a dead letter."""
ZSTD_WINDOW_LOG_MAX = 25
"""The largest window, 32 MiB. Decoders allocate it as soon as a frame asks for it."""
SNAPPY_RATIO = 64
"""No snappy block unpacks to more than this many times its length."""
XERIAL_MAGIC, XERIAL_HEADER_BYTES = b"\x82SNAPPY\x00", 16
MAX_VARINT_BYTES = 10


class Undecodable(Exception):
    """A record batch cannot be decoded; the text says why."""


class OversizedValue(bytes):
    """The first bytes of a value that was not kept whole, or whose record was not.

    `length` and `value_sha256` are those of the whole value, `record_bytes` is the record's length.
    """

    length: int
    value_sha256: bytes
    record_bytes: int

    @classmethod
    def of(cls, first: bytes, length: int, sha256: bytes, record_bytes: int) -> Self:
        """Makes one from its first bytes."""
        made = cls(first)
        made.length, made.value_sha256, made.record_bytes = length, sha256, record_bytes
        return made


def unpack(codec: int, packed: memoryview) -> Iterator[bytes]:
    """The content of a record batch in pieces; `codec` is the number in the batch's attributes.

    Raises `Undecodable`, or the codec's own error.
    """
    if codec not in _PIECES:
        raise Undecodable(f"no codec has the number {codec}")
    total = 0
    for piece in _PIECES[codec](packed):
        total += len(piece)
        if total > MAX_UNPACKED_BYTES:
            limit = MAX_UNPACKED_BYTES >> 20
            raise Undecodable(f"its {len(packed):,} bytes unpack to more than {limit} MiB")
        yield piece


class _Gzip:
    """The decompressor of the standard library, with the methods of the other two."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: Any, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail or data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _zstd() -> Any:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
    return zstd.ZstdDecompressor(options=options)


def _stream_of(new: Callable[[], Any]) -> Callable[[memoryview], Iterator[bytes]]:
    """Unpack with a decompressor that gives at most as much as it is asked for."""

    def pieces(packed: memoryview) -> Iterator[bytes]:
        rest: Any = packed
        while rest:
            decompressor, data = new(), rest
            while not decompressor.eof:
                piece = decompressor.decompress(data, PIECE_BYTES)
                if not piece and not decompressor.eof:
                    raise Undecodable("the compressed data ends too early")
                data = b""
                yield piece
            rest = decompressor.unused_data

    return pieces


def _snappy(packed: memoryview) -> Iterator[bytes]:
    """Unpack snappy, alone or in the frame of the Java library xerial, as Kafka's clients do."""
    if bytes(packed[: len(XERIAL_MAGIC)]) != XERIAL_MAGIC:
        yield _snappy_block(packed)
        return
    at = XERIAL_HEADER_BYTES
    while at < len(packed):
        (length,) = struct.unpack_from(">i", packed, at)
        at += 4
        if not 0 < length <= len(packed) - at:
            raise Undecodable("the length of a snappy block is wrong")
        yield _snappy_block(packed[at : at + length])
        at += length


def _snappy_block(packed: memoryview) -> bytes:
    # The decoder allocates what the block announces before it looks at the data.
    if cramjam.snappy.decompress_raw_len(packed) > len(packed) * SNAPPY_RATIO:
        raise Undecodable("the length of a snappy block is wrong")
    return bytes(cramjam.snappy.decompress_raw(packed))


_PIECES: dict[int, Callable[[memoryview], Iterator[bytes]]] = {
    1: _stream_of(_Gzip),
    2: _snappy,
    3: _stream_of(lz4.frame.LZ4FrameDecompressor),
    4: _stream_of(_zstd),
}


class Unpacked:
    """The unpacked content of a record batch, read from its beginning to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = bytearray()
        self.position = 0

    def whole(self) -> bytes | None:
        """The whole content, if it has at most `WHOLE_BYTES`; else None, and nothing is read."""
        for piece in self._pieces:
            self._buffer += piece
            if len(self._buffer) > WHOLE_BYTES:
                return None
        return bytes(self._buffer)

    def read(self, length: int) -> bytes:
        """Exactly so many bytes. Raises `Undecodable` at the end."""
        if length < 0:
            raise Undecodable("a length is negative")
        while len(self._buffer) < length:
            self._buffer += self._next_piece()
        found = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        self.position += length
        return found

    def varint(self) -> int:
        """A signed number as Kafka writes it."""
        value = 0
        for at in range(MAX_VARINT_BYTES):
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << 7 * at
            if not byte & 0x80:
                return value >> 1 ^ -(value & 1)
        raise Undecodable("a number has too many bytes")

    def digest(self, length: int) -> tuple[bytes, bytes]:
        """The first of so many bytes, and the SHA-256 of all. -1, for null, gives that of none."""
        first, digest, left = b"", hashlib.sha256(), max(length, 0)
        while left:
            part = self.read(min(left, PIECE_BYTES))
            first = first or part[:KEPT_BYTES]
            digest.update(part)
            left -= len(part)
        return first, digest.digest()

    def _next_piece(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            raise Undecodable("a record is longer than its batch")
        return piece
