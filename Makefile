# make demo: install, then train, certify and picture a force field of ethanol.
# make demo-hamiltonian: the same of Fock matrices of water, with images of the matrix and a ladder of energies.
# make demo-density: the same of electron densities of water, with slices and the error over the distance.
# make demo-autoencoder: codes of digits that turns do not change, certified, with canonical images and reconstructions.
# make test: install, then run the quick tier of the tests, which touches every module (tests/tiers.py).
# make test-all: install, then run all tests.
# make test-oldest: install the oldest versions of what pyproject.toml asks for, then run tests that use them.
# make docs: the site, notebooks executed, in build/site/index.html.
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
BIN = .venv/bin

.PHONY: setup demo demo-hamiltonian demo-density demo-autoencoder test test-all test-oldest lint docs pictures clean

setup: .venv/.installed

# torch first and pinned, so that nothing later replaces it. Where pip finds a CPU build (an extra index, a wheel at hand) it is small;
# give another one as make TORCH=... if pip's default, with its CUDA libraries, is too much.
.venv/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found. Remedy: install Python 3.11, or say make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing (one minute or two, by the network)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[qm9,quantum,dev]" "$(TORCH)"
	@touch $@

demo: setup
	$(BIN)/intertwine train ethanol --minutes 4

demo-hamiltonian: setup
	$(BIN)/intertwine train water --minutes 6

demo-density: setup
	$(BIN)/intertwine train water --target density --minutes 6

demo-autoencoder: setup
	$(BIN)/intertwine train digits --task autoencoder --minutes 5

# programs of others that the tests compare with
.venv/.peers: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[peers,engines]" "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps mace-torch==0.3.16 schnetpack==2.1.1
	@touch $@

# two processes of one thread each are faster than one of two, and a test's figures do not depend on the machine's cores
# the package is compiled to bytecode first: tests start processes, and not every machine lets those write it
# the bytecode of the tests is kept, with their assertions and the checks of annotations: a second run collects in half the time
TEST = $(BIN)/python -m compileall -q intertwine && env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 \
  $(BIN)/python -m pytest -n 2 --dist worksteal

test: .venv/.peers
	export INTERTWINE_TEST_ALL=0; $(TEST)

test-all: .venv/.peers
	export INTERTWINE_TEST_ALL=1; $(TEST)

# with the oldest versions that pyproject.toml allows, in an environment of its own: tests that use every dependency.
# Annotations are not checked here: jaxtyping 0.3.0 can't where a conftest imports the package before pytest is configured.
OLDEST = build/oldest
OLDEST_TESTS = tests/test_import.py tests/cli/test_cite.py tests/training/test_former_runs.py tests/plots/test_pictures.py \
  tests/data/test_files.py tests/integrations/test_calculator.py tests/geometry
test-oldest:
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c tests/oldest.txt -e ".[dev]" "$(TORCH)"
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -o addopts=-q -n 2 --dist worksteal $(OLDEST_TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/.docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]" "$(TORCH)"
	@touch $@

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "open build/site/index.html"

# docs/images, where a picture's code has changed
pictures: setup
	$(BIN)/python docs/make_pictures.py

clean:
	rm -rf .venv runs build *.egg-info
