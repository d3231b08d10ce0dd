# Everything starts with `make demo` or `make test`; each sets up what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed
BENCH := .venv/bench
export HF_HUB_OFFLINE = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test check format bench dashboard screenshots clean

demo: $(INSTALLED)  ## train a small model, evaluate its checkpoints, show what came out
	scripts/need rsync:rsync
	$(BIN)/milepost demo

test: $(INSTALLED)  ## all tests, on real parts
	scripts/need rsync:rsync sshd:openssh-server ssh:openssh-client chromium:chromium \
		sqlite3:sqlite3
	$(BIN)/pytest

check: $(INSTALLED)  ## format, lint, types, then all tests (docs are checked by tests)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

format: $(INSTALLED)  ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) $(BENCH)/installed  ## measurements, side by side with a peer; makes the tables
	$(BIN)/python -m benchmarks.store
	$(BENCH)/bin/python -m benchmarks.parity --record; parity=$$?; \
	$(BENCH)/bin/python -m benchmarks.engine --record; engine=$$?; \
	$(BENCH)/bin/python -m benchmarks.publish && exit $$((parity + engine))

dashboard: $(INSTALLED)  ## the dashboard on the demo's workspace
	$(BIN)/milepost dashboard --workspace demo-workspace

screenshots: $(INSTALLED)  ## the pictures in the README, from the demo's workspace
	scripts/need chromium:chromium
	$(BIN)/python -m tests.app.screenshots demo-workspace

clean:  ## take away the environment and the demo's workspace
	rm -rf .venv demo-workspace

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Milepost needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(BENCH)/installed: requirements-bench.lock $(INSTALLED)
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --requirement requirements-bench.lock
	touch $@
