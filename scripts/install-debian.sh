#!/bin/sh
# Installs what bongsu needs from Debian's own packages, and nothing else.
#   scripts/install-debian.sh            what a node and a lab need
#   scripts/install-debian.sh --vm       also what the VM tests and the benches need
# Services that packages would start on installation are held back: the lab starts its own.
set -eu

base="bird2 nftables netplan.io iproute2 iputils-ping tcpdump procps util-linux
      clang llvm libbpf-dev libbpf1 gcc libc6-dev linux-libc-dev make python3 python3-venv ca-certificates"
vm="qemu-system-x86 linux-image-amd64 busybox-static cpio kmod iperf3 bpftool"

packages=$base
[ "${1:-}" = "--vm" ] && packages="$base $vm"

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $status in ii*) ;; *) missing="$missing $package" ;; esac
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ]; then
    echo "bongsu needs these Debian packages:$missing" >&2
    echo "run as root: $0 $*" >&2
    exit 1
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing" >&2
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq install -y --no-install-recommends $missing >/dev/null
