#!/usr/bin/env bash
# Installs what building and testing Steppe needs from the distribution's
# packages, when root or sudo allows; else prints the command. Quiet when
# nothing is missing.
set -euo pipefail

need=()
have() { command -v "$1" >/dev/null 2>&1; }
have gcc || need+=(gcc libc6-dev)
have pkg-config || need+=(pkg-config)
have ip || need+=(iproute2)
have nft || need+=(nftables)
have curl || need+=(curl)
have pkg-config && pkg-config --exists libseccomp 2>/dev/null || need+=(libseccomp-dev)

if ! have go; then
  echo "setup: Go is missing: install the version that go.mod names (see https://go.dev/dl)" >&2
  exit 1
fi
if [ ${#need[@]} -eq 0 ]; then exit 0; fi
if ! have apt-get; then
  echo "setup: missing: ${need[*]} (Debian's package names); install their equivalents and run make again" >&2
  exit 1
fi
run=()
if [ "$(id -u)" -ne 0 ]; then
  if have sudo && sudo -n true 2>/dev/null; then run=(sudo); else
    echo "setup: run this once, then make again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y ${need[*]}" >&2
    exit 1
  fi
fi
echo "setup: installing ${need[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${run[@]}" apt-get update -qq && "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "setup: the packages could not be installed" >&2
  exit 1
fi
