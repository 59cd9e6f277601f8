# Needs only Python >= 3.11 and make. Another interpreter: make test PY=python3.12
PY ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: install run test coverage pages tutorials papers docs bench clean

install: .venv/installed

.venv/installed: setup.py settings.ini constraints.txt
	@$(PY) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
	  f"recofm needs Python >= 3.11. Received: {v} at {sys.executable}. Name a newer one: make install PY=python3.12")'
	test -x $(BIN)/pip || $(PY) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

run: install
	$(BIN)/recofm train --data ml-100k --model DeepFM --out runs/ml-100k
	$(BIN)/recofm recommend runs/ml-100k --user 42 -k 10

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The same, counting the lines that ran, which takes half as long again
coverage: install
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov=recofm --cov-report=term-missing:skip-covered

# For contributors: export the package, run the pages in place, keep their outputs but not what TensorFlow logs. One page: PAGES=nbs/models/20_fm.ipynb; none: PAGES=
PAGES ?= $(sort $(shell find nbs -name '*.ipynb' -not -path '*/.*' -not -path 'nbs/tutorials/*'))
pages: install
	$(BIN)/nbdev_export
	$(if $(strip $(PAGES)),$(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level=WARN \
	  --ExecutePreprocessor.extra_arguments=--IPKernelApp.capture_fd_output=False $(PAGES))
	$(BIN)/nbdev_clean

# The tutorials in full, with MovieLens 1M (set RECOFM_DATA to the folder that holds ml-1m.zip). One: TUTORIALS=nbs/tutorials/10_ratings.ipynb
TUTORIALS ?= $(sort $(wildcard nbs/tutorials/*.ipynb))
tutorials: install
	RECOFM_FULL=1 $(MAKE) pages PAGES='$(TUTORIALS)'

# The published tables: what papers/results.jsonl lacks is trained (RECOFM_DATA: the folder with ml-1m.zip and frappe/), then recipes/ and the model pages are
# written. A part: PAPERS=frappe or PAPERS='frappe --model FM'
papers: install
	$(BIN)/python papers/run.py $(PAPERS)
	$(BIN)/python papers/pages.py

docs: install
	$(BIN)/python site/build.py
	$(BIN)/python site/readme.py

# recofm beside its peers, which get an environment of their own. A part: BENCH=deepfm-6k; anew: BENCH='--fresh deepfm-6k'; names: BENCH=--help
bench: .bench/installed
	.bench/bin/python benchmarks/run.py $(BENCH)

.bench/installed: setup.py settings.ini constraints.txt benchmarks/requirements.txt
	test -x .bench/bin/pip || $(PY) -m venv .bench
	.bench/bin/python -m pip install -q --disable-pip-version-check -e . -r benchmarks/requirements.txt -c constraints.txt
	@touch $@

clean:
	rm -rf .venv .bench _proc .pytest_cache .coverage build dist recofm.egg-info
