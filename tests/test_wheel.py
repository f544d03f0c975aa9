"""The wheel, built from a clean copy and installed in a clean environment: every module and data file is in it."""

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.repository import ROOMS, ROOT, own_files

# Alembic runs it inside a migration; it is no module to import.
NOT_IMPORTED = {Path("app/database/migrations/env.py")}

IMPORT_ALL = """
import importlib, pathlib, sys
home = pathlib.Path(sys.prefix).resolve()
for name in sys.stdin.read().split():
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__).resolve().is_relative_to(home), f"{name} comes from {module.__file__}"
"""


def run(*argv: str | Path, cwd: Path, stdin: str = "") -> str:
    """Runs a command and returns its output; fails the test with all it said."""
    done = subprocess.run(argv, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a leftover build folder must not lend files to it."""
    copy = tmp_path_factory.mktemp("source")
    for path in own_files(*ROOMS, "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, copy / path)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist", cwd=copy)
    [built] = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel, and this one's packages but not its editable install."""
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel), cwd=home)
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    # A path file inside a path file is not read, so the editable install stays out.
    Path(purelib, "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def test_the_wheel_holds_every_file_of_the_rooms_and_no_other(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        inside = {Path(name) for name in archive.namelist()}
    packaged = {path.relative_to("callwright") for path in inside if path.parts[0] == "callwright"}
    assert packaged == set(own_files(*ROOMS))
    others = {path.parts[0] for path in inside} - {"callwright"}
    assert [name.endswith(".dist-info") for name in others] == [True]
    assert any(path.name == "LICENSE" for path in inside)


def test_every_module_imports_in_a_clean_environment(environment: Path) -> None:
    sources = [path for path in own_files(*ROOMS) if path.suffix == ".py" and path not in NOT_IMPORTED]
    names = [".".join(("callwright", *path.with_suffix("").parts)) for path in sources]
    run(environment / "bin" / "python", "-I", "-c", IMPORT_ALL, cwd=environment, stdin="\n".join(names))


def _imported(source: str) -> Iterator[str]:
    """The top-level packages a module imports that are neither Python's nor ours."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        tops = {name.partition(".")[0] for name in names}
        yield from tops - sys.stdlib_module_names - {"callwright"}


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _declared(wheel: Path) -> dict[str | None, set[str]]:
    """The distributions the wheel asks for, by extra; None is without any."""
    declared: dict[str | None, set[str]] = {}
    with ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        requirements = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        assert name is not None, requirement
        declared.setdefault(extra[1] if extra else None, set()).add(_normal(name[0]))
    return declared


def test_what_is_imported_is_declared(wheel: Path) -> None:
    """The clean environment borrows this one's packages, so it cannot tell; a dependency's own dependency may leave."""
    declared = _declared(wheel)
    distributions = packages_distributions()
    with ZipFile(wheel) as archive:
        sources = {
            path: archive.read(name).decode()
            for name in archive.namelist()
            if (path := Path(name)).parts[0] == "callwright" and path.suffix == ".py"
        }
    missing = [
        f"{path}: {package}"
        for path, source in sources.items()
        for package in _imported(source)
        if not {_normal(name) for name in distributions.get(package, ())}
        & (declared[None] | (declared["sandbox"] if path.is_relative_to("callwright/app/sandbox") else set()))
    ]
    assert len(sources) > 100
    assert missing == []


def test_the_command_starts_in_a_clean_environment(environment: Path) -> None:
    assert "callwright" in run(environment / "bin" / "callwright", "--help", cwd=environment)
