#!/usr/bin/env bash
# Generates codec_gen.go for the package in the current folder. msgp reads test
# files too and stumbles over a package of external tests, so it gets a copy
# without them.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for f in *.go; do
  case "$f" in *_test.go | *_gen.go) ;; *) cp "$f" "$tmp/" ;; esac
done
go tool msgp -file "$tmp" -o codec_gen.go -tests=false -io=false
