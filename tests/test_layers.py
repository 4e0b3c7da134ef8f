"""Data flows in one direction: which package may import which, and which library belongs where."""

import ast
from pathlib import Path

import mnistlin

ROOT = Path(mnistlin.__file__).parent

LAYERS = [
    ["_version", "errors", "shipped", "text"],
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
RANK = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}

LIBRARIES = {
    "click": ["mnistlin.cli"],
    "tqdm": ["mnistlin.cli"],
    "PIL": ["mnistlin.data.drawing"],
    "matplotlib": ["mnistlin.figures", "mnistlin.analysis"],
    "pooch": ["mnistlin.data.download"],
    "yaml": ["mnistlin.config", "mnistlin.runs"],
}
"""Where a library may be imported."""

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


def imports(tree):
    """Yield the dotted name of everything that is imported, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (each if each in MODULES else node.module for each in names)


IMPORTS = {name: set(imports(tree)) for name, tree in MODULES.items()}


def package_of(name):
    """Return the package of a module: `runs` of `mnistlin.runs.folder`."""
    return name.split(".")[1]


def is_within(name, package):
    """Say whether a module is a package or in it."""
    return name == package or name.startswith(f"{package}.")


def nodes(names, kind):
    """Yield the nodes of a kind in these modules, each with its place."""
    for name in names:
        for node in ast.walk(MODULES[name]):
            if isinstance(node, kind):
                yield f"{name}, line {node.lineno}", node


def test_each_package_has_a_layer():
    """A new package gets its line in LAYERS, where the design says its place."""
    assert {"config", "training", "cli"} <= {package_of(n) for n in MODULES if n != "mnistlin"}
    assert not {package_of(name) for name in MODULES if name != "mnistlin"} - set(RANK)


def test_modules_import_their_own_package_and_earlier_layers_only():
    """Packages of one layer do not know each other."""
    wrong = [
        f"{name} imports {imported}"
        for name in MODULES
        for imported in IMPORTS[name]
        if name != "mnistlin" and imported.startswith("mnistlin.")
        if package_of(imported) != package_of(name)
        if RANK[package_of(imported)] >= RANK[package_of(name)]
    ]
    assert not wrong


def test_no_module_imports_the_package_as_a_whole():
    """Which is above all of them."""
    assert not [name for name in MODULES if "mnistlin" in IMPORTS[name]]


def test_no_two_modules_import_each_other():
    """Nor do more of them in a circle, also within a package."""
    waiting = {
        name: {each for each in IMPORTS[name] if each in MODULES} - {name, "mnistlin"}
        for name in MODULES
        if name != "mnistlin"
    }
    while free := [name for name, needed in waiting.items() if not needed & set(waiting)]:
        for name in free:
            del waiting[name]
    assert not waiting


def test_libraries_are_imported_where_they_belong_only():
    """So click and tqdm stay in cli, matplotlib in figures, pooch in data/download.py."""
    wrong = [
        f"{name} imports {imported}"
        for name in MODULES
        for imported in IMPORTS[name]
        for packages in [LIBRARIES.get(imported.split(".")[0], [name])]
        if not any(is_within(name, package) for package in packages)
    ]
    assert not wrong


def test_model_and_training_are_pure():
    """Arrays in, values out: no files, no printing, no clock, no environment, no global state."""
    imported = [(name, each.split(".")[0]) for name in PURE for each in IMPORTS[name]]
    wrong = [
        *(f"{name} imports {library}" for name, library in imported if library in IMPURE_MODULES),
        *(place for place, _ in nodes(PURE, ast.Global)),
        *(place for place, node in nodes(PURE, ast.Name) if node.id in IMPURE_NAMES),
        *(place for place, node in nodes(PURE, ast.Attribute) if node.attr in IMPURE_ATTRIBUTES),
    ]
    assert len(PURE) > 5
    assert not wrong


def test_random_numbers_come_from_a_generator():
    """NumPy's global one is shared by all, so that no run could be repeated."""
    wrong = [
        place
        for place, node in nodes(MODULES, ast.Attribute)
        if ast.unparse(node.value) in {"np.random", "random"}
        if node.attr not in {"default_rng", "Generator", "RandomState"}
    ]
    assert not wrong


def test_each_module_has_a_docstring():
    """Its first lines say what belongs in it."""
    assert not [name for name, tree in MODULES.items() if not ast.get_docstring(tree)]
