# Everything is set up in .venv, by plain pip, with the versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/three-dots-demo-seed0

PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

.PHONY: demo test test-all coverage lint

# A model trained, drawn and scored, from nothing: open runs/three-dots-demo-seed0/report.html, which is
# there before the scores are, and then has them too.
demo: $(VENV)/installed
	test -e $(RUN)/model.safetensors || test ! -e $(RUN)/config.yaml || $(BIN)/axiswise train --resume $(RUN)
	test -e $(RUN)/model.safetensors || $(BIN)/axiswise train three-dots-demo --out $(RUN)
	$(BIN)/axiswise show $(RUN)
	$(BIN)/axiswise evaluate $(RUN)
	$(BIN)/axiswise show $(RUN)

test: $(VENV)/installed-dev lint
	$(PYTEST) -m "not slow"

# What `make test` leaves out: clusters, many kills, statistics, long runs.
test-all: $(VENV)/installed-dev
	$(PYTEST) -m slow

# Lines and branches that all tests reach together; open htmlcov/index.html.
coverage: $(VENV)/installed-dev
	$(PYTEST) --cov --cov-report=term --cov-report=html

lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tools/house.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
