"""The shape of the house: seams are open to plug-ins, and imports go one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import outgrow
from outgrow.kinds import BUILT_IN

SOURCE = Path(outgrow.__file__).parent
FILES = {
    "outgrow." + ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}
CLASSES = {
    place.partition("@")[0].partition(":")[2]
    for own in BUILT_IN.values()
    for line in own.values()
    for place in line.split()
}


def test_no_room_tells_plug_ins_apart_by_their_class() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, path in FILES.items()
        if name.split(".")[1] in {"pipeline", "tasks", "refine", "supervisors"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "issubclass")
        and {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)} & CLASSES
    ]
    assert not found


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules of the package that a file imports when it runs, also inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("outgrow"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in FILES else str(node.module)
        yield from imports(node)


def test_no_two_files_import_each_other() -> None:
    graph = {name: set(imports(ast.parse(path.read_text()))) & set(FILES) - {name} for name, path in FILES.items()}
    while True:
        free = {name for name, needed in graph.items() if not needed & set(graph)}
        if not free:
            break
        graph = {name: needed for name, needed in graph.items() if name not in free}
    assert not graph, {name: sorted(needed & set(graph)) for name, needed in graph.items()}
