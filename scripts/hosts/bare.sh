#!/usr/bin/env bash
#
# Guests that have make and a network and nothing else of what execbox takes, for
# the README's first command as a newcomer meets it; part of scripts/hosts/run.sh.

readonly bare_packages=systemd,systemd-sysv,dbus,ca-certificates,apt,iproute2,kmod,make
# Of the range that nothing on a network uses (RFC 2544), for this machine and the guest.
readonly bare_gateway=198.18.77.1 bare_address=198.18.77.2
readonly bare_device=execbox-bare

in_bare_guest() { # SUITE NAME
    local guest kernel_root suite forwards device mtu
    for suite in "$1" trixie; do
        # The kernel needs the libc of Debian 13 or later.
        make_plain_root "$suite" "$(root_of "$suite")-bare" "$bare_packages"
    done
    guest=$(root_of "$1")-bare
    kernel_root=$(root_of trixie)-bare
    copy_into "$guest"
    configure_docker "$guest"
    forwards=$(</proc/sys/net/ipv4/ip_forward)
    # shellcheck disable=SC2064 # as it is now
    trap "close_network $forwards" EXIT
    open_network
    # Any address outside: what matters is the way that packets to it take.
    device=$(ip -o route get 1.1.1.1 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    mtu=$(<"/sys/class/net/$device/mtu")
    run_guest "$2" "$EXECBOX_HOSTS_WORK/$2" "$guest" "$kernel_root" \
        "HOST_PARTS=bare \"HOST_NETWORK=$bare_address $bare_gateway $mtu\"" \
        "vec0:transport=tap,ifname=$bare_device,depth=128"
}

open_network() {
    # A run that was killed leaves it.
    ip link delete "$bare_device" 2>/dev/null || true
    ip tuntap add "$bare_device" mode tap
    ip address add "$bare_gateway/30" dev "$bare_device"
    # The guest's kernel throws away what holds several packets in one.
    ip link set "$bare_device" gso_max_size 1500 up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    iptables -t nat -A POSTROUTING -s "$bare_address" -j MASQUERADE
    # Docker's own rules drop what is forwarded.
    iptables -I FORWARD -i "$bare_device" -j ACCEPT
    iptables -I FORWARD -o "$bare_device" -j ACCEPT
}

close_network() { # FORWARDS
    iptables -D FORWARD -o "$bare_device" -j ACCEPT || true
    iptables -D FORWARD -i "$bare_device" -j ACCEPT || true
    iptables -t nat -D POSTROUTING -s "$bare_address" -j MASQUERADE || true
    echo "$1" >/proc/sys/net/ipv4/ip_forward
    ip link delete "$bare_device" || true
}
