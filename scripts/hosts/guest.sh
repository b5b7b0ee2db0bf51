#!/usr/bin/env bash
#
# Roots of other releases of Debian, and of Ubuntu: booted as a guest with a
# kernel of its own, which needs neither KVM nor a network, or entered on this
# machine for their Python; part of scripts/hosts/run.sh.

readonly root_packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,ca-certificates,docker.io,iptables,bubblewrap,uidmap,rootlesskit,slirp4netns,iproute2,python3,python3-venv,procps,kmod,gcc,libc6-dev,adduser

root_of() { # SUITE
    case $1 in
    noble) printf %s "$EXECBOX_HOSTS_WORK/ubuntu-$1" ;;
    *) printf %s "$EXECBOX_HOSTS_WORK/debian-$1" ;;
    esac
}

# A root of a release's packages and nothing else, if it is not there yet.
make_plain_root() { # SUITE PLACE PACKAGES
    local suite=$1 place=$2 packages=$3 from
    local origin=()
    [[ ! -d $place ]] || return 0
    command -v mmdebstrap >/dev/null || apt-get install -y -q --no-install-recommends mmdebstrap
    case $suite in
    noble)
        from=${EXECBOX_HOSTS_UBUNTU_MIRROR:?is the address of a mirror of Ubuntu, which this host needs}
        # Debian has a package of the keys that sign Ubuntu's.
        unpack sid "$EXECBOX_HOSTS_WORK/ubuntu-keys" ubuntu-keyring
        origin=("--components=main,universe"
            "--keyring=$EXECBOX_HOSTS_WORK/ubuntu-keys/usr/share/keyrings/ubuntu-archive-keyring.gpg")
        ;;
    *) from=$(mirror) ;;
    esac
    say "making $suite with mmdebstrap"
    rm -rf "$place.new"
    # A mirror that stands still for a while is good enough: what it has is signed.
    mmdebstrap --quiet --variant=minbase "--include=$packages" "${origin[@]}" \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        "$suite" "$place.new" "$from"
    mv "$place.new" "$place"
}

# This checkout in /srv/execbox, and what reaches the network from this machine.
copy_into() { # PLACE
    local place=$1 file
    mkdir -p "$place/srv/execbox"
    git -C "$EXECBOX_HOSTS_ROOT" ls-files -z | tar -C "$EXECBOX_HOSTS_ROOT" --null -T - -cf - |
        tar -C "$place/srv/execbox" -xf -
    for file in /etc/resolv.conf /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        [[ ! -e $file ]] || cp -L --remove-destination "$file" "$place$file"
    done
}

# A root with the engines, and this checkout with its packages.
make_root() { # SUITE
    local place packages=$root_packages
    place=$(root_of "$1")
    # The docker command has a package of its own from Debian 13 on.
    [[ $1 == bookworm || $1 == noble ]] || packages+=,docker-cli
    make_plain_root "$1" "$place" "$packages"
    copy_into "$place"
    chroot "$place" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin /srv/execbox/scripts/setup-python.sh
}

in_guest() { # SUITE NAME
    local place=$EXECBOX_HOSTS_WORK/$2 guest kernel_root
    guest=$(root_of "$1")
    kernel_root=$guest
    make_root "$1"
    # The newest kernel, which finds out what a process asks for by seccomp: three times as fast
    # as ptrace. It needs the libc of Debian 13 or later.
    if [[ $1 == bookworm || $1 == noble ]]; then
        make_root trixie
        kernel_root=$(root_of trixie)
    fi
    prepare_engines "$guest"
    run_guest "$2" "$place" "$guest" "$kernel_root" "\"HOST_PARTS=${EXECBOX_HOSTS_PARTS:-}\""
}

