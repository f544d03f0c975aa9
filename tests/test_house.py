"""The rules of the house that no other tool holds: rooms without `__init__.py`, and nothing too long to read."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.repository import ROOMS, ROOT, own_files

LONGEST_FILE = 399
LONGEST_FUNCTION = 59


# Alembic's records of one change each: generated, and never edited after they have run somewhere.
MIGRATIONS = Path("app/database/migrations/versions")


def sources() -> list[Path]:
    return [path for path in own_files(*ROOMS, "tests") if path.suffix == ".py"]


def hand_written() -> list[Path]:
    return [path for path in sources() if path.parent != MIGRATIONS]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_folder_of_ours_is_a_regular_package() -> None:
    assert sources()
    assert [path for path in sources() if path.name == "__init__.py"] == []


def test_graphql_is_the_library_even_from_the_root() -> None:
    program = "import graphql; print(graphql.__file__); print(graphql.GraphQLSchema.__module__)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    file, module = run.stdout.split()
    assert Path(file).parts[-2:] == ("graphql", "__init__.py")
    assert not Path(file).is_relative_to(ROOT / "graphql")
    assert module == "graphql.type.schema"


def test_files_are_short() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in hand_written()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in hand_written()
        for node in functions(path)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_imports_are_absolute() -> None:
    relative = [
        f"{path}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert relative == []


def test_the_rooms_import_only_what_they_may(tmp_path: Path) -> None:
    package = tmp_path / "callwright"
    package.mkdir()
    for room in ROOMS:
        (package / room).symlink_to(ROOT / room)
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
