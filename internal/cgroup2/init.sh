#!/bin/sh
# The first process of run.sh's guest: makes what is written to writable, runs the
# tests and ends the guest. Nothing of the machine outside can be changed.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root GOMAXPROCS=2
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /mnt
cp -r "$STEPPE_WORK/." /mnt/
for dir in /run /var/tmp /root; do mount -t tmpfs -o mode=755 tmpfs $dir; done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /dev
mkdir /dev/pts /dev/shm
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/full c 1 7
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
mknod -m 666 /dev/tty c 5 0
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
echo "cgroup2: Linux $(uname -r), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
fail=0
while read -r name dir; do
  # Test data is read from beside the sources; /tmp hides those that are there.
  if cd "$dir" 2>/dev/null; then :; else cd /mnt || exit 1; fi
  if "/mnt/$name.test" -test.timeout 10m -test.run "$(cat /mnt/pattern)" -test.v >/mnt/out 2>&1 </dev/null; then
    echo "ok   $name: $(grep -c '^--- PASS' /mnt/out) passed, $(grep -c '^--- SKIP' /mnt/out) skipped"
    grep -A1 '^--- SKIP' /mnt/out
  else
    fail=1
    echo "FAIL $name"
    grep -v '^=== \|^--- PASS' /mnt/out
  fi
done </mnt/list
[ $fail -eq 0 ] && echo "cgroup2: all passed"
poweroff -f 2>/dev/null || { echo 1 >/proc/sys/kernel/sysrq; echo o >/proc/sysrq-trigger; sleep 5; }