# Boots a root as a guest that runs in-guest.sh with some variables and then ends, and takes its
# rows.
run_guest() { # NAME PLACE GUEST KERNEL_ROOT VARIABLES [KERNEL OPTIONS]
    local name=$1 place=$2 guest=$3 kernel_root=$4 status=0
    unpack sid "$place/kernel" user-mode-linux
    prepare_guest "$name" "$place" "$guest" "$5"
    mkdir -p "$place/rows"
    rm -f "$place/disk" "$place"/rows/*
    # What steps that are left out this time have seen today stays in the rows.
    cp "$EXECBOX_HOSTS_ROWS/$name"*.json "$place/rows/" 2>/dev/null || true
    truncate -s 8G "$place/disk"
    mke2fs -q -t ext4 -d "$guest" "$place/disk"
    say "booting; its console is in $place/console.log"
    boot "$place" "$kernel_root" "${@:6}" >"$place/console.log" 2>&1 </dev/null || status=$?
    say "the guest ended with status $status"
    cp "$place"/rows/*.json "$EXECBOX_HOSTS_ROWS/" || status=1
    # A guest that was cut short has written neither; one in which a part failed, its name.
    if [[ $status -ne 0 || ! -e $place/rows/parts-failed || -s $place/rows/parts-failed ]]; then
        tail -20 "$place/console.log" >&2
        return 1
    fi
}

# The kernel as a process in ROOT, which has the libc that it needs; its mounts end with it.
boot() { # PLACE ROOT [KERNEL OPTIONS]
    mkdir -p "$2/host"
    # shellcheck disable=SC2016 # for the shell in the namespace
    timeout "${EXECBOX_HOSTS_GUEST_S:-7200}" unshare --mount bash -c '
        set -e
        mount --rbind /dev "$2/dev"
        mount -t proc proc "$2/proc"
        mount --bind "$1" "$2/host"
        exec chroot "$2" /host/kernel/usr/bin/linux.uml mem=4G seccomp=auto ubd0=/host/disk \
            root=/dev/ubda rw con=null con0=null,fd:1 systemd.unit=multi-user.target quiet "${@:3}"
    ' boot "$@"
}

# The image, and a user with an engine of its own.
prepare_engines() { # GUEST
    local guest=$1
    configure_docker "$guest"
    docker save execbox-sandbox:local -o "$guest/srv/image.tar"
    chmod 644 "$guest/srv/image.tar"
    chroot "$guest" useradd --create-home --shell /bin/bash guest 2>/dev/null || true
    mkdir -p "$guest/home/guest/.config/docker"
    # Its set-up says the rest on the daemon's command line, and no option may be in both places.
    printf '{"bridge": "none", "ip6tables": false}\n' >"$guest/home/guest/.config/docker/daemon.json"
    chown -R 1000:1000 "$guest/home/guest"
    mkdir -p "$guest/var/lib/systemd/linger"
    touch "$guest/var/lib/systemd/linger/guest"
}

# The guests' kernel has no table for network address translation.
configure_docker() { # GUEST
    mkdir -p "$1/etc/docker"
    printf '{"bridge": "none", "iptables": false, "ip6tables": false}\n' >"$1/etc/docker/daemon.json"
}

# What every guest needs: modules, and a unit that runs what there is to run and
# then ends the guest.
prepare_guest() { # NAME PLACE GUEST VARIABLES
    local name=$1 place=$2 guest=$3
    mkdir -p "$guest/lib/modules" "$guest/mnt/rows"
    cp -a "$place/kernel/usr/lib/uml/modules/." "$guest/lib/modules/"
    cp "$EXECBOX_HOSTS_ROOT/scripts/hosts/in-guest.sh" "$guest/srv/in-guest.sh"
    cat >"$guest/etc/systemd/system/execbox-host.service" <<UNIT
[Unit]
Description=What is to be run on this host
After=docker.service user@1000.service
Wants=docker.service

[Service]
Type=oneshot
Environment=HOST_NAME=$name "HOST_WITHOUT=speed ${EXECBOX_HOSTS_WITHOUT:-}" $4
ExecStart=/bin/bash /srv/in-guest.sh
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=infinity
UNIT
    mkdir -p "$guest/etc/systemd/system/multi-user.target.wants"
    ln -sf ../execbox-host.service "$guest/etc/systemd/system/multi-user.target.wants/"
}

# The Python of another release, on this machine and its daemon.
with_python_of() { # SUITE NAME
    local place=$EXECBOX_HOSTS_WORK/debian-$1 status=0
    make_root "$1"
    mkdir -p "$place/rows"
    # shellcheck disable=SC2016,SC2154 # for the shell in the namespace; run.sh sets it
    unshare --mount bash -c '
        set -e
        place=$1
        shift
        for shared in dev proc sys run; do mount --rbind "/$shared" "$place/$shared"; done
        exec chroot "$place" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            ${DOCKER_HOST:+DOCKER_HOST=$DOCKER_HOST} PYTHONDONTWRITEBYTECODE=1 \
            sh -c "cd /srv/execbox && exec .venv/bin/python -m acceptance.hosts \"\$@\"" hosts "$@"
    ' python "$place" --rows /rows "$2" "${without[@]}" || status=$?
    cp "$place/rows/$2.json" "$EXECBOX_HOSTS_ROWS/"
    return $status
}
