# What one does with this repository. It needs Go, make, git and a POSIX shell; `make run` and `make test` are the two to
# begin with, and set up what they need.

ifeq ($(shell go version 2>/dev/null | grep -cE ' go1\.(2[1-9]|[3-9][0-9])'),0)
$(error Go 1.26 or newer is needed (Go 1.21 or newer fetches it by itself); here is: $(or $(shell go version 2>/dev/null),none in PATH))
endif

VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
# HTTP/2 would be 5 % of the binary, and nothing that it speaks to needs it.
TAGS    := nethttpomithttp2
# disablethp: docs/adr/0018-huge-pages.md. There are no other flags: docs/adr/0035-evidence.md.
LDFLAGS := -s -w -X runtime.godebugDefault=disablethp=1
GOBUILD := CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags "$(LDFLAGS) -X main.version=$(VERSION)"
GOTOOL  := go tool -modfile=tools/go.mod
PUBLIC  := $(foreach p,mailbox actor child childtest root log client control,$(if $(wildcard $(p)/*.go),./$(p)))

BIN      ?= bin/sidecar-init
DEMO     ?= bin/demo
FUZZTIME ?= 30s
SOAK     ?= 10m
BENCH    ?= .
COUNT    ?= 6
NOSKIP   ?=
KERNELS  ?= 6.1,6.12
DIST     ?= dist
DISTARCHS ?= amd64,arm64,arm,riscv64,386,s390x,ppc64le
ARCHS    ?= arm64 arm riscv64 386 ppc64le s390x

.PHONY: build notices run demo test test-docker test-vm vm-kernels test-arch lint vuln bench compare fuzz soak image dist size clean

build: ## the static binary, bin/sidecar-init, and beside it the notices of what is linked into it
	@$(GOBUILD) -o $(BIN) ./cmd/sidecar-init
	@cp THIRD_PARTY_NOTICES $(dir $(BIN))

notices: ## THIRD_PARTY_NOTICES, after a change of dependencies
	go run ./internal/notices $(TAGS) >$@.tmp && mv $@.tmp THIRD_PARTY_NOTICES

run: build demo ## a demonstration with five daemons; ends with "Error N" if the supervisor's exit code N is not 0
	@$(DEMO) $(BIN)

demo:
	@CGO_ENABLED=0 go build -trimpath -o $(DEMO) ./internal/demo

test: ## all tests that need no Docker; NOSKIP=REGEXP fails if one is skipped for such a reason
	@go run ./internal/gotest -noskip '$(NOSKIP)' -- -timeout 15m ./...

test-docker: build ## the tests that need a Docker Engine
	go test -count=1 -timeout 10m -tags docker -v ./internal/dockertest

test-vm: ## tests that depend on the kernel, on those of Debian 12 in QEMU; needs qemu-system-x86 and busybox-static
	go run ./internal/vmtest -kernels $(KERNELS)

vm-kernels: ## only download these kernels, into bin/vm
	go run ./internal/vmtest -kernels $(KERNELS) -fetch

test-arch: ## the builds for other processors, and a bundle under that for arm64; needs qemu-user-static
	@set -e; for a in $(ARCHS); do echo "build for $$a"; CGO_ENABLED=0 GOARCH=$$a go build -tags $(TAGS) ./...; done
	CGO_ENABLED=0 GOARCH=arm go vet -tags $(TAGS) ./... # the tests too, for 32 bits
	@go run ./internal/gotest -name arm64 -noskip . -- -timeout 5m -tags arch -run '^TestArm64' ./cmd/sidecar-init

lint: ## formatting, vet (also of the public packages elsewhere than on Linux), staticcheck, the repository's own rules
	@out=$$($(GOTOOL) gofumpt -l .) && if [ -n "$$out" ]; then echo "gofumpt would change:" $$out; exit 1; fi
	go vet -tags docker,vm,arch ./...
	GOOS=darwin go vet $(PUBLIC)
	cd tools && go vet ./...
	$(GOTOOL) staticcheck -tags docker,vm,arch ./...
	go test -count=1 -short ./internal/repo

vuln: ## known vulnerabilities in what is linked; needs the network, and says so where the database cannot be had
	@$(GOTOOL) govulncheck ./cmd/... || { [ $$? -ne 3 ] && echo "govulncheck: not checked"; }

bench: ## benchmarks, compiled as the binary is, into bench/out/new.txt, compared with bench/out/old.txt if you made one
	@mkdir -p bench/out
	go test -tags $(TAGS) -ldflags "$(LDFLAGS)" -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m ./... >bench/out/new.txt || { cat bench/out/new.txt; exit 1; }
	$(GOTOOL) benchstat $(wildcard bench/out/old.txt) bench/out/new.txt

compare: build ## docs/comparison.md: this program and its peers, side by side; needs root, a C compiler, and the peers that are to be in it
	go run ./internal/compare -bin $(BIN)

fuzz: ## every Fuzz function for FUZZTIME
	@set -e; for d in $$(find . -name '*_test.go' -exec grep -l '^func Fuzz' {} + | xargs -n 1 dirname | sort -u); do \
	  for f in $$(go test -list '^Fuzz' "$$d" | grep '^Fuzz'); do \
	    echo "$$d $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$d"; done; done

soak: ## the supervisor under trouble and under load for SOAK, and the reaper with all of its 30,000 processes
	SIDECAR_INIT_SOAK=$(SOAK) go test -count=1 -p 1 -timeout 0 -run '^TestSoak|^TestNoStatusIsLost$$' -v ./internal/soak ./internal/reap
	SIDECAR_INIT_SOAK=$(SOAK) go test -count=1 -timeout 0 -run "^TestSoakProfile$$" -v ./cmd/sidecar-init

image: build ## the container image sidecar-init, with nothing in it but the binary and its notices
	docker build -t sidecar-init .

dist: ## a release in DIST: tarballs, an OCI layout, bills of materials and checksums; the same commit gives the same bytes
	@cd tools && go build -o ../bin/dist ./dist
	@bin/dist -o $(DIST) -archs $(DISTARCHS)

size: build ## what the binary weighs
	@ls -l bin/sidecar-init

clean:
	rm -rf bin dist bench/out
