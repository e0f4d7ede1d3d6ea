#!/usr/bin/env bash
# make bench: measures what bench/README.md lists. `bench/run.sh -quick` measures
# less of everything. Figures of a busy machine mean nothing: the load is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=
benchtime=3s
if [ "${1:-}" = -quick ]; then
  quick=-quick
  benchtime=1x
fi
export GOFLAGS="${GOFLAGS:--buildvcs=false -tags=seccomp,netgo,osusergo,runc_nocriu}"

echo "## Machine"
echo "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $(go version | cut -d' ' -f3-), $(uname -sr), $(nproc) cores ($(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)), load $(cut -d' ' -f1-3 /proc/loadavg)"

echo
echo "## A dev agent"
go run ./bench/agentbench -steppe bin/steppe $quick

# one PACKAGE PATTERN: a package's Go benchmarks, one core unless they say otherwise.
one() {
  echo
  echo "## $1"
  go test -run '^$' -bench "$2" -benchtime "$benchtime" -benchmem "$1" | grep -E '^(Benchmark|FAIL|---)' || true
}
export GOMAXPROCS=1
one ./sched 'BenchmarkProcess|BenchmarkVerify'
one ./sched/place 'BenchmarkPlace|BenchmarkSpread'
one ./fsm 'BenchmarkApplyPlan|BenchmarkCodec'
unset GOMAXPROCS
one ./agent/consensus 'BenchmarkPropose'
echo
echo "## Consensus through gRPC"
length=10s
[ -n "$quick" ] && length=2s
for args in "-servers 1" "-servers 3" "-servers 1 -writers 1"; do
  go run ./bench/raftbench -for "$length" $args 2>/dev/null || true
done
echo
echo "## Log stores"
(cd bench/logstore && GOFLAGS=-buildvcs=false go test -run '^$' -bench . -benchtime "$benchtime" | grep -E '^(Benchmark|FAIL|---)') || true
one ./agent/server 'BenchmarkPlacements'
one ./drivers/shim 'BenchmarkStart'
one ./plugins/host 'BenchmarkLaunch'
if [ "$(id -u)" = 0 ]; then # network namespaces
  [ -n "$quick" ] && benchtime=3x || benchtime=50x
  echo
  echo "## Failover"
  go test -run '^$' -bench 'BenchmarkFailover' -benchtime "$benchtime" -timeout 2h ./internal/chaos | grep -E '^(Benchmark|FAIL|---)' || true
  echo
  echo "## Lost machines, killed agents and drivers"
  [ -n "$quick" ] && loss=2x kills=5x || loss=20x kills=100x
  go test -run '^$' -bench 'BenchmarkLoss' -benchtime "$loss" -timeout 2h ./internal/faults | grep -E '^(Benchmark|FAIL|---)' || true
  go test -run '^$' -bench 'BenchmarkKills' -benchtime "$kills" -timeout 2h ./internal/faults | grep -E '^(Benchmark|FAIL|---)' || true
fi

echo
echo "## A fleet of simulated nodes on three servers"
[ -n "$quick" ] && fleet="-nodes 1000 -rounds 1 -steady 20s" || fleet="-nodes 10000 -rounds 3 -steady 60s"
# shellcheck disable=SC2086 # several words
go run ./bench/fleet -steppe bin/steppe $fleet
