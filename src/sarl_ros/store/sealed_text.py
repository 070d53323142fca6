"""Text files whose first line is a checksum of the rest, so that one that was cut or changed is told from a whole one.

A file without that line is taken as it is: a person wrote it, or changed it and meant to.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sarl_ros.store.appendfile import StoreError, replace_file

SEAL = "# sha256 of all below: "
SEALED = re.compile(re.escape(SEAL) + r"([0-9a-f]{64})\n")


def write_sealed(path: Path, text: str) -> None:
    """Replace a text file as a whole, with its checksum before it.

    Raises:
        OSError: it cannot be written; it is as it was.
    """
    body = text.encode()
    replace_file(path, [f"{SEAL}{hashlib.sha256(body).hexdigest()}\n".encode(), body])


def read_sealed(path: Path) -> str:
    """A text file, held against its checksum if it has one.

    Raises:
        StoreError: it cannot be read, is no text, or is not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}): restore it from a copy") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise StoreError(
            f"{path}: is damaged, it is no text from byte {error.start} on: restore it from a copy"
        ) from error
    if not text.strip() or "\0" in text:
        raise StoreError(f"{path}: is damaged, it is {'no text' if text.strip() else 'empty'}: restore it from a copy")
    seal = SEALED.match(text)
    if seal is None and not text.startswith(SEAL[:8]):
        return text
    if seal is None or hashlib.sha256(text[seal.end() :].encode()).hexdigest() != seal[1]:
        raise StoreError(
            f"{path}: was changed or cut since it was written: restore it, or delete its first line if you meant to"
        )
    return text
