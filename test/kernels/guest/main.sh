#!/usr/bin/env bash
# Process 1 on the host's files: makes what a booted system has, runs each step of its file of steps ("NAME SECONDS
# COMMAND"), and tells the host about each on the second serial line (test/kernels/machine/transcript.ts reads it).
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
mkdir -p /dev/pts /dev/shm
mount -t devpts terminals /dev/pts
for directory in /dev/shm /run /tmp; do mount -t tmpfs memory "$directory"; done
mkdir -p /run/netns /run/lock
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mkdir -p /lib/modules
ln -sfn "$MESH_MODULES/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
ip link set lo up
hostname guest

# As it is: no carriage returns.
stty -F /dev/ttyS1 raw -echo
exec 3>/dev/ttyS1
tell() { printf '%s %s\n' "$MESH_NONCE" "$*" >&3; }

cd "$MESH_ROOT" || exit
own=$MESH_RESULTS/machine-$MESH_MACHINE
tell boot "$(uname -r)"
while read -r name seconds command; do
  tell begin "$name"
  SECONDS=0
  timeout --kill-after=10 "$seconds" bash -c "$command" >"$MESH_RESULTS/$name.log" 2>&1 </dev/null 3>&-
  tell end "$name" $? $SECONDS
done <"$own.steps"
dmesg >"$own.dmesg.log"
tell done
sync
echo o >/proc/sysrq-trigger
# The kernel ends meanwhile, the files first: nothing that would have to be read.
while :; do :; done
