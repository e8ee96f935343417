# make demo    a real inspection on this machine, from nothing: lock, build, five sandboxed runs, statistics, verdict
# make test    sets up and runs every test; the unit suite also on other supported Pythons that are found
# make check   style, types, import contracts, sizes, licences, leaks
# make bench   measures the bars of docs/reference/benchmarks.md (ONLY=name for one of them)
# make docs    regenerates the generated parts of docs/ and checks every link
# make lock    renews requirements/*.txt; make picture renews docs/picture.svg; make clean removes what make made
#
# Needs python3 (3.11 or newer) and make. What else is missing is installed (as root on Debian) or named in a sentence.

PYTHON ?= python3
WORKERS ?= auto
BIN := .venv/bin

# What runs here must not reach for Pythons of its own; and uv does not read pip's settings, so its index is handed on.
export UV_PYTHON_DOWNLOADS := never
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# Start-up is measured and shown as an installed Djed has it, with its bytecode kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-matrix check bench docs lock picture clean
.DELETE_ON_ERROR:

demo: .venv/dev.stamp
	@PYTHON="$(PYTHON)" tools/parts.sh want bubblewrap
	@tools/demo.sh

test: .venv/dev.stamp
	@PYTHON="$(PYTHON)" tools/parts.sh want bubblewrap gcc postgresql python3-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)
	@$(MAKE) --no-print-directory test-matrix

test-matrix: .venv/dev.stamp
	@tools/matrix.sh

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/gates.py

bench: .venv/bench.stamp
	@PYTHON="$(PYTHON)" tools/parts.sh want bubblewrap postgresql wrk podman runc mmdebstrap squashfs-tools
	$(BIN)/python -m benchmarks $(ONLY)

docs: .venv/dev.stamp
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/links.py

picture: .venv/dev.stamp
	$(BIN)/python tools/picture.py

# A lock per purpose, with hashes and without addresses: the index is whatever the machine is configured with.
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade --generate-hashes \
  --no-emit-index-url --no-header --no-annotate
lock: .venv/dev.stamp
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml --all-extras --group dev --group bench -c requirements/dev.txt -o requirements/bench.txt

.venv/dev.stamp: requirements/uv.txt requirements/dev.txt pyproject.toml tools/venv.sh
	@PYTHON="$(PYTHON)" tools/venv.sh .venv dev

.venv/bench.stamp: requirements/bench.txt .venv/dev.stamp
	@PYTHON="$(PYTHON)" tools/venv.sh .venv bench

clean:
	rm -rf .venv .make .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
