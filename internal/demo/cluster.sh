#!/usr/bin/env bash
# make cluster: three servers and three clients as real processes on this
# machine, each in a network namespace of its own when root, else on loopback
# addresses. Stays until Ctrl-C; with ONCE=1 it kills the leader and a client
# machine, checks what must happen, and ends. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
steppe=${STEPPE_BIN:-$PWD/bin/steppe}
dir=$(mktemp -d "${TMPDIR:-/tmp}/steppe-cluster.XXXXXX")
hosts=(s1 s2 s3 c1 c2 c3)
tag=stp$((RANDOM % 900 + 100))
net=10.213.$((RANDOM % 200 + 20))
spaces=0
if [ "$(id -u)" -eq 0 ] && command -v ip >/dev/null && ip netns add "$tag-probe" 2>/dev/null; then
  ip netns del "$tag-probe"
  spaces=1
fi
declare -A pid addr

say() { printf '\n== %s\n' "$*"; }
die() { echo "cluster: $*" >&2; for h in "${hosts[@]}"; do echo "--- $h" >&2; tail -n 8 "$dir/$h.log" >&2 || true; done; exit 1; }

# stop_hosts HOST...: interrupts agents, waits, and kills what does not end.
stop_hosts() {
  local h
  for h in "$@"; do [ -n "${pid[$h]:-}" ] && kill -INT "${pid[$h]}" 2>/dev/null || true; done
  for _ in $(seq 150); do
    local alive=0
    for h in "$@"; do [ -n "${pid[$h]:-}" ] && kill -0 "${pid[$h]}" 2>/dev/null && alive=1; done
    [ $alive -eq 0 ] && return 0
    sleep 0.1
  done
  for h in "$@"; do [ -n "${pid[$h]:-}" ] && kill -KILL "${pid[$h]}" 2>/dev/null || true; done
}

