#!/usr/bin/env bash
# make test-cgroup2: the drivers' tests on cgroup v2, whatever this machine has, in
# User-Mode-Linux: a Linux kernel that runs as a plain process (Debian's package
# user-mode-linux). Its root is this machine's, read-only; all that is written is in
# its memory. It has no cpuset controller, and one processor.
#
#   internal/cgroup2/run.sh [-run PATTERN] [PACKAGE...]
set -euo pipefail
cd "$(dirname "$0")/../.."
pattern=.
if [ "${1:-}" = -run ]; then pattern=$2; shift 2; fi
[ $# -gt 0 ] || set -- ./drivers/shim/cgroup ./drivers/shim ./drivers/shim/tasks ./drivers/rawexec ./drivers/exec

if ! command -v linux.uml >/dev/null; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "test-cgroup2: run this once: sudo apt-get install -y user-mode-linux" >&2
    exit 1
  fi
  apt-get install -y -qq --no-install-recommends user-mode-linux >/dev/null ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends user-mode-linux >/dev/null; }
fi

work=$(mktemp -d /var/tmp/steppe-cgroup2.XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
export CGO_ENABLED=1
for p in "$@"; do
  name=$(tr / - <<<"${p#./}")
  ${GO:-go} test -c -ldflags '-linkmode external -extldflags "-static"' -o "$work/$name.test" "$p"
  echo "$name $(readlink -f "$p")" >>"$work/list"
done
memory=$work
if [ "$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 1600000 ] 2>/dev/null; then memory=/dev/shm; fi
printf '%s' "$pattern" >"$work/pattern"
cp internal/cgroup2/init.sh "$work/init"
chmod 755 "$work/init"

# The guest's memory is a file in TMPDIR, which should not be on a disk.
TMPDIR=$memory timeout -k 10 "${CGROUP2_TIMEOUT:-900}" linux.uml mem=1500M root=/dev/root rootfstype=hostfs rootflags=/ ro \
  con=null con0=null,fd:1 quiet panic=1 init="$work/init" STEPPE_WORK="$work" </dev/null | tee "$work/out" || true
grep -q '^cgroup2: all passed' "$work/out"
