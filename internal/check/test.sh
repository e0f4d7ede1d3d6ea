#!/usr/bin/env bash
# make test: every package once, those with goroutine shells under the race
# detector, and the module of compatibility tests. All parts run, whatever fails.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
timeout=${1:-15m}
racy='/(agent|plugins|fsm)(/|$)'
all=$(go list ./...) || exit 1
race=$(grep -E "$racy" <<<"$all")
plain=$(grep -vE "$racy" <<<"$all")
# Its fleets in virtual time are not built with the race detector.
virtual=./agent/gossip
status=0
# shellcheck disable=SC2086 # lists of packages
go test -timeout "$timeout" $plain || status=1
go test -timeout "$timeout" -run '^(TestDetection|TestDetectionOfTenThousand|TestFalseFailures)$' $virtual || status=1
# shellcheck disable=SC2086
go test -race -timeout "$timeout" $race || status=1
(cd compat && GOFLAGS=-buildvcs=false go test -timeout "$timeout" ./...) || status=1
exit $status
