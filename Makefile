# make demo: install, then train, certify and picture a force field of ethanol.   make test: install, then run the tests.
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
BIN = .venv/bin

.PHONY: setup demo test lint clean

setup: .venv/.installed

# torch first and pinned, so that nothing later replaces it. Where pip finds a CPU build (an extra index, a wheel at hand) it is small;
# give another one as make TORCH=... if pip's default, with its CUDA libraries, is too much.
.venv/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found. Remedy: install Python 3.11, or say make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing (about two minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[qm9,quantum,dev]" "$(TORCH)"
	@touch $@

demo: setup
	$(BIN)/intertwine train ethanol

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv runs build *.egg-info
