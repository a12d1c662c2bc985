#!/bin/sh
# Makes a node out of fresh namespaces, then becomes its process 1:
#   node-init.sh NAME STATE PAUSE DIRECTORY...
# STATE holds what is on the node's disk: each DIRECTORY is found there under its own path. /run and the BPF file system
# are memory, so a reboot loses them, as on any machine.
set -eu
name=$1 state=$2 pause=$3
shift 3

echo "$name" >/proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/cgroup

# /sys shows the network interfaces of the namespace it was mounted in; the cgroups below it are kept.
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
mount -t bpf bpf /sys/fs/bpf

for directory in "$@"; do
  mount --bind "$state/disk$directory" "$directory"
done
# Volumes that the kubelet mounts have to show up in containers.
mount --make-rshared /

: >"$state/booted"
exec "$pause"
