#!/usr/bin/env bash
# Runs every fuzzer of the module for the given time each.
set -euo pipefail
cd "$(dirname "$0")/../.."
t=${1:-20s}
grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do
  dir=$(dirname "$f")
  grep -oE '^func (Fuzz[A-Za-z0-9_]+)' "$f" | awk '{print $2}' | while read -r name; do
    echo "fuzz: $dir $name"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$t" "$dir"
  done
done
