"""The bytes of a text file as UTF-8: decompressed, decoded, and which encoding that took.

Bytes that are not UTF-8 are UTF-16 or UTF-32 by their mark or their NUL bytes, or what
charset-normalizer makes of them. Western European encodings differ in few characters; Windows-1252
is taken if its text is as plausible as any other.
"""

from __future__ import annotations

import codecs
import lzma
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from deltarule.errors import TableError
from deltarule.tables.messages import show
from deltarule.utils.context import error_context

__all__ = ["HARMLESS_BYTES", "MAX_EXPANSION", "TextFile", "check_encoding", "compression_of"]

MAX_EXPANSION = 1000
"""Files that expand to more than so many times their size are refused (decompression bombs), ..."""
HARMLESS_BYTES = 2**28
"""... if the result exceeds this."""
READ_BYTES = 2**20
SAMPLE_BYTES = 2**15
"""Lines that are not ASCII, from which the encoding is told."""

_COMPRESSIONS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSED = (
    "cp1252", "latin_1", "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874",
    "cp932", "euc_jis_2004", "gb18030", "big5", "cp949",
)  # fmt: skip
"""The encodings that charset-normalizer tells apart; cp1250 looks too much like the first."""
_FOREIGN_WORD = re.compile(r"\w*[^\W\x00-\x7f]\w*")
_WITHIN = re.compile(r"[^\W\d_][¡-©«-´¶-¹»-¿×÷\x80-\x9f†‡•…‰‹›“”„€™ˇ˘˛˝˙][^\W\d_]")
"""A sign within a word."""
_ELSE = (
    "if it looks wrong, name --encoding: those of one alphabet look alike, such as cp1252 (Western "
    "Europe), cp1250 (Central Europe) and cp1254 (Turkey)"
)
_SLACK = 0.1
"""Windows-1252 may be so much less plausible, on charset-normalizer's scale from 0 to 1."""


def compression_of(head: bytes) -> str:
    """Return the compression of a file that begins with some bytes, or an empty text."""
    return next((name for magic, name in _COMPRESSIONS if head.startswith(magic)), "")


class TextFile:
    """A file of text that is read as UTF-8, from any of its bytes on.

    Parameters
    ----------
    path : Path
        The file.
    encoding : str or None
        What the user says; a byte order mark has the last word.
    look : int
        So many bytes are looked at to tell the encoding.

    Attributes
    ----------
    seekable : bool
        Whether reading from the middle is as fast as from the beginning.
    begin : int
        Where the text begins: after a byte order mark that is not decoded.
    note : str
        What the user should know about the encoding.
    """

    def __init__(self, path: Path, encoding: str | None, look: int) -> None:
        self.path, self.note, self._guessed = path, "", ""
        with open(path, "rb") as file:
            self.compression = compression_of(file.read(8))
        with self._raw() as raw:
            head = raw.read(2**12)
        marked = next((name for mark, name in _MARKS if head.startswith(mark)), "")
        self.encoding = marked or encoding or _of_nuls(head) or self._look(look)
        if codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig", "ascii"):
            self.encoding = "utf-8"
        elif not encoding:
            told = self._guessed or "; if it looks wrong, name --encoding"
            self.note = f"the text is read as {self.encoding}{told}"
        self._plain = self.encoding == "utf-8"
        self.begin = len(codecs.BOM_UTF8) if self._plain and marked else 0
        self.seekable = self._plain and not self.compression

    @contextmanager
    def open(self, start: int = 0) -> Iterator[Any]:
        """Open the file for ``read(size)``, which returns UTF-8; positions count bytes of it."""
        if self.seekable:
            with open(self.path, "rb") as file:
                file.seek(start)
                yield file
            return
        with self._raw() as raw:
            stream: Any = raw if self._plain else _Decoded(raw, self.encoding, self.path)
            while start:
                start -= len(stream.read(min(start, READ_BYTES))) or start
            yield stream

    def expansion(self, size: int) -> float:
        """Return how many bytes a byte of a compressed file gives, by so many bytes of it."""
        if not self.compression:
            return 1.0
        with open(self.path, "rb") as file, _decompressing(file, self.compression) as stream:
            given = len(stream.read(size))
            return given / max(file.tell(), 1)

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        """Open the decompressed bytes."""
        with open(self.path, "rb") as file:
            if not self.compression:
                yield file
                return
            length = os.fstat(file.fileno()).st_size
            with self._damaged(), _decompressing(file, self.compression) as stream:
                yield _Guarded(stream, max(HARMLESS_BYTES, MAX_EXPANSION * length), self.path)

    def _damaged(self) -> AbstractContextManager[None]:
        def refused(error: Exception) -> TableError:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            return TableError(
                f"{self.path} is a damaged {self.compression} file ({reason}); write it again"
            )

        kinds = (pa.ArrowException, OSError, EOFError, ValueError, lzma.LZMAError)
        return error_context((kinds, refused), unless=(TableError, MemoryError))

    def _look(self, size: int) -> str:
        """Return the encoding of a file without a mark, by its first bytes that are not ASCII."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        with self._raw() as raw:
            while size > 0 and (data := raw.read(READ_BYTES)):
                size -= len(data)
                try:
                    # The decoder holds at most one character that the bytes cut in two.
                    _ = (data.isascii() and decoder.getstate()[0] == b"") or decoder.decode(data)
                except UnicodeDecodeError as error:
                    before = decoder.getstate()[0]
                    rest = (before + data)[: error.start]
                    if not rest.isascii() or b"\0" in data:
                        return "utf-8"  # damaged, or no text: reading it says where
                    return self._guess(data + raw.read(READ_BYTES))
        return "utf-8"

    def _guess(self, data: bytes) -> str:
        from charset_normalizer import from_bytes

        lines = [line for line in data.splitlines(keepends=True) if not line.isascii()]
        sample = b"".join(lines)[:SAMPLE_BYTES]
        sample = sample[: sample.rfind(b"\n") + 1] or sample
        found = from_bytes(sample, cp_isolation=list(_GUESSED))
        best = found.best()
        western = [match for match in found if "cp1252" in match.could_be_from_charset]
        encoding = ""
        if _is_central(sample):
            encoding = "cp1250"
        elif western and best is not None and western[0].chaos <= best.chaos + _SLACK:
            encoding = "cp1252"
        elif best is not None and best.alphabets:
            encoding = str(best.encoding).replace("latin_1", "latin-1")
        if not encoding:
            raise TableError(
                f"{self.path} is not UTF-8, and its encoding cannot be told; name it, such as "
                "--encoding latin-1, or cp1250 for Central Europe"
            )
        words = _FOREIGN_WORD.findall(sample.decode(encoding, "replace"))
        example = f", such as {show(max(words[:20], key=len), 20)}" if words else ""
        self._guessed = f"{example}; {_ELSE}"
        return encoding


class _Decoded:
    """Bytes of a text in another encoding, read as UTF-8."""

    def __init__(self, raw: Any, encoding: str, path: Path) -> None:
        self._raw, self._encoding, self._path = raw, encoding, path
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._first, self._line, self._held = True, 1, b""

    def read(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end only."""
        while not self._held:
            data = self._raw.read(READ_BYTES)
            try:
                text = self._decoder.decode(data, not data)
                if self._first and text:
                    self._first, text = False, text.removeprefix("\ufeff")
                self._held = text.encode()
            except (UnicodeError, ValueError) as error:
                raise self._fault(error, data) from None
            self._line += text.count("\n") + (text.count("\r") - text.count("\r\n"))
            if not data:
                break
        given, self._held = self._held[:size], self._held[size:]
        return given

    def _fault(self, error: Exception, data: bytes) -> TableError:
        start = getattr(error, "start", 0)
        line = self._line + data[:start].count(b"\n")
        return TableError(
            f"{self._path}, line {line} is not {self._encoding}; name the file's --encoding, such "
            "as --encoding latin-1, or write it as UTF-8"
        )


