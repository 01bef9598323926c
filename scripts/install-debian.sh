#!/bin/sh
# Installs what bongsu needs from Debian's own packages, and nothing else.
#   scripts/install-debian.sh            what a node and a lab need
#   scripts/install-debian.sh --vm       also what the VM tests and the benches need
# Services that packages would start on installation are held back, and those that would start at
# the next boot are disabled: bongsu starts its own daemons, on its own configuration.
set -eu

base="bird2 nftables netplan.io iproute2 iputils-ping tcpdump procps util-linux
      clang llvm libbpf-dev libbpf1 gcc libc6-dev linux-libc-dev make git
      python3 python3-venv ca-certificates"
vm="qemu-system-x86 linux-image-amd64 busybox-static kmod iperf3 bpftool libreswan"
services="bird2:bird.service libreswan:ipsec.service"

packages=$base
case ${1:-} in
    "") ;;
    --vm) packages="$base $vm" ;;
    *) echo "usage: $0 [--vm]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian: the packages are yours to provide:" $packages >&2
    exit 0
fi

# One line for each package dpkg has heard of; `installed` is the only state that will do.
# shellcheck disable=SC2086
installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $packages 2>/dev/null |
    sed -n 's/ installed$//p' | sort -u) || true
missing=""
for package in $packages; do
    echo "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ]; then
    echo "bongsu needs these Debian packages:$missing" >&2
    echo "run as root: $0 $*" >&2
    exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
ours=""
clean_up() {
    rm -f "$log"
    [ -z "$ours" ] || rm -f "$policy"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# A policy that is there already belongs to the administrator (or to a container's image).
if [ ! -e $policy ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi

quietly() {
    # apt speaks only when it fails; another apt may hold the lock for a while.
    "$@" > "$log" 2>&1 < /dev/null || { cat "$log" >&2; exit 1; }
}
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing" >&2
quietly apt-get -q -o DPkg::Lock::Timeout=300 update
# shellcheck disable=SC2086
quietly apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing

# Disabled only where this run brought the package: one who had BIRD running keeps it.
for service in $services; do
    case " $missing " in
        *" ${service%%:*} "*)
            command -v systemctl >/dev/null && systemctl -q disable "${service#*:}" 2>/dev/null ;;
    esac || true
done
