# Tollhouse: everything a developer does, by name. Needs Python 3.11 or later, make, and for the first call the network.

HOST ?= $(or $(TOLLHOUSE_HOST),127.0.0.1)
PORT ?= $(or $(TOLLHOUSE_PORT),8080)
DATA_DIR ?= $(or $(TOLLHOUSE_DATA_DIR),.tollhouse)
# More than twice as many as processors: some of the tests wait for processes.
WORKERS ?= 5
CHECKS_AT_A_TIME ?= 3
TORTURE_SECONDS ?= 60
TORMENTED := $(addprefix tests/torture/,test_late_approvals.py test_restore.py test_stop.py test_processes.py)
SCHEDULES ?= 10000
SEED ?= $(shell date +%s)

# Start-up is mostly imports: let Python keep what it compiled, whatever the caller's environment says.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url $(UPGRADE)

# Each stamp is younger than the list it was installed from; a list that changes is installed again.
CREATED := $(VENV)/.created
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
TOOLS := $(VENV)/.installed-tools
NODE := tests/clients/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help install node-tools run test quick check format docs golden bench torture years years-db audit lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{printf "%-16s %s\n", $$1, $$2}'
	@echo "  make run takes PORT=$(PORT) HOST=$(HOST) DATA_DIR=$(DATA_DIR)"

install: $(RUN) ## make the virtual environment without starting anything

run: $(RUN) ## start the whole gateway on this machine; Ctrl-C stops it
	@exec $(BIN)/python -m tollhouse dev --host "$(HOST)" --port "$(PORT)" --data-dir "$(DATA_DIR)"

test: check node-tools ## run the checks, then every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

quick: check ## run the checks, then the unit and integration tests that are not slow
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" tests/unit tests/integration $(PYTEST_ARGS)

# The parts run beside each other, each with its output in one piece; all of them run, also when one has failed.
check: $(DEV) ## style, types, import rules, dependencies, spelling
	@$(MAKE) --no-print-directory --keep-going --jobs=$(CHECKS_AT_A_TIME) $(IN_ONE_PIECE) $(CHECKS)

# GNU make 3.81, which macOS still has, cannot collect output.
IN_ONE_PIECE := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
CHECKS := check-types check-style check-format check-imports check-pages check-dependencies check-spelling
.PHONY: $(CHECKS)

check-types:
	@$(BIN)/mypy

check-style:
	@$(BIN)/ruff check .

check-format:
	@$(BIN)/ruff format --check .

check-imports:
	@$(BIN)/lint-imports --no-logo

check-pages:
	@$(BIN)/python docs/generate.py --check

check-dependencies:
	@$(BIN)/deptry .

check-spelling:
	@$(BIN)/codespell

format: $(DEV) ## put the code into the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(DEV) ## write the reference pages that come from the code
	@$(BIN)/python docs/generate.py

golden: $(DEV) ## record the golden corpus anew; the difference in version control shows what a change has changed
	@GOLDEN=record $(BIN)/python -m pytest -q -n 2 tests/golden $(PYTEST_ARGS)

bench: $(DEV) ## measure this machine and print the table; SECONDS=5 ONLY=limit,payment shorten it
	@$(BIN)/python -m bench $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only "$(ONLY)") $(BENCH_ARGS)

torture: $(DEV) ## pause, stop and restore processes, then torment them under load for TORTURE_SECONDS; SEED= repeats a run
	@TORTURE_SECONDS=$(TORTURE_SECONDS) SEED=$(SEED) $(BIN)/python -m pytest -s $(TORMENTED) $(PYTEST_ARGS)

years: $(DEV) ## bill SCHEDULES random schedules for ten years each by the pure rules, and compare with a calendar
	@echo "seed $(SEED): again with make years SCHEDULES=$(SCHEDULES) SEED=$(SEED)"
	@YEARS_SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest -q -n 2 tests/unit/billing/test_years.py tests/unit/billing/test_dunning_lives.py --hypothesis-seed=$(SEED) $(PYTEST_ARGS)

years-db: SCHEDULES = 1000
years-db: $(DEV) ## the same on PostgreSQL with kills and outages, for SCHEDULES subscriptions
	@YEARS_SUBSCRIPTIONS=$(SCHEDULES) YEARS_SEED=$(SEED) $(BIN)/python -m pytest -s tests/torture/test_years.py $(PYTEST_ARGS)

audit: $(TOOLS) ## ask a vulnerability service about the pinned packages
	@$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements/dev.txt

# Without npm the tests that need them say so and are skipped.
node-tools: ## install what generates and checks clients in TypeScript, if npm is there
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE); \
	else echo "npm is not there: no client is generated in TypeScript."; fi

lock: $(TOOLS) ## pin the dependencies of pyproject.toml anew; UPGRADE=--upgrade takes newer ones
	@$(LOCK) --extra embedded --extra test --extra check pyproject.toml -o requirements/dev.txt
	@$(LOCK) --extra embedded -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	@$(LOCK) --extra tools -c requirements/dev.txt pyproject.toml -o requirements/tools.txt

clean: ## remove the virtual environment and the caches; DATA_DIR stays
	@rm -rf $(VENV) .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A path file lets this environment import src/ as it is, so that nothing has to be built; the script is what
# `pip install .` would make of [project.scripts].
$(CREATED):
	@set -e; \
	for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$candidate"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Tollhouse needs Python 3.11 or later with its venv module (Debian: apt install python3-venv)." >&2; \
	  echo "If it is not on the path: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "Making a virtual environment in $(VENV) with $$("$$found" --version) ..."; \
	"$$found" -m venv $(VENV)
	@$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "tollhouse.pth").write_text(str(pathlib.Path("src").resolve()) + "\n")'
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m tollhouse "$$@"\n' > $(BIN)/tollhouse
	@chmod +x $(BIN)/tollhouse
	@touch $@

$(RUN): requirements/run.txt | $(CREATED)
	@echo "Installing what Tollhouse runs on (once) ..."
	@$(PIP_INSTALL) -r $<
	@touch $@

$(DEV): requirements/dev.txt $(RUN) | $(CREATED)
	@echo "Installing what its tests and checks need (once) ..."
	@$(PIP_INSTALL) -r $<
	@touch $@

$(NODE): tests/clients/package-lock.json
	@echo "Installing what generates and checks clients in TypeScript (once) ..."
	@cd tests/clients && npm ci --silent
	@touch $@

$(TOOLS): requirements/tools.txt $(DEV) | $(CREATED)
	@echo "Installing what auditing and pinning need (once) ..."
	@$(PIP_INSTALL) -r $<
	@touch $@