class _Guarded:
    """A stream that ends with an error if it gives too many bytes."""

    def __init__(self, stream: Any, most: int, path: Path) -> None:
        self._stream, self._most, self._left, self._path = stream, most, most, path

    def read(self, size: int) -> bytes:
        """Return at most so many bytes; none at the end only."""
        data = bytes(self._stream.read(size))
        self._left -= len(data)
        if self._left < 0:
            raise TableError(
                f"{self._path} would expand to more than {self._most} bytes; it is damaged or made "
                "to fill the memory. If it is sound, decompress it first"
            )
        return data


def _decompressing(file: IO[bytes], compression: str) -> Any:
    if compression == "xz":
        return lzma.LZMAFile(file)
    return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)


def _is_central(sample: bytes) -> bool:
    """Whether a text is of words in Windows-1250, but has signs within words in Windows-1252."""
    try:
        central = sample.decode("cp1250")
    except UnicodeDecodeError:
        return False
    letters = "".join(_FOREIGN_WORD.findall(central))
    plain = sum(letter.isascii() for letter in letters)
    if _WITHIN.search(central) or not letters or 2 * plain < len(letters):
        return False
    try:
        return bool(_WITHIN.search(sample.decode("cp1252")))
    except UnicodeDecodeError:  # a byte that it does not have
        return True


def _of_nuls(head: bytes) -> str:
    """Return UTF-16 if every other byte is NUL nearly always, as in Latin text without a mark."""
    pairs = len(head) // 2
    even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if pairs < 4 or max(even, odd) < 0.7 * pairs or min(even, odd) > 0.02 * pairs:
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def check_encoding(name: str) -> None:
    """Refuse a name that is no encoding of texts."""
    try:
        known = codecs.lookup(name)
        codecs.getincrementaldecoder(name)
        text = bool(getattr(known, "_is_text_encoding", True))
        "x".encode(name)
    except (LookupError, UnicodeError, ValueError):
        text = False
    if not text:
        raise TableError(
            f"{show(name)} is no encoding; name one that Python knows, such as utf-8, latin-1, "
            "cp1252 or utf-16 (--encoding)"
        )
