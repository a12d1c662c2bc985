#!/bin/busybox sh
# Process 1 of the initial file system: reaches the host's files, read-only, puts a layer of memory over them, and goes on
# there with main.sh. What fails here ends the kernel with a panic, which the host names.
# From the kernel's command line: MESH_ROOT, MESH_RESULTS (of the host, at the same paths here), MESH_MACHINE, MESH_NONCE,
# MESH_MODULES.
set -eu
/bin/busybox --install -s /bin
mount -t devtmpfs devices /dev
mount -t proc processes /proc
mount -t sysfs kernel /sys
while read -r module; do insmod "/modules/$module"; done </modules.list

files=trans=virtio,version=9p2000.L,msize=524288
mount -t 9p -o "ro,$files,cache=loose" host /lower
mount -t tmpfs -o mode=755 layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work files /root
# What the host is to see, at once.
mount -t 9p -o "rw,$files,cache=none" results "/root$MESH_RESULTS"
for mount in /dev /proc /sys; do mount -o move "$mount" "/root$mount"; done
exec switch_root /root /bin/bash "$MESH_ROOT/test/kernels/guest/main.sh"
