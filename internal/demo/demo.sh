#!/usr/bin/env bash
# make demo: a dev agent with a first job. Stays until Ctrl-C; with ONCE=1 ends
# by itself and fails when anything did not work. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
steppe=${STEPPE_BIN:-$PWD/bin/steppe}
dir=$(mktemp -d "${TMPDIR:-/tmp}/steppe-demo.XXXXXX")
log=$dir/agent.log
agent=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then say() { printf '\n%s\n' "$*"; }; fi

clean() {
  trap - EXIT INT TERM
  if [ -n "$agent" ] && kill -0 "$agent" 2>/dev/null; then
    say "Stopping the agent and its tasks."
    kill -INT "$agent"
    for _ in $(seq 150); do kill -0 "$agent" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$agent" 2>/dev/null || true
    wait "$agent" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

port() { for p in $(seq "$1" 3 $(($1 + 300))); do if ! (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then echo "$p"; return; fi; done; echo "$1"; }
http=$(port 4646)
cat >"$dir/ports.hcl" <<EOF
ports {
  http = $http
  rpc  = $((http + 1))
  serf = $((http + 2))
}
EOF
export STEPPE_ADDR=http://127.0.0.1:$http

say "Starting a dev agent: server and client in one process, nothing kept."
echo "  steppe agent -dev    (log: $log)"
# A session of its own, so that Ctrl-C reaches this script first.
setsid "$steppe" agent -dev -config "$dir/ports.hcl" >"$log" 2>&1 &
agent=$!
for i in $(seq 100); do
  if "$steppe" node status 2>/dev/null | grep -q ready; then break; fi
  if ! kill -0 "$agent" 2>/dev/null || [ "$i" = 100 ]; then
    echo "The agent did not start. Its log says:" >&2
    tail -n 30 "$log" >&2
    exit 1
  fi
  sleep 0.1
done

say "Running examples/hello.hcl"
echo "  steppe job run examples/hello.hcl"
"$steppe" job run examples/hello.hcl

say "What the task says"
echo "  steppe logs -job hello"
line=
for _ in $(seq 50); do
  line=$("$steppe" logs -job hello 2>/dev/null | head -n 1 || true)
  [ -n "$line" ] && break
  sleep 0.1
done
if [ -z "$line" ]; then echo "The task said nothing." >&2; exit 1; fi
echo "  $line"

if [ -n "${ONCE:-}" ]; then
  case "$line" in "hello from hello.greeters[0]"*) ;; *) echo "unexpected output" >&2; exit 1 ;; esac
  "$steppe" job stop -yes hello >/dev/null
  say "All of it worked."
  exit 0
fi

say "The agent is at $STEPPE_ADDR. In another terminal, try:"
cat <<EOF
  export STEPPE_ADDR=$STEPPE_ADDR PATH=$PWD/bin:\$PATH
  steppe job status hello          what runs, and where
  steppe logs -f -job hello        follow the log
  steppe job scale hello 3         three instead of one
  steppe job init                  write a job file of your own
  steppe job stop hello
Ctrl-C here stops everything and removes it.
EOF
wait "$agent"
