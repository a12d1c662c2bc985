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
node_modules/.stamp: package.json package-lock.json .npmrc
	$(call say,NPM,ci)
	$(Q)npm ci --no-progress --loglevel=error >build.npm.log 2>&1 || { cat build.npm.log; exit 1; }
	@# npm 9 (Debian 12) does not link the programs of optional packages by itself.
	$(Q)[ -e node_modules/.bin/node ] || npm rebuild --silent $$(cd node_modules && ls -d node-linux-*)
	$(Q)rm -f build.npm.log && touch $@

.PHONY: bpf
bpf: ## The kernel programs, build/bpf/mesh.bpf.o
	$(Q)$(MAKE) -s -C bpf OUT=$(ROOT)/build/bpf V=$(V)

.PHONY: native
native: node_modules/.stamp ## The Node addon over libbpf, native/build/Release/mesh_ebpf.node
	$(call say,CXX,native/)
	$(Q)native/build.sh >build.native.log 2>&1 || { cat build.native.log; exit 1; }
	$(Q)rm -f build.native.log

.PHONY: cni
cni: ## The CNI plugin, build/cni/mesh-ebpf-cni
	$(Q)$(MAKE) -s -C native/cni OUT=$(ROOT)/build/cni V=$(V)

.PHONY: bundle
bundle: dist/mesh-ebpf.mjs ## dist/mesh-ebpf.mjs
dist/mesh-ebpf.mjs: $(shell find src -name '*.ts' 2>/dev/null) tools/bundle.ts node_modules/.stamp
	$(call say,BUNDLE,$@)
	$(Q)$(NPM) run build

# ----------------------------------------------------------------------------------------------------------- running

.PHONY: demo
demo: build ## Two nodes on this machine, and a tour through the mesh (root). KEEP=1 leaves them running
	$(Q)tools/install-deps.sh run
	$(Q)bin/mesh-ebpf demo $(if $(KEEP),--keep)

# ----------------------------------------------------------------------------------------------------------- checking

.PHONY: check
check: modules ## Format, lint, types, boundaries, dead code, unit and contract tests (no root)
	$(Q)node_modules/.bin/node tools/test-ladder.ts format lint types imports deadcode unit

.PHONY: test
test: ## The whole test ladder (root); what .ci/run calls. RUNG="unit bpf" runs some
	$(Q)tools/install-deps.sh build
	$(Q)tools/install-deps.sh test
	$(Q)$(MAKE) modules
	$(Q)node_modules/.bin/node tools/test-ladder.ts $(RUNG)

.PHONY: interop
interop: ## Together with Istio's ztunnel: ZTUNNEL=/path/to/ztunnel (root)
	@test -x "$(ZTUNNEL)" || { echo 'make interop needs ZTUNNEL=/path/to/ztunnel, an executable of istio/ztunnel' >&2; exit 1; }
	$(Q)ZTUNNEL=$(abspath $(ZTUNNEL)) $(MAKE) test RUNG="build interop"

.PHONY: bench
bench: build ## The project beside its peers: no mesh, HAProxy, and a ztunnel if ZTUNNEL=path (root). BENCH=--help lists options
	$(Q)tools/install-deps.sh bench
	$(Q)$(NPM) run bench -- $(BENCH)

.PHONY: format
format: modules ## Rewrite sources in the house format
	$(Q)$(NPM) run format
	$(Q)clang-format-16 -i $$(git ls-files 'bpf/*.c' 'bpf/*.h' 'native/*.cc' 'native/*.c' 'native/*.h')

.PHONY: gen
gen: modules ## Generate the gRPC stubs from proto/
	$(Q)node_modules/.bin/node tools/gen-proto.ts

.PHONY: clean
clean: ## Remove everything that was built
	$(Q)rm -rf build dist native/build node_modules

.PHONY: help
help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
