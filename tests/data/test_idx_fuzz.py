"""Whatever a file holds, the reader returns what is in it or says what it is; nothing else.

The number of examples is that of the active hypothesis profile.
"""

import gzip
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mnistlin.data.idx import IdxError, encode_idx, read_idx

BUFFERS = 2 * 2**20
"""What the reader may use besides the values: blocks, and the state of zlib."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """One file that all examples write, one after another."""
    return tmp_path_factory.mktemp("fuzz") / "train-images-idx3-ubyte"


@st.composite
def idx_files(draw):
    """Draw the content of a good file of 1 to 4 dimensions."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    size = int(np.prod(shape))
    values = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    return encode_idx(values.reshape(shape))


@st.composite
def headers_that_lie(draw):
    """Draw headers with large sizes, before data that has nothing to do with them."""
    sizes = draw(st.lists(st.integers(0, 2**32 - 1), min_size=0, max_size=5))
    type_code = draw(st.sampled_from([8, 8, 8, 9, 13, 0]))
    n_dims = draw(st.sampled_from([len(sizes), 3, 255]))
    header = struct.pack(f">HBB{len(sizes)}I", 0, type_code, n_dims, *sizes)
    return header + draw(st.binary(max_size=60))


@st.composite
def bombs(draw):
    """Draw a gzip file of about a kilobyte a megabyte, whose header fits, or nearly."""
    n_bytes = draw(st.integers(1, 4 * 2**20))
    claimed = n_bytes + draw(st.integers(-2, 2))
    return gzip.compress(struct.pack(">HBBI", 0, 8, 1, max(claimed, 0)) + bytes(n_bytes))


@st.composite
def mutated(draw, files):
    """Draw a file with a few bytes changed, cut out, put in, or the end cut off."""
    content = bytearray(draw(files))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        n_replaced = draw(st.sampled_from([0, 1, 1, 4, len(content)]))
        content[at : at + n_replaced] = draw(st.binary(max_size=4))
    return bytes(content)


def files(contents):
    """Return files that hold the contents as they are, or in gzip."""
    return st.one_of(contents, contents.map(gzip.compress))


def read_within_bounds(path, content, **options):
    """Read a file; return what was found or None, and check errors and memory."""
    path.write_bytes(content)
    found, refusal = None, str(path)
    tracemalloc.start()
    try:
        found = read_idx(path, **options)
    except IdxError as error:
        refusal = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    event("refused" if found is None else "read")
    assert str(path) in refusal
    assert peak <= BUFFERS + 1032 * len(content)
    return found


def unpacked(content):
    """Return what is in a file, gzip or not."""
    with suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(content)
    return content


@settings(deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=200),
        files(idx_files()),
        mutated(files(idx_files())),
        files(mutated(idx_files())),
        files(headers_that_lie()),
        bombs(),
        mutated(bombs()),
    ),
    n_dims=st.sampled_from([None, None, 1, 3]),
    max_items=st.one_of(st.none(), st.integers(0, 3)),
)
def test_a_file_is_read_exactly_or_refused(path, content, n_dims, max_items):
    """No other error, no other memory; and what is read as a whole is all that the file holds."""
    found = read_within_bounds(path, content, n_dims=n_dims, max_items=max_items)
    if found is not None and max_items is None:
        assert encode_idx(found.values) == unpacked(content)


@settings(deadline=None)
@given(content=files(idx_files()))
def test_a_good_file_is_never_refused(path, content):
    """All of it comes back, whatever its shape."""
    found = read_within_bounds(path, content)
    assert found is not None
    assert encode_idx(found.values) == unpacked(content)
