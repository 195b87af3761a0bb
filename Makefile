# make demo [FAULT=name]   breaks a real nginx and diagnoses it
# make demo-web [FAULT=name]   the same under `why502 watch`, in a browser
# make test                all but the long suites, and more examples of what `make check` tries: unit, properties, golden, real servers; a staged fault that fails is staged once more, and named at the end
# make check               format, lint, types, imports, unit tests, docs
# make scenes              breaks, diagnoses and repairs the lab's servers in the scenes that `make test` leaves out: a quarter of an hour
# make attack              what a hostile user, bundle or file could have root do
# make kill                kills each mutating call of fix and mitigate, or takes its power: half an hour
# make accuracy            breaks every server of the lab and writes docs/accuracy.md
# make bench-tail          follows a log through 40,000 random operations, and measures what following costs: three minutes
# make watch-lab           plays every fault of the lab under `why502 watch`, and writes what it told to build/watch-lab.jsonl: an hour
# make web                 every page in a real browser, on four screens and on paper, and schemathesis against the API: ten minutes
# make lab-vm              what needs a kernel of its own, in a virtual machine: half a minute a scene
# make gateways            breaks backends behind real gateways other than nginx, and writes what each of them shows to docs/gateways/: half an hour
# make stacks              breaks whole stacks of real packages under traffic, and writes what came of it: an hour; builds its image once
# make containers          breaks proxies and applications in containers of real Docker and podman engines, with a healthy twin each: half an hour
# make generate-proof      the promises of generated sites in their long form: 70 s of silence, 10,000 requests: five minutes
# make generate-versions NGINX=CLONE   builds seven versions of nginx, and tests every pair of options with each
# make docs                rewrites what is made from the program: man page, console blocks, golden answers; read the diff
FAULT ?= wrong-port
PYTHON := .venv/bin/python
WORKERS ?= 2
# Tests of real servers wait for them half of the time.
REAL_WORKERS ?= 3
# The tests start the program hundreds of times: without bytecode each of them compiles it again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-web test check scenes attack kill bench-tail accuracy web lab-vm generate-proof generate-versions gateways stacks containers \
        docs format lock clean

demo:
	@scripts/setup --servers
	@$(PYTHON) -m why502 lab run $(FAULT) || [ $$? -eq 1 ]

demo-web:
	@scripts/setup --servers
	@$(PYTHON) -m why502 lab web $(FAULT) || [ $$? -eq 130 ]

check:
	@scripts/setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal -m "not real and not machine and not thorough"

test: check
	@scripts/setup --tests
	$(PYTHON) -m pytest -n $(REAL_WORKERS) -m "(real or machine or thorough) and not long" -rR

scenes:
	@scripts/setup --tests
	$(PYTHON) -m pytest -n $(REAL_WORKERS) -m long -rR

attack:
	$(PYTHON) -m pytest tests/attack

kill:
	@scripts/setup --tests
	rm -f build/kill.jsonl; mkdir -p build
	WHY502_KILL_EVERY=1 WHY502_KILL_RESULTS=$(CURDIR)/build/kill.jsonl $(PYTHON) -m pytest -n $(WORKERS) tests/fix/test_kill.py
	scripts/kill-report build/kill.jsonl

bench-tail:
	@scripts/setup --tests
	WHY502_TAIL_OPERATIONS=40000 $(PYTHON) -m pytest -s tests/logs/test_follow.py -k Followed
	$(PYTHON) bench/watch_tailing.py

accuracy:
	@scripts/setup --tests
	$(PYTHON) scripts/accuracy --jobs $(WORKERS)

watch-lab:
	@scripts/setup --tests
	rm -f build/watch-lab.jsonl
	$(PYTHON) scripts/watch-lab --jobs $(WORKERS) || [ $$? -eq 1 ]
	$(PYTHON) scripts/watch-lab --report

web:
	@scripts/setup --tests
	WHY502_WEB_LONG=1 $(PYTHON) -m pytest -n 0 --timeout 3600 tests/serve

lab-vm:
	@scripts/setup --vm
	$(PYTHON) scripts/lab-vm

generate-proof:
	@scripts/setup --tests
	PROOF_LONG=1 $(PYTHON) -m pytest -n 0 -s --timeout 600 tests/generate/test_nginx_proof.py tests/generate/test_containers.py

generate-versions:
	@scripts/setup --tests
	scripts/nginx-versions $(NGINX)
	NGINX_VERSIONS=1 $(PYTHON) -m pytest -n 0 -s --timeout 600 tests/generate/test_nginx_versions.py

gateways:
	@scripts/setup --tests
	$(PYTHON) scripts/gateways --jobs $(WORKERS) --write

containers:
	@scripts/setup --tests
	mkdir -p build
	$(PYTHON) -m why502.lab.containers.run --rows build/containers.jsonl

stacks:
	@scripts/setup --tests
	scripts/stacks-image
	rm -f build/stacks.jsonl; mkdir -p build
	$(PYTHON) -m why502 lab stacks --jobs $(WORKERS) --first-run build/stacks.jsonl || [ $$? -eq 1 ]
	scripts/stacks-report --later build/stacks.jsonl

docs:
	@scripts/setup
	$(PYTHON) scripts/man
	$(PYTHON) scripts/pages
	$(PYTHON) -m pytest tests/docs tests/golden --update

format:
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -o locks/dev.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .hypothesis
