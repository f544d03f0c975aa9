# Everything runs in .venv; `make setup` is implied and instant when nothing changed. Needs Python 3.11+, npm and make.
PYTHON ?= python3
BIN := .venv/bin
ROOMS := app bridge graphql portal tasks
STAMP := .venv/.setup
SCRIPTS := node_modules/.setup
# The rooms as one package for the tools that read files and do not import.
TREE := build/tree/callwright

.DEFAULT_GOAL := help
.PHONY: help setup test bench lint format demo schema lock clean soak

help:  ## Lists the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

setup: $(STAMP) $(SCRIPTS)  ## Creates .venv and node_modules with everything at locked versions.

$(STAMP): requirements/dev.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(SCRIPTS): package.json package-lock.json .npmrc
	@command -v npm >/dev/null || { echo 'npm is needed (Node 18 or newer, https://nodejs.org)' >&2; exit 1; }
	npm ci --loglevel=error >/dev/null
	@touch $@

test: setup  ## Runs the tests.
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

bench: setup  ## Measures the bridge against its peers (ARGS='--rounds 1 --json FILE'). Needs gcc, stunnel, two processors.
	$(BIN)/python -m tests.benchmarks.bench $(ARGS)

soak: setup  ## Holds 2,000 calls through one bridge, and kills the stores for half a minute (some 3 minutes).
	CALLWRIGHT_SOAK=full $(BIN)/pytest tests/chaos -s $(ARGS)

lint: setup $(TREE)  ## Checks format, rules, types, imports between rooms, and dependencies.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=build/tree $(BIN)/lint-imports
	$(BIN)/deptry .

$(TREE): Makefile
	mkdir -p $@
	for room in $(ROOMS); do ln -sfn ../../../$$room $@/$$room; done
	touch $@

format: setup  ## Formats the code and repairs what can be repaired.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: setup  ## Places one finished call on this machine: no keys, no network.
	$(BIN)/callwright demo $(ARGS)

schema: setup  ## Exports the GraphQL schema.
	mkdir -p build
	$(BIN)/callwright schema > build/schema.graphql
	mv build/schema.graphql graphql/schema.graphql

# --universal: one lock for every platform and Python, with the hashes of every file.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(ARGS)

lock: setup  ## Brings the locks in step with pyproject.toml (ARGS=--upgrade: newer versions).
	$(COMPILE) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --extra embedded --extra sandbox -c requirements/dev.txt --output-file requirements/all.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt --output-file requirements/base.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt --output-file requirements/build.txt
	npm install --package-lock-only --loglevel=error

clean:  ## Removes what the targets made; data in .data stays.
	rm -rf .venv node_modules build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
