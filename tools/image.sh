#!/usr/bin/env bash
# image.sh: builds the container image from daemonset/Dockerfile with docker or buildah, whichever is there, and writes
# it to build/mesh-ebpf-image.tar (OCI). IMAGE names it; BASE and BUILD are the Dockerfile's.
#
# Where the base image cannot be pulled, one of the same name is made from Debian packages and npm's Node. It is as
# good, but not the published one: which base was taken is in the image's label org.mesh-ebpf.base.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(node_modules/.bin/node -p 'require("./package.json").version')
image=${IMAGE:-ghcr.io/mesh-ebpf/mesh-ebpf:$version}
base=${BASE:-docker.io/library/node:24-bookworm-slim}
out=build/mesh-ebpf-image.tar
work=build/image
mkdir -p "$work"

say() { printf '  %-8s %s\n' "$1" "$2"; }
die() { echo "image.sh: $*" >&2; exit 1; }

# Another C library than Debian 12's: what was built here would not load there.
build=in-image
[[ $(. /etc/os-release && echo "$ID$VERSION_ID") == debian12 ]] && build=on-host
build=${BUILD:-$build}

if docker info >/dev/null 2>&1; then
  tool=docker
elif command -v buildah >/dev/null; then
  tool=buildah
  # Works where containers cannot be nested, too.
  export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot} STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
  # buildah leaves layers mounted. In a mount namespace of its own they end with it, and `make clean` can remove them.
  if [[ $EUID == 0 && -z ${PRIVATE_MOUNTS:-} ]]; then
    PRIVATE_MOUNTS=1 exec unshare --mount --propagation private tools/image.sh "$@"
  fi
  storage=(--root "$PWD/$work/storage" --runroot "$PWD/$work/run")
else
  die 'neither a running docker nor buildah is here; install one (Debian: apt-get install buildah)'
fi

pull_base() {
  if [[ $tool == docker ]]; then docker pull -q "$base"; else buildah "${storage[@]}" pull -q "$base"; fi
}

# A root file system with what the image needs, so that nothing has to be fetched while it is built.
make_base() {
  command -v mmdebstrap >/dev/null || die "$base cannot be pulled, and mmdebstrap, to make it, is not installed"
  say BASE "$base from Debian packages"
  local rootfs=$work/base.tar
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,iproute2,libbpf1,libelf1,libstdc++6,util-linux \
    --customize-hook="upload node_modules/node-linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')/bin/node /usr/local/bin/node" \
    --customize-hook='chmod 0755 "$1/usr/local/bin/node"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    bookworm "$rootfs" >"$work/base.log" 2>&1 || { cat "$work/base.log" >&2; die 'mmdebstrap failed'; }
  if [[ $tool == docker ]]; then
    docker import "$rootfs" "$base" >/dev/null
  else
    local container
    container=$(buildah "${storage[@]}" from scratch)
    buildah "${storage[@]}" add -q "$container" "$rootfs" / >/dev/null
    buildah "${storage[@]}" commit -q --rm "$container" "$base" >/dev/null
  fi
  rm -f "$rootfs"
}

have_base() {
  if [[ $tool == docker ]]; then docker image inspect "$base"; else buildah "${storage[@]}" inspect "$base"; fi
} >/dev/null 2>&1

origin=registry
[[ -e $work/base.origin ]] && origin=$(cat "$work/base.origin")
if ! have_base && ! timeout "${PULL_TIMEOUT:-120}" bash -c "$(declare -f pull_base); $(declare -p tool base); $(declare -p storage 2>/dev/null || true); pull_base" >"$work/pull.log" 2>&1; then
  make_base
  origin=debian-packages
  echo "$origin" >"$work/base.origin"
fi

say IMAGE "$image with $tool, built $build"
args=(--build-arg "BASE=$base" --build-arg "BUILD=$build" --label "org.mesh-ebpf.base=$origin"
  --label "org.opencontainers.image.version=$version" -f daemonset/Dockerfile -t "$image")
if [[ $tool == docker ]]; then
  docker build -q "${args[@]}" . >/dev/null
  docker save "$image" -o "$out"
else
  buildah "${storage[@]}" build -q --pull-never --layers=false "${args[@]}" . >"$work/build.log" 2>&1 ||
    { cat "$work/build.log" >&2; die 'the build failed'; }
  rm -f "$out"
  buildah "${storage[@]}" push -q "$image" "oci-archive:$out:$image"
fi
say OUT "$out ($(du -h "$out" | cut -f1))"
