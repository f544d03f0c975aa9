"""Maps the top-level rooms to one import package: `graphql/schema.py` is `callwright.graphql.schema`."""

from setuptools import find_namespace_packages, setup

ROOMS = ("app", "bridge", "graphql", "portal", "tasks")
packages = find_namespace_packages(
    include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")], exclude=["*.__pycache__"]
)
DATA = ["*.yaml", "*.jinja", "*.html", "*.css", "*.js", "*.svg", "*.graphql", "*.mako", "*.ini", "*.sql", "*.csv"]
DATA += ["*.json", "*.md", "*.ulaw"]

setup(
    packages=[f"callwright.{name}" for name in packages],
    package_dir={"callwright": "."},
    package_data={"": DATA},
)
