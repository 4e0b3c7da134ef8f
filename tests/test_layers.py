"""The one-way road of the package: which module may import which, and which library."""

import ast
from pathlib import Path

import pytest

import mnistlin

ROOT = Path(mnistlin.__file__).parent

LAYERS = [
    ["errors"],
    ["config", "model"],
    ["data"],
    ["training"],
    ["runs"],
    ["experiment"],
    ["sweep"],
    ["figures"],
    ["analysis"],
    ["report"],
    ["cli"],
    ["__main__"],
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

HOMES = {
    "click": ["mnistlin.cli"],
    "tqdm": ["mnistlin.cli"],
    "PIL": ["mnistlin.data.drawing"],
    "matplotlib": ["mnistlin.figures", "mnistlin.analysis"],
    "pooch": ["mnistlin.data.download"],
    "yaml": ["mnistlin.config", "mnistlin.runs"],
}

IMPURE_MODULES = {
    *("time", "datetime", "random", "logging", "warnings", "subprocess", "socket", "tempfile"),
    *("io", "pathlib", "shutil", "sys"),
}
IMPURE_NAMES = {"open", "print", "input", "exec", "eval"}
IMPURE_ATTRIBUTES = {"environ", "getenv", "memmap", "fromfile", "tofile", "load", "save", "savez"}


def modules():
    """Return every module of the package by its dotted name, without a final `.__init__`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = modules()
PURE = [name for name in MODULES if name.startswith(("mnistlin.model", "mnistlin.training"))]
every_module = pytest.mark.parametrize("name", MODULES)


def imports(tree):
    """Yield the dotted name of everything that is imported, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (each if each in MODULES else node.module for each in names)


def room(name):
    """Return the room of a module: `runs` of `mnistlin.runs.folder`."""
    return name.split(".")[1]


def is_within(name, package):
    """Say whether a module is a package or in it."""
    return name == package or name.startswith(f"{package}.")


def test_the_modules_were_found():
    """Otherwise nothing below would show anything."""
    assert {"mnistlin", "mnistlin.config", "mnistlin.training.sgd"} <= set(MODULES)


@every_module
def test_each_module_has_a_layer(name):
    """A new room gets its line in LAYERS, where the design says its place."""
    assert name == "mnistlin" or room(name) in RANK


@every_module
def test_modules_import_only_earlier_layers(name):
    """Or their own room; rooms of one layer do not know each other."""
    if name == "mnistlin":
        return
    for imported in set(imports(MODULES[name])):
        if is_within(imported, "mnistlin") and imported != "mnistlin":
            other = room(imported)
            assert other == room(name) or RANK[other] < RANK[room(name)], imported


def test_no_two_modules_import_each_other():
    """Nor do more of them in a ring, also within a room."""
    waiting = {
        name: {each for each in imports(tree) if each in MODULES} - {name, "mnistlin"}
        for name, tree in MODULES.items()
        if name != "mnistlin"
    }
    while free := [name for name, needed in waiting.items() if not needed & set(waiting)]:
        for name in free:
            del waiting[name]
    assert not waiting


@every_module
def test_libraries_are_imported_in_their_homes_only(name):
    """So click and tqdm stay in cli, matplotlib in figures, pooch in data/fetch.py."""
    for imported in imports(MODULES[name]):
        library = imported.split(".")[0]
        homes = HOMES.get(library, [name])
        assert any(is_within(name, home) for home in homes), f"{library} belongs into {homes}"


@pytest.mark.parametrize("name", PURE)
def test_model_and_training_are_pure(name):
    """Arrays in, values out: no files, no printing, no clock, no environment, no global state."""
    tree = MODULES[name]
    assert not IMPURE_MODULES & {imported.split(".")[0] for imported in imports(tree)}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global), f"line {node.lineno}"
        if isinstance(node, ast.Name):
            assert node.id not in IMPURE_NAMES, f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in IMPURE_ATTRIBUTES, f"line {node.lineno}"


@every_module
def test_random_numbers_come_from_a_generator(name):
    """NumPy's global one is shared by all, so that no run could be repeated."""
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"np.random", "random"}:
            assert node.attr in {"default_rng", "Generator", "RandomState"}, f"line {node.lineno}"


@every_module
def test_each_module_says_what_belongs_in_it(name):
    """In its first lines."""
    assert ast.get_docstring(MODULES[name])
