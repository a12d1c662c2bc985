# mesh-ebpf. `make help` lists the targets; V=1 shows the commands. Targets that touch the kernel need root.
SHELL := /bin/bash
.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory
Q := $(if $(V),,@)
say = @printf '  %-8s %s\n' $(1) $(2)

ROOT := $(CURDIR)
NPM := npm --silent

# ---------------------------------------------------------------------------------------------------------- building

.PHONY: all
all: build ## Install what is missing and build everything

.PHONY: build
build: deps modules bpf native cni bundle

.PHONY: deps
deps: ## Debian packages that are missing (needs root when any is)
	$(Q)tools/install-deps.sh build

modules: node_modules/.stamp
node_modules/.stamp: package.json package-lock.json .npmrc tools/install-modules.sh
	$(call say,NPM,ci)
	$(Q)tools/install-modules.sh >build.npm.log 2>&1 || { cat build.npm.log; exit 1; }
	$(Q)rm -f build.npm.log && touch $@

.PHONY: bpf
bpf: ## The kernel programs, build/bpf/mesh.bpf.o
	$(Q)$(MAKE) -s -C bpf OUT=$(ROOT)/build/bpf V=$(V)

.PHONY: native
native: node_modules/.stamp ## The Node addon over libbpf, native/build/Release/mesh_ebpf.node, and build/keeper/mesh-ebpf-keeper
	$(call say,CXX,native/)
	$(Q)native/build.sh >build.native.log 2>&1 || { cat build.native.log; exit 1; }
	$(Q)rm -f build.native.log
	$(Q)$(MAKE) -s -C native/keeper OUT=$(ROOT)/build/keeper V=$(V)

.PHONY: cni
cni: ## The CNI plugin, build/cni/mesh-ebpf-cni
	$(Q)$(MAKE) -s -C native/cni OUT=$(ROOT)/build/cni V=$(V)

.PHONY: bundle
bundle: dist/mesh-ebpf.mjs ## dist/mesh-ebpf.mjs
dist/mesh-ebpf.mjs: $(shell find src -name '*.ts' 2>/dev/null) $(shell find daemonset -name '*.yaml' 2>/dev/null) tools/bundle.ts node_modules/.stamp
	$(call say,BUNDLE,$@)
	$(Q)$(NPM) run build

.PHONY: image
image: build ## The container image, build/mesh-ebpf-image.tar (OCI), with docker or buildah. IMAGE=name:tag
	$(Q)tools/install-deps.sh image
	$(Q)tools/image.sh

# ----------------------------------------------------------------------------------------------------------- running

.PHONY: demo
demo: build ## Two nodes on this machine, and a tour through the mesh (root). KEEP=1 leaves them running
	$(Q)tools/install-deps.sh run
	$(Q)bin/mesh-ebpf demo $(if $(KEEP),--keep)

.PHONY: demo-cluster
demo-cluster: image ## The same in a real Kubernetes cluster on this machine (root; a first build takes minutes). KEEP=1
	$(Q)tools/install-deps.sh cluster
	$(Q)$(NPM) run cluster -- demo $(if $(KEEP),--keep)

.PHONY: cluster-up
cluster-up: modules ## A real Kubernetes cluster on this machine (root). CLUSTER="--nodes 3 --proxy-mode iptables"
	$(Q)tools/install-deps.sh cluster
	$(Q)$(NPM) run cluster -- up $(CLUSTER)

.PHONY: cluster-down
cluster-down: modules ## End it and remove every trace of it
	$(Q)$(NPM) run cluster -- down

# ----------------------------------------------------------------------------------------------------------- checking

.PHONY: check
check: modules ## Format, lint, types, boundaries, dead code, unit and contract tests (no root)
	$(Q)node_modules/.bin/node tools/test-ladder.ts format lint types imports deadcode unit

.PHONY: test
test: ## The whole test ladder (root); what .ci/run calls. RUNG="unit bpf" runs some
	$(Q)tools/install-deps.sh build
	$(Q)tools/install-deps.sh test
	$(Q)tools/install-deps.sh cluster
	$(Q)tools/install-deps.sh image
	$(Q)$(MAKE) -s modules
	$(Q)node_modules/.bin/node tools/test-ladder.ts $(RUNG)

