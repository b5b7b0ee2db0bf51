#!/usr/bin/env bash
#
# A guest with a kernel of its own, which needs neither KVM nor a network; part
# of scripts/hosts/run.sh.

readonly guest_packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,ca-certificates,docker.io,iptables,bubblewrap,uidmap,python3,python3-venv,procps,kmod,gcc,libc6-dev,adduser

in_guest() { # SUITE NAME
    local place=$EXECBOX_HOSTS_WORK/$2 here
    # shellcheck source=/dev/null
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # The kernel as this machine's release has it: a newer one needs a newer libc.
    unpack "$here" "$place/kernel" user-mode-linux
    make_guest_root "$1" "$2" "$place"
    mkdir -p "$place/rows"
    truncate -s 8G "$place/disk"
    mke2fs -q -t ext4 -d "$place/root" "$place/disk"
    say "booting; its console is in $place/console.log"
    timeout 3000 "$place/kernel/usr/bin/linux.uml" mem=4G "ubd0=$place/disk" root=/dev/ubda rw \
        con=null con0=null,fd:1 systemd.unit=multi-user.target quiet >"$place/console.log" 2>&1 </dev/null ||
        say "the guest ended with status $?"
    [[ -n $(ls "$place/rows") ]] || {
        tail -20 "$place/console.log" >&2
        return 1
    }
    cp "$place"/rows/*.json "$EXECBOX_HOSTS_ROWS/"
}

# A root with the engines, this checkout with its packages, the sandbox image, and
# a unit that runs what there is to run and then ends the guest.
make_guest_root() { # SUITE NAME PLACE
    local suite=$1 name=$2 place=$3 guest=$3/root copy=$3/root/srv/execbox file
    command -v mmdebstrap >/dev/null || apt-get install -y -q --no-install-recommends mmdebstrap
    if [[ ! -d $guest/etc ]]; then
        say "making Debian $suite with mmdebstrap"
        mmdebstrap --quiet --variant=minbase "--include=$guest_packages" \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            "$suite" "$guest" "$(mirror)"
    fi
    mkdir -p "$copy" "$guest/lib/modules" "$guest/etc/docker"
    git -C "$EXECBOX_HOSTS_ROOT" ls-files -z | tar -C "$EXECBOX_HOSTS_ROOT" --null -T - -cf - | tar -C "$copy" -xf -
    for file in /etc/resolv.conf /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        [[ ! -e $file ]] || cp -L --remove-destination "$file" "$guest$file"
    done
    chroot "$guest" env HOME=/root /srv/execbox/scripts/setup-python.sh
    cp -a "$place/kernel/usr/lib/uml/modules/." "$guest/lib/modules/"
    printf '{"bridge": "none", "iptables": false, "ip6tables": false}\n' >"$guest/etc/docker/daemon.json"
    docker save execbox-sandbox:local -o "$guest/srv/image.tar"
    chroot "$guest" useradd --create-home --shell /bin/bash guest 2>/dev/null || true
    mkdir -p "$guest/var/lib/systemd/linger" "$guest/mnt/rows"
    touch "$guest/var/lib/systemd/linger/guest"
    printf 'none /mnt/rows hostfs %s 0 0\n' "$place/rows" >"$guest/etc/fstab"
    cp "$EXECBOX_HOSTS_ROOT/scripts/hosts/in-guest.sh" "$guest/srv/in-guest.sh"
    cat >"$guest/etc/systemd/system/execbox-host.service" <<UNIT
[Unit]
Description=What is to be run on this host
After=docker.service user@1000.service
Wants=docker.service

[Service]
Type=oneshot
Environment=HOST_NAME=$name
ExecStart=/bin/bash /srv/in-guest.sh
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
UNIT
    mkdir -p "$guest/etc/systemd/system/multi-user.target.wants"
    ln -sf ../execbox-host.service "$guest/etc/systemd/system/multi-user.target.wants/"
}