clean() {
  trap - EXIT INT TERM
  say "Stopping everything."
  # Tasks outlive agents by design. Clients leave for good on SIGINT here, which
  # ends their tasks; one that was killed is started again for that.
  for h in c1 c2 c3; do
    if [ -n "${pid[$h]:-}" ] && ! kill -0 "${pid[$h]}" 2>/dev/null; then
      start "$h"
      sleep 1
    fi
  done
  stop_hosts c1 c2 c3
  stop_hosts s1 s2 s3
  if [ $spaces -eq 1 ]; then
    for h in "${hosts[@]}"; do ip netns del "$tag-$h" 2>/dev/null || true; done
    ip link del "$tag-br" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

make_network() {
  [ $spaces -eq 1 ] || return 0
  ip link add "$tag-br" type bridge
  ip addr add "$net.1/24" dev "$tag-br"
  ip link set "$tag-br" up
  local i=10
  for h in "${hosts[@]}"; do
    i=$((i + 1))
    ip netns add "$tag-$h"
    ip link add "$tag-$h" type veth peer name eth0 netns "$tag-$h"
    ip link set "$tag-$h" master "$tag-br" up
    ip -n "$tag-$h" addr add "$net.$i/24" dev eth0
    ip -n "$tag-$h" link set eth0 up
    ip -n "$tag-$h" link set lo up
    ip -n "$tag-$h" route add default via "$net.1"
  done
}

configure() {
  local key i=10 h
  key=$("$steppe" operator gossip keyring generate)
  for h in "${hosts[@]}"; do
    i=$((i + 1))
    if [ $spaces -eq 1 ]; then addr[$h]=$net.$i; else addr[$h]=127.77.0.$i; fi
  done
  for h in "${hosts[@]}"; do
    {
      echo "name = \"$h\""
      echo "data_dir = \"$dir/$h\""
      echo "bind_addr = \"${addr[$h]}\""
      echo "encrypt = \"$key\""
      if [ "${h:0:1}" = s ]; then
        printf 'server {\n  enabled = true\n  bootstrap_expect = 3\n  retry_join = ["%s", "%s", "%s"]\n  retry_interval = "1s"\n}\n' \
          "${addr[s1]}" "${addr[s2]}" "${addr[s3]}"
      else
        echo 'leave_on_interrupt = true'
        printf 'client {\n  enabled = true\n  servers = ["%s"]\n  options = { "driver.raw_exec.enable" = "1" }\n}\n' "${addr[s1]}"
      fi
    } >"$dir/$h.hcl"
  done
}

start() {
  local h=$1 in=()
  # nsenter and not ip netns exec: the latter hides /sys/fs/cgroup.
  [ $spaces -eq 1 ] && in=(nsenter "--net=/run/netns/$tag-$h")
  setsid "${in[@]}" "$steppe" agent -config "$dir/$h.hcl" >>"$dir/$h.log" 2>&1 &
  pid[$h]=$!
  disown "${pid[$h]}"
}

# until SECONDS COMMAND...: waits for it to succeed.
until_ok() {
  local end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt $end ] || return 1
    sleep 0.2
  done
}
on() { STEPPE_ADDR=http://${addr[$1]}:4646 "$steppe" "${@:2}"; }
ready_nodes() { [ "$(on s1 node status -t '{{range .}}{{.Status}}{{"\n"}}{{end}}' | grep -c '^ready$')" -eq 3 ]; }
running() { on "$1" job allocs -t '{{range .}}{{if eq .DesiredStatus "run"}}{{.ClientStatus}} {{.NodeName}}{{"\n"}}{{end}}{{end}}' "$2" | grep '^running' || true; }
count_running() { [ "$(running "$1" "$2" | wc -l)" -eq "$3" ]; }

make_network
configure
say "Starting three servers and three clients$([ $spaces -eq 1 ] && echo ', each in its network namespace')."
for h in "${hosts[@]}"; do start "$h"; done
until_ok 40 ready_nodes || die "the cluster did not form"
on s1 server members
on s1 node status

if [ -z "${ONCE:-}" ]; then
  say "Talk to it:"
  cat <<EOF
  export STEPPE_ADDR=http://${addr[s1]}:4646 PATH=$PWD/bin:\$PATH
  steppe job run examples/update.hcl
  steppe server members
EOF
  for h in "${hosts[@]}"; do echo "  $h  pid ${pid[$h]}  http://${addr[$h]}:4646  log $dir/$h.log"; done
  echo "Ctrl-C here stops everything and removes it."
  wait "${pid[s1]}" || true
  # A killed server is no reason to end the others.
  while sleep 3600; do :; done
fi

spread_job() {
  cat <<EOF
job "$1" {
  group "g" {
    count = 6
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["3600"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
EOF
}

say "A job with count 6 spreads over the three clients."
spread_job six >"$dir/six.hcl"
on s1 job run "$dir/six.hcl"
[ "$(running s1 six | sort | uniq -c | awk '{print $1}' | sort | uniq -c | tr -s ' ')" = " 3 2" ] || die "not two on each: $(running s1 six)"

say "kill -9 of the leader: the others answer and a new job runs."
leader=$(on s1 server members -t '{{range .}}{{if eq .Leader true}}{{.Name}}{{end}}{{end}}')
leader=${leader%%.*}
kill -KILL "${pid[$leader]}"
other=s1
[ "$leader" = s1 ] && other=s2
t0=$(date +%s%N)
until_ok 15 on "$other" job run -detach examples/hello.hcl || die "no new leader"
until_ok 15 count_running "$other" hello 1 || die "the new job did not run"
echo "   a new job runs $(((($(date +%s%N) - t0)) / 1000000)) ms after the kill"

say "A client machine is lost: its tasks run elsewhere."
victim=c2
t0=$(date +%s%N)
if [ $spaces -eq 1 ]; then ip link set "$tag-$victim" down; else kill -KILL "${pid[$victim]}"; fi
moved() { count_running "$other" six 6 && ! running "$other" six | grep -q " $victim\$"; }
until_ok 20 moved || die "the lost machine's tasks were not replaced: $(running "$other" six)"
ms=$(((($(date +%s%N) - t0)) / 1000000))
echo "   all six run on the remaining machines after $ms ms"
[ $ms -le 10000 ] || die "that took longer than 10 s"
say "All of it worked."