# A KUBECONFIG of the environment is not taken: scenarios make and delete things, so a cluster has to be named for them.
.PHONY: test-cluster
test-cluster: build ## The scenarios on a real cluster: this machine's (root), or that of KUBECONFIG=/path IMAGE=registry/name:tag
	$(Q)$(if $(CHOSEN_CLUSTER),,tools/install-deps.sh cluster)
	$(Q)$(CHOSEN_CLUSTER) node_modules/.bin/node tools/test-ladder.ts $(if $(CHOSEN_CLUSTER),,cluster-build image) cluster

CHOSEN_CLUSTER = $(if $(findstring command line,$(origin KUBECONFIG)),MESH_EBPF_KUBECONFIG=$(abspath $(KUBECONFIG)) $(if $(IMAGE),MESH_EBPF_IMAGE=$(IMAGE)))

.PHONY: interop
interop: ## Together with Istio's ztunnel: ZTUNNEL=/path/to/ztunnel (root)
	@test -x "$(ZTUNNEL)" || { echo 'make interop needs ZTUNNEL=/path/to/ztunnel, an executable of istio/ztunnel' >&2; exit 1; }
	$(Q)ZTUNNEL=$(abspath $(ZTUNNEL)) $(MAKE) test RUNG="build interop"

.PHONY: test-kernels
test-kernels: build ## The BPF programs and a small lab on Linux 5.10, 6.1 and 6.12 in qemu (root). KERNELS=--help lists options
	$(Q)tools/install-deps.sh kernels
	$(Q)$(NPM) run kernels -- $(KERNELS)

.PHONY: bench
bench: build ## The project beside its peers: no mesh, HAProxy, and a ztunnel if ZTUNNEL=path (root). BENCH=--help lists options
	$(Q)tools/install-deps.sh bench
	$(Q)$(NPM) run bench -- $(BENCH)

.PHONY: bench-cluster
bench-cluster: image ## No mesh beside the project in a real cluster on this machine (root). BENCH="--only abrupt --json FILE"
	$(Q)tools/install-deps.sh cluster
	$(Q)$(NPM) run cluster -- bench $(BENCH)

.PHONY: bench-control
bench-control: build ## What following the API costs a node program: a real API server, up to 10 000 pods (root). BENCH=--help
	$(Q)tools/install-deps.sh cluster
	$(Q)$(NPM) run bench-control -- $(BENCH)

.PHONY: test-policy-differential
test-policy-differential: modules ## Policy decisions against Istio's documentation. CASES=1000000 SEED=1
	$(Q)node_modules/.bin/node test/fuzz/policy/main.ts $(or $(CASES),1000000) $(SEED)

.PHONY: test-policy-coverage
test-policy-coverage: modules ## The same, and fails unless it takes every branch of the evaluator
	$(Q)node_modules/.bin/node --test --experimental-test-coverage --test-coverage-branches=100 --test-coverage-lines=100 \
		$(patsubst %,--test-coverage-include=%,$(EVALUATOR)) test/fuzz/policy/main.ts

# What decides; reason.ts, explain.ts and policy-lookup.ts are words for people.
EVALUATOR = $(filter-out %/reason.ts %/explain.ts %/policy-lookup.ts %/compile.ts,$(wildcard src/policy/*.ts))

.PHONY: bench-policy
bench-policy: modules ## How long a decision takes among how many policies, and what a policy takes of memory. BENCH=--json
	$(Q)node_modules/.bin/node --expose-gc test/bench/policy/main.ts $(BENCH)

.PHONY: format
format: modules ## Rewrite sources in the house format
	$(Q)$(NPM) run format
	$(Q)clang-format-16 -i $$(git ls-files 'bpf/*.c' 'bpf/*.h' 'native/*.c' 'native/*.cc' 'native/*.h')

.PHONY: gen
gen: modules ## Generate the gRPC stubs from proto/, and the manifests of kinds from their schemas
	$(Q)node_modules/.bin/node tools/gen-proto.ts
	$(Q)node_modules/.bin/node tools/gen-crds.ts

.PHONY: clean
clean: ## Remove everything that was built
	$(Q)rm -rf build dist native/build node_modules

.PHONY: help
help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
