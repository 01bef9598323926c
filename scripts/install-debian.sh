#!/bin/sh
# Installs what bongsu needs from Debian's own packages, and nothing else.
#   scripts/install-debian.sh            what a node and a lab need
#   scripts/install-debian.sh --vm       also what the tests, their VM and the benches need
# Services that packages would start on installation are held back, and those that would start at
# the next boot are disabled: bongsu starts its own daemons, on its own configuration.
#
# Debian's strongSwan and Libreswan exclude each other. Labs run strongSwan. The VM tests run Libreswan
# as well, so its files are unpacked into a folder of their own, which those tests lay over their root.
# No package is ever removed: a Libreswan that is installed stays, and what it costs is said.
set -eu

base="bird2 frr nftables netplan.io iproute2 iputils-ping mtr-tiny tcpdump procps util-linux
      clang llvm libbpf-dev libbpf1 gcc libc6-dev linux-libc-dev libisal2 libisal-dev make git openssl
      python3 python3-venv ca-certificates"
strongswan="charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins"
vm="qemu-system-x86 linux-image-amd64 busybox-static kmod iperf3 bpftool frr-pythontools"
services="bird2:bird.service frr:frr.service charon-systemd:strongswan.service"
beside=/var/lib/bongsu/debian/libreswan

packages="$base $strongswan"
with_vm=""
case ${1:-} in
    "") ;;
    --vm) with_vm=yes ;;
    *) echo "usage: $0 [--vm]" >&2; exit 2 ;;
esac
[ -z "$with_vm" ] || packages="$packages $vm"

if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian: the packages are yours to provide:" $packages >&2
    exit 0
fi

# One line for each package dpkg has heard of; `installed` is the only state that will do.
is_installed() {
    dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        sed -n 's/ installed$//p' | sort -u
}

conflicting=$(is_installed libreswan)
if [ -n "$conflicting" ]; then
    without=""
    for package in $packages; do
        case " $strongswan " in *" $package "*) ;; *) without="$without $package" ;; esac
    done
    packages=$without
    # shellcheck disable=SC2086
    echo "$conflicting is installed, and Debian's strongSwan for swanctl conflicts with it:" \
        "left out are $strongswan." \
        "A node of \`ipsec: libreswan\` works; labs with VPN connections do not." \
        "If nothing on this machine needs it:" \
        "apt-get purge" $conflicting "and run $0 again." >&2
fi

# shellcheck disable=SC2086
installed=$(is_installed $packages) || true
missing=""
for package in $packages; do
    echo "$installed" | grep -qxF "$package" || missing="$missing $package"
done

# The copy is as old as its version: a newer one in Debian replaces it.
unpack=""
if [ -n "$with_vm" ]; then
    newest=$(apt-cache policy libreswan | sed -n 's/^ *Candidate: //p')
    [ -f $beside/version ] && [ "$(cat $beside/version)" = "$newest" ] || unpack=yes
fi
[ -n "$missing$unpack" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "bongsu needs these Debian packages:$missing${unpack:+ libreswan (unpacked in $beside)}" >&2
    echo "run as root: $0 $*" >&2
    exit 1
fi

log=$(mktemp)
fresh=""
policy=/usr/sbin/policy-rc.d
ours=""
clean_up() {
    rm -f "$log"
    [ -z "$fresh" ] || rm -rf "$fresh"
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
apt() {
    quietly apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}
# Of alternatives the first, which is Debian's choice. Versions are apt's business.
dependencies() {
    dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*)//; s/:any//; s/ //g' | sort -u
}
unpack_libreswan() {
    fresh=$(mktemp -d "${beside%/*}/.libreswan.XXXXXX")
    chmod 755 "$fresh"
    (cd "$fresh" && quietly apt-get -q -o APT::Sandbox::User=root download libreswan)
    archive=$(echo "$fresh"/libreswan_*.deb)
    # shellcheck disable=SC2046
    apt install --no-install-recommends --no-remove $(dependencies "$archive")
    dpkg-deb -x "$archive" "$fresh/root"
    dpkg-deb -f "$archive" Version > "$fresh/version"
    rm "$archive"
    rm -rf "$beside"
    mv "$fresh" "$beside"
    fresh=""
}

echo "installing:$missing${unpack:+ libreswan (unpacked in $beside)}" >&2
apt update
# --no-remove: rather none of it than somebody's package less.
# shellcheck disable=SC2086
[ -z "$missing" ] || apt install --no-install-recommends --no-remove $missing
if [ -n "$unpack" ]; then
    mkdir -p "${beside%/*}"
    unpack_libreswan
fi

# Disabled only where this run brought the package: one who had BIRD running keeps it.
for service in $services; do
    case " $missing " in
        *" ${service%%:*} "*)
            command -v systemctl >/dev/null && systemctl -q disable "${service#*:}" 2>/dev/null ;;
    esac || true
done
