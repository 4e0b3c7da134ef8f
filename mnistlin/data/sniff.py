"""What a file is by its first bytes, to say in an error what was found instead of images or labels.

Only names kinds of files; whether an IDX file is a good one is for `idx` to say.
"""

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 64
"""How many bytes are enough to tell."""

_IDX_TYPES = {
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}
_FORMATS = {
    GZIP_MAGIC: "a gzip file",
    b"PK\x03\x04": "a ZIP archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a NumPy .npy file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
}
_TEXTS = {
    b"<!doctype html": "a web page (HTML)",
    b"<html": "a web page (HTML)",
    b"<?xml": "an XML document",
    b"version https://git-lfs": "a Git LFS pointer, which stands for a file kept elsewhere",
}


def describe_head(head: bytes) -> str:
    """Say what a file is that does not begin like an IDX file of unsigned bytes.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the file, or all of a shorter file.

    Returns
    -------
    str
        A phrase that follows "it is", such as "a web page (HTML)".
    """
    if not head:
        return "empty"
    if head[:2] == b"\0\0" and len(head) > 2 and head[2] in _IDX_TYPES:
        return f"an IDX file of {_IDX_TYPES[head[2]]}; only unsigned bytes can be read"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, name in (*_FORMATS.items(), *_TEXTS.items()):
        if (head if start in _FORMATS else text).startswith(start):
            return name
    if text.isascii() and "".join(text.decode("ascii").split()).isprintable():
        return "a text file"
    return f"not an IDX file: it begins with the bytes {head[:4].hex(' ')}"
