# Two commands do all the set-up on a fresh machine: `make serve` and `make test`.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests run in so many processes; each takes up to 2 GB.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -lt 4 ] && echo $$n || echo 4)

# What snn-voice-lite brings along.
LITE_MODELS := resmel-snn tempo-snn

# Speech to train on: a corpus as in docs/training.md; `speech_commands` is looked for where torchaudio keeps it.
DATA ?= speech_commands

# All tests of a file run in one process, one after the other, and files in the order of their folders: what the tests of
# a folder share, a service or a browser, is then started once in each process.
PYTEST := -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: serve test test-all coverage lint format docs sanitize fuzz mutants kills release gpu-check words piczak configs lite-models cards clean help

help: ## Show the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / - /'

serve: $(VENV)/.serve ## Install, then classify sound at http://127.0.0.1:$(PORT)/classify
	@$(BIN)/snn-voice serve --port $(PORT) $(ARGS)

test: lint $(VENV)/.web ## Install, then run the checks and the tests that are quick: some of every kind, in minutes
	$(BIN)/python $(PYTEST) -m "not slow" $(ARGS)

test-all: lint $(VENV)/.web ## The checks and all tests; half an hour on two cores
	$(BIN)/python $(PYTEST) $(ARGS)

coverage: $(VENV)/.dev $(VENV)/.web ## All tests, then the lines and branches that none of them reached, by file
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) $(ARGS); code=$$?; \
		$(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$code

lint: $(VENV)/.dev ## Style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## Mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "to read it: $(BIN)/python -m http.server --directory site, and http://127.0.0.1:8000"

sanitize: $(VENV)/.dev ## Generated networks and layers through kernels built with AddressSanitizer and UBSan
	$(BIN)/python -m tests.native.sanitize $(ARGS)

kills: $(VENV)/.dev ## Kill training, conversion, lessons and the service at random moments, a hundred times each
	$(BIN)/python -m tests.faults.kills $(ARGS)

release: $(VENV)/.dev ## Build all packages into dist/, look into them, try each where nothing else is installed
	$(BIN)/python -m tests.release $(ARGS)

fuzz: $(VENV)/.fuzz ## All robustness tests, then each parser under a fuzzer; ARGS="--minutes 10" of the processor each
	$(BIN)/python -m tests.robustness $(ARGS)

mutants: $(VENV)/.mutants ## Small faults in the code that all stands on: do its tests notice? ARGS="lif --again" tries one module
	$(BIN)/python -m tests.mutants $(ARGS)

# Where nothing can be installed, GPU_PYTHON=python3 is one that has what the library needs.
gpu-check: $(if $(GPU_PYTHON),,$(VENV)/.serve) ## On a machine with a GPU: is all right there, and how fast? At most 8 minutes
	PYTHONPATH="$(CURDIR):$(CURDIR)/server:$(CURDIR)/lite:$$PYTHONPATH" $(or $(GPU_PYTHON),$(BIN)/python) -m benchmarks.gpu_check $(ARGS)

words: $(VENV)/.serve ## Speak a small test set into words.tar; needs espeak-ng
	@$(BIN)/python -m snn_voice_hub.training.voices.words words.tar

piczak: $(VENV)/.train ## Train the paper's Piczak with T = 15 into runs/piczak-snn; DATA=corpus; goes on where it stopped
	$(BIN)/snn-voice train --model piczak-cnn --data $(DATA) --out runs/piczak-cnn --resume \
		--teacher resmel-cnn $(ARGS)
	$(BIN)/snn-voice train --model piczak-snn --data $(DATA) --out runs/piczak-snn --resume \
		--from runs/piczak-cnn --teacher runs/piczak-cnn --teacher resmel-cnn $(ARGS)
	$(BIN)/snn-voice evaluate runs/piczak-snn --data $(DATA) --write
	$(BIN)/snn-voice card runs/piczak-snn --write

configs: $(VENV)/.created ## Write the bundled config.json anew, after a field has been added
	@$(BIN)/python -c 'import sys; from pathlib import Path; from snn_voice_hub.config import VoiceConfig; \
		[VoiceConfig.load(path).save(path) for path in map(Path, sys.argv[1:])]' \
		snn_voice_hub/weights/*/config.json model_cards/*/config.json examples/*/*/config.json

lite-models: $(VENV)/.dev ## Write the models inside of snn-voice-lite anew, after weights have been exchanged
	@for name in $(LITE_MODELS); do \
		$(BIN)/snn-voice export $$name --to lite --out lite/snn_voice_lite/models/$$name.onnx || exit 1; done

cards: $(VENV)/.created ## Write model_cards/ and its table anew, from the bundled checkpoints and Piczak's figures
	@for folder in snn_voice_hub/weights/*/; do name=$$(basename $$folder); \
		$(BIN)/snn-voice card $$name > model_cards/$$name.md || exit 1; done
	@$(BIN)/snn-voice models --csv > model_cards/results.csv
	@$(BIN)/snn-voice card model_cards/piczak-snn --repo-id runs/piczak-snn --write

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz .mutants build dist site

# A stamp a set of extras: installing again happens only when pyproject.toml changes.
$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit("snn-voice-hub needs Python 3.11 or later; this is %d.%d. Try: make PYTHON=python3.12 ..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No venv module: on Debian or Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.serve: $(VENV)/.created pyproject.toml lite/pyproject.toml
	@echo "Installing (PyTorch is large: a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./lite -e '.[serve]'
	@touch $@

$(VENV)/.train: $(VENV)/.created pyproject.toml lite/pyproject.toml
	@echo "Installing (PyTorch is large: a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./lite -e '.[train]'
	@touch $@

$(VENV)/.docs: $(VENV)/.created pyproject.toml lite/pyproject.toml
	@echo "Installing (PyTorch is large: a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./lite -e '.[docs]'
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml lite/pyproject.toml
	@echo "Installing (PyTorch is large: a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./lite -e '.[dev]'
	@touch $@ $(VENV)/.serve $(VENV)/.train $(VENV)/.docs

$(VENV)/.fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./lite -e '.[fuzz]'
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ./lite -e '.[mutants]'
	@touch $@

# The tests of web/; without npm, or the registry, they are skipped.
$(VENV)/.web: $(VENV)/.created web/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix web --silent --no-audit --no-fund && touch $@ || true; fi
