#!/usr/bin/env bash
# make test: every package once, those with goroutine shells under the race
# detector, and the module of compatibility tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
timeout=${1:-15m}
racy='/(agent|plugins|fsm)(/|$)'
all=$(go list ./...)
race=$(grep -E "$racy" <<<"$all" || true)
plain=$(grep -vE "$racy" <<<"$all" || true)
go test -timeout "$timeout" $plain
if [ -n "$race" ]; then go test -race -timeout "$timeout" $race; fi
if [ -f compat/go.mod ]; then (cd compat && GOFLAGS=-buildvcs=false go test -timeout "$timeout" ./...); fi
