#!/usr/bin/env bash
# make check: style and consistency, nothing that needs a running agent.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail=0
say() { echo "check: $*" >&2; fail=1; }

out=$(gofmt -l $(git ls-files '*.go')) || true
[ -z "$out" ] || say "not gofmt-ed: $out"
go vet ./... || say "go vet"
go tool staticcheck -checks 'all,-ST1000,-ST1003,-ST1005,-ST1016,-ST1020,-ST1021,-ST1022,-ST1023' ./... || say "staticcheck"
go mod tidy -diff >/dev/null || say "go.mod is not tidy: run go mod tidy"
go test -count=1 ./internal/deptest/... ./internal/tidy/... || say "import or style rules"
before=$(git status --porcelain -- '*_gen.go' '*.pb.go' ; git diff -- '*_gen.go' '*.pb.go' | sha256sum)
go generate ./... || say "go generate"
after=$(git status --porcelain -- '*_gen.go' '*.pb.go' ; git diff -- '*_gen.go' '*.pb.go' | sha256sum)
[ "$before" = "$after" ] || say "generated files were out of date: commit what go generate wrote"
bash -n internal/*/*.sh bench/*.sh || say "shell syntax"
[ $fail -eq 0 ] && echo "check: ok"
exit $fail
