#!/usr/bin/env bash
# install-deps.sh build|run|test|bench|cluster|kernels|image: installs the Debian packages of that purpose that are missing.
set -euo pipefail

declare -A packages=(
  [build]="nodejs npm g++ make python3 clang-16 libbpf-dev libelf-dev zlib1g-dev libjansson-dev bpftool linux-libc-dev"
  [run]="iproute2 nftables tcpdump procps util-linux"
  [test]="iproute2 nftables tcpdump procps util-linux clang-format-16 openssl python3 protobuf-compiler faketime"
  [bench]="iproute2 nftables procps util-linux openssl haproxy iperf3"
  [cluster]="containerd runc containernetworking-plugins golang-go gcc libc6-dev iproute2 iptables nftables tcpdump bpftool procps util-linux"
  [kernels]="qemu-system-x86 busybox-static kmod cpio xz-utils zstd debian-archive-keyring bpftool python3 iproute2 nftables tcpdump procps util-linux"
  [image]="buildah mmdebstrap"
)

missing=()
for package in ${packages[$1]}; do
  # Node, npm and Go may come from anywhere. So may the container runtime, and Debian's would replace Docker's.
  case $package in
    nodejs) program=node ;;
    golang-go) program=go ;;
    npm | containerd | runc) program=$package ;;
    # Where docker runs, it builds the image.
    buildah | mmdebstrap) docker info >/dev/null 2>&1 && continue; program=$package ;;
    *) program= ;;
  esac
  [[ -n $program ]] && command -v "$program" >/dev/null && continue
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ $EUID -ne 0 ]]; then
  echo "missing Debian packages: ${missing[*]}" >&2
  echo "run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
printf '  %-8s %s\n' APT "${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
  cat "$log" >&2
  exit 1
}
