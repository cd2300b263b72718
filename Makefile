# Everything a person types here sets itself up first, from hashed locks. `make help` lists it.
PYTHON ?=
VENV := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-without test check test-full coverage e2e e2e-local soak storm simulate e2e-vm kube-assets e2e-kube prove prove-bugs bench bench-device bench-kube agent format reference manifests clean

help: ## this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/ready: requirements/dev.txt requirements/build.txt pyproject.toml scripts/setup
	@scripts/setup $(PYTHON)

setup: .venv/ready ## make .venv

demo: .venv/ready ## one good upgrade and four bad ones, on real processes (KEEP=1 leaves it running)
	@$(VENV)/python -m demo $(if $(KEEP),--keep) $(if $(NATS_SERVER),--nats-server $(NATS_SERVER))

demo-without: .venv/ready ## the demo with one PROTECTION taken out: hash, self-test, heartbeat-timeout or guard
	@$(VENV)/python -m demo --without "$(PROTECTION)"

test: .venv/ready ## all tests but the long ones, under 6 minutes
	@$(VENV)/python -m pytest -q -n 3 --dist worksteal -m "not e2e and not machines and not kube and not matrix"

test-full: .venv/ready ## every kill, damage and power cut, alone and in pairs: a quarter of an hour
	@HARMONY_FLEET_FULL=1 $(VENV)/python -m pytest -q -n 4 --dist worksteal tests/matrix
	@HARMONY_FLEET_FULL=1 $(VENV)/python -m pytest -q -n 2 --dist worksteal tests/crash

coverage: .venv/ready ## every branch of what decides is tested
	@scripts/coverage

e2e: .venv/ready ## devices with a real systemd, in containers, from install to uninstall; needs root
	@$(VENV)/python -m pytest -q -n 3 --dist worksteal tests/machines

e2e-local: .venv/ready ## the demo with and without each of its protections, and the longest tests
	@$(VENV)/python -m pytest -q -m e2e tests/e2e tests/processes

soak: .venv/ready ## upgrade and kill at random for MINUTES (SEED, DEVICES, REPORT=file), and judge
	@$(VENV)/python -m soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(DEVICES),--devices $(DEVICES)) $(if $(REPORT),--report $(REPORT))

storm: .venv/ready ## N upgrades on real systemd, each hit at random (SEED, ONLY, DEVICES, REPORT=file)
	@$(VENV)/python -m storm $(if $(N),--upgrades $(N)) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(DEVICES),--devices $(DEVICES)) \
		$(if $(REPORT),--report $(REPORT))

e2e-vm: .venv/ready ## the same on virtual machines: CUTS power cuts at random (SEED, ONLY, DEVICES, REPORT=file)
	@$(VENV)/python -m storm --cuts $(or $(CUTS),20) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(DEVICES),--devices $(DEVICES)) \
		$(if $(REPORT),--report $(REPORT))

simulate: .venv/ready ## SEEDS worlds of faults around the shipped code, judged (FIRST, PROCESSES); SEED=N tells one
	@$(VENV)/python -m harmony_fleet.simulation $(if $(SEED),--seed $(SEED) $(if $(SHRINK),--shrink),\
		$(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST),--first $(FIRST)) \
		$(if $(PROCESSES),--processes $(PROCESSES)))

check: .venv/ready ## lint, format, types, import rules, generated files
	@$(VENV)/ruff check src tests demo benchmarks soak storm docs
	@$(VENV)/ruff format --check src tests demo benchmarks soak storm docs
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-logo
	@$(VENV)/python docs/diagram.py --check
	@$(VENV)/python docs/reference.py --check
	@$(VENV)/python docs/cli_reference.py --check
	@$(VENV)/python docs/crds.py --check

format: .venv/ready ## format the code
	@$(VENV)/ruff check --fix-only --quiet src tests demo benchmarks soak storm docs
	@$(VENV)/ruff format --quiet src tests demo benchmarks soak storm docs

kube-assets: .venv/ready ## build the API server, etcd, kubectl and helm of e2e-kube: ten minutes, once
	@$(VENV)/python scripts/kube-assets

e2e-kube: .venv/ready ## the operator in a cluster: a real API server, real manifests, kubectl; after kube-assets
	@$(VENV)/python -m pytest -q -n 2 --dist worksteal tests/kube

reference: .venv/ready ## generate the state diagram, the references in docs/, the manual page, and the CRDs
	@$(VENV)/python docs/diagram.py
	@$(VENV)/python docs/reference.py
	@$(VENV)/python docs/cli_reference.py
	@$(VENV)/python docs/crds.py

manifests: .venv/ready ## generate deploy/kustomize from the chart, by the helm of the tests on Kubernetes
	@$(VENV)/python scripts/manifests

agent: .venv/ready ## build the agent's file: make agent VERSION=1.2.3
	@$(VENV)/python -m harmony_fleet.release build --version "$(VERSION)" --output dist/

prove: .venv/ready ## every state of the shipped decisions within two faults: ten minutes (FAULTS, SCENARIO, REPLAY=file)
	@$(VENV)/python -m harmony_fleet.simulation.explore $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(SCENARIO),--scenario "$(SCENARIO)") $(if $(REPLAY),--replay $(REPLAY))

prove-bugs: .venv/ready ## seed mistakes into the code: each must be caught, by prove or by simulate (ONLY, WRITE=1)
	@$(VENV)/python -m tests.proof.prove_bugs $(if $(ONLY),--only "$(ONLY)") $(if $(WRITE),--write)

bench: .venv/ready ## measure, side by side with what people use today
	@$(VENV)/python -m benchmarks

bench-device: .venv/ready ## real devices, in turn with Ansible, a shell script and Mender (ROUNDS, DEVICES, REPORT=file); needs root
	@$(VENV)/python -m benchmarks.device $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(DEVICES),--devices $(DEVICES)) $(if $(REPORT),--report $(REPORT))

bench-kube: .venv/ready ## a real API server: 10,000 Devices, upgrades beside SQLite, failover (DEVICES, UPGRADES, ROUNDS, REPORT=file)
	@$(VENV)/python -m benchmarks.kube $(if $(DEVICES),--devices $(DEVICES)) \
		$(if $(UPGRADES),--upgrades $(UPGRADES)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(REPORT),--report $(REPORT))

clean: ## remove what was built, and .venv
	@rm -rf .venv dist build .demo .prove .soak .storm .cache src/*.egg-info
