"""Run folders as a stranger might send them: strategies that spoil the files of a good one."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import yaml
from hypothesis import strategies as st

NAMES = (
    "config.yaml",
    "run.json",
    "metrics.csv",
    "steps.csv",
    "summary.json",
    "weights.npz",
    "confusion.csv",
    "checkpoint.npz",
)


class Files(dict):
    """The content of each file of a folder, by name; too long to be shown when a test fails."""

    def __repr__(self):
        return f"<{', '.join(self)}>"

    @classmethod
    def of(cls, folder):
        """Read those of NAMES that a folder has."""
        return cls({n: (folder / n).read_bytes() for n in NAMES if (folder / n).exists()})


NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.sampled_from([2**31, 2**63, 65_536, 256, 10_000]),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["../..", "/etc/passwd", "\x1b[31mred", "a\0b", "$\\frac{", "x" * 5000]),
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def bent(draw, content):
    """Draw bytes with a few of them changed, cut out, put in, repeated, or the end cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        n_replaced = draw(st.sampled_from([0, 1, 1, 4, 40, len(content)]))
        new = draw(st.one_of(st.binary(max_size=4), st.just(bytes(content[at : at + 40]))))
        content[at : at + n_replaced] = new
    return bytes(content)


@st.composite
def other_json(draw, content):
    """Draw a JSON (or YAML) text in which a value, at any depth, is another one, or missing."""
    values = yaml.safe_load(content)  # which reads JSON too
    parent, key = values, draw(st.sampled_from(sorted(values)))
    while isinstance(parent[key], dict) and parent[key] and draw(st.booleans()):
        parent = parent[key]
        key = draw(st.sampled_from(sorted(parent)))
    if draw(st.booleans()):
        parent[key] = draw(JSON_VALUES)
    else:
        del parent[key]
    return json.dumps(values).encode()


@st.composite
def other_cells(draw, content):
    """Draw a CSV text with another cell somewhere, a row too many, or one too few."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row = draw(st.integers(0, len(rows) - 1))
    match draw(st.sampled_from(["cell", "cell", "cell", "more", "less"])):
        case "cell":
            column = draw(st.integers(0, len(rows[row]) - 1))
            rows[row][column] = str(draw(st.one_of(NUMBERS, TEXTS)))
        case "more":
            rows.insert(row, draw(st.lists(NUMBERS.map(str), max_size=10)))
        case "less":
            del rows[row]
    text = "".join(f"{','.join(cells)}\n" for cells in rows)
    return text.encode(errors="surrogatepass")


@st.composite
def other_arrays(draw, content):
    """Draw an .npz file with another array in it, or one that says other things of itself."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(entries)))
    match draw(st.sampled_from(["array", "header", "numbers", "drop"])):
        case "array":
            shape = draw(st.lists(st.integers(0, 4), max_size=3))
            dtype = draw(st.sampled_from(["f4", "f8", "i8", "u1", "c8", "U3", "bool", "f2"]))
            buffer = io.BytesIO()
            np.save(buffer, np.zeros(shape, dtype))
            entries[name] = buffer.getvalue()
        case "header":
            entries[name] = draw(bent(entries[name][:128])) + entries[name][128:]
        case "numbers":
            entries[name] = entries[name][:128] + draw(bent(entries[name][128:]))
        case "drop":
            del entries[name]
    buffer = io.BytesIO()
    kinds = [zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
    with zipfile.ZipFile(buffer, "w", draw(st.sampled_from(kinds))) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    return buffer.getvalue()


def contents(name, content):
    """Return what may be in a file in the place of its good content."""
    ways = {".json": other_json, ".yaml": other_json, ".csv": other_cells, ".npz": other_arrays}
    way = ways[Path(name).suffix](content)
    return st.one_of(way, way, bent(content), st.binary(max_size=100))


def put_folder(path):
    """Put a folder in the place of a file."""
    path.mkdir()


def put_pipe(path):
    """Put a pipe in the place of a file: who reads it waits for ever."""
    os.mkfifo(path)


def put_link(path):
    """Put a link in the place of a file, to one that never ends."""
    path.symlink_to("/dev/zero")


def put_huge(path):
    """Put a file of a terabyte of zeros in its place."""
    with path.open("wb") as file:
        file.truncate(2**40)


def put_nothing(path):
    """Leave out a file."""


THINGS = (put_nothing, put_folder, put_pipe, put_link, put_huge)


def spoiled_files(good, names=NAMES):
    """Return which files of a good folder are spoiled, and how: by bytes, or by a function."""

    def spoil(chosen):
        things = st.sampled_from(THINGS)
        return st.fixed_dictionaries(
            {name: st.one_of(*[contents(name, good[name])] * 5, things) for name in chosen}
        )

    return st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True).flatmap(spoil)


def write_folder(path, good, spoiled):
    """Write a folder with the good files, but for those that are spoiled."""
    for name, content in (good | spoiled).items():
        file = path / name
        if callable(content):
            content(file)
        else:
            file.write_bytes(content)
