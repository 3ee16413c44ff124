# Two targets for everybody: `make demo` and `make test`. They need git, make and Python >= 3.11 with venv, and nothing
# else; what they install goes to .venv, from lock files with hashes.

# A name on the PATH may be a shim that fails, so each candidate is run.
usable := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3.14 python3; do \
	$$python -c '$(usable)' >/dev/null 2>&1 && { echo $$python; break; }; done)
# Most tests wait for another process: twice as many workers as processors.
WORKERS ?= $(shell python3 -c 'import os; print(2 * len(os.sched_getaffinity(0)))' 2>/dev/null || echo 4)
PYTEST_ARGS ?= -q -n $(WORKERS) --dist worksteal -p no:cacheprovider

bin := .venv/bin
# The lock files name everything, so there is nothing to resolve; what is imported is compiled when it is.
pip := $(bin)/python -m pip --disable-pip-version-check install -qq --no-deps
locked := --no-compile --require-hashes
# Hundreds of processes import the same modules; each would compile them again where a machine forbids to keep that.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint bench lock
help:
	@echo 'make demo   see a configuration protected, lost and restored'
	@echo 'make test   run every test'

demo: .venv/.runtime
	$(bin)/python demo/demo.py

test: .venv/.dev
	rm -f .coverage .coverage.*
	$(bin)/coverage run -m pytest $(PYTEST_ARGS)
	$(bin)/coverage combine --quiet
	@rm -f .coverage.*  # Whatever a killed process left half-written.
	$(bin)/coverage report

lint: .venv/.dev
	$(bin)/ruff format --check
	$(bin)/ruff check
	$(bin)/mypy
	$(bin)/lint-imports

# Half an hour on a machine that has nothing else to do; benchmarks/README.md says what is measured.
BENCH_ARGS ?= --output benchmarks.json
bench: .venv/.bench
	$(bin)/python -m benchmarks $(BENCH_ARGS)

# Needs uv, which the project itself does not: `make lock UV=...`, `make lock OPTIONS=--upgrade`.
UV ?= uv
lock:
	requirements/compile.sh '$(UV)' $(OPTIONS)

# The stamps are newer than what was installed from, so a second call costs nothing.
.venv/.runtime: pyproject.toml requirements/installer.lock requirements/build.lock requirements/runtime.lock
	@$(bin)/python -m pip --version >/dev/null 2>&1 || { \
		test -n '$(PYTHON)' && '$(PYTHON)' -c '$(usable)' || { \
			echo 'make: no Python >= 3.11 with venv found (on Debian: apt-get install python3-venv); choose one with PYTHON=...' >&2; \
			exit 1; \
		}; \
		echo "Setting up .venv with $$('$(PYTHON)' --version) ..."; \
		'$(PYTHON)' -m venv --clear .venv; \
	}
	@$(pip) $(locked) -r requirements/installer.lock
	@$(pip) $(locked) -r requirements/build.lock -r requirements/runtime.lock
	@$(pip) --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.lock
	@$(pip) $(locked) -r requirements/dev.lock
	@touch $@

.venv/.bench: .venv/.dev requirements/bench.lock
	@$(pip) $(locked) -r requirements/bench.lock
	@touch $@
