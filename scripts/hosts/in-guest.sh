#!/usr/bin/env bash
#
# Runs in a guest that scripts/hosts/run.sh made, as root, and then ends it.

set -uo pipefail

cd /srv/execbox || exit 1
export PYTHONDONTWRITEBYTECODE=1
read -ra without <<<"${HOST_WITHOUT:-speed}"
read -ra parts <<<"${HOST_PARTS:-docker bubblewrap user-bubblewrap rootless}"
user=$(id -u guest 2>/dev/null)
readonly without parts user

as_guest() {
    runuser -u guest -- env -C /srv/execbox "XDG_RUNTIME_DIR=/run/user/$user" \
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$user/bus" "$@"
}

# One processor, and page faults that take long: figures of speed say nothing here, and all attacks
# would take hours.
look() { # NAME [OPTIONS]
    printf '%s' ".venv/bin/python -m acceptance.hosts --share --made-by $HOST_NAME"
    printf ' %q' "$@" --without "${without[@]}"
}

with_docker() {
    systemctl start docker
    docker load -q -i /srv/image.tar
    sh -c "$(look "$HOST_NAME" --rows /mnt/rows)"
}

with_bubblewrap() {
    sh -c "$(look "$HOST_NAME-bubblewrap" --rows /mnt/rows --engine bubblewrap)"
}

# An ordinary user whose control group systemd has handed over.
with_user_bubblewrap() {
    as_guest systemd-run --user --scope -p Delegate=yes --quiet \
        sh -c "$(look "$HOST_NAME-user-bubblewrap" --rows /tmp/rows --engine bubblewrap)"
}

# As SECURITY.md says, and with Debian's own delegation.
with_rootless() {
    local contrib=/usr/share/docker.io/contrib
    if [[ ! -e $contrib/dockerd-rootless-setuptool.sh ]]; then
        echo "$HOST_NAME-rootless: left out, since this release's docker.io has no set-up for it"
        return 0
    fi
    # What udev does where it is installed.
    modprobe tun && chmod 666 /dev/net/tun
    as_guest mkdir -p /home/guest/bin
    as_guest ln -sf "$contrib"/dockerd-rootless{,-setuptool}.sh \
        /usr/bin/docker /home/guest/bin
    as_guest "PATH=/home/guest/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        dockerd-rootless-setuptool.sh install --force --skip-iptables || {
        as_guest journalctl --user --no-pager -n 30 --unit docker.service
        return 1
    }
    as_guest "DOCKER_HOST=unix:///run/user/$user/docker.sock" sh -c "
        docker load -q -i /srv/image.tar && $(look "$HOST_NAME-rootless" --rows /tmp/rows)"
}

# The README's first command, on a machine that has make.
with_bare() {
    local address gateway mtu status=0 began_s
    read -r address gateway mtu <<<"$HOST_NETWORK"
    ip address add "$address/30" dev vec0
    ip link set vec0 mtu "$mtu" up
    ip route add default via "$gateway"
    export HOME=/root
    began_s=$SECONDS
    make demo DEMO_ARGS="--cpu-time-s 10" >/tmp/demo.log 2>&1 || status=$?
    tail -n 40 /tmp/demo.log
    [[ $status -eq 0 ]] || journalctl --no-pager -u docker -n 30
    sh -c "$(look "$HOST_NAME" --rows /mnt/rows \
        --made-demo "$status" "$((SECONDS - began_s))" /tmp/demo.log)"
}

# The option has a name, or none where mount asks the kernel in the old way.
mount -t hostfs -o hostfs=/host/rows none /mnt/rows || mount -t hostfs -o /host/rows none /mnt/rows
mkdir /tmp/rows
cp /mnt/rows/*.json /tmp/rows/ 2>/dev/null
[[ -z $user ]] || chown -R guest /tmp/rows
failed=()
for part in "${parts[@]}"; do
    [[ $part == docker || $part == bare ]] || systemctl stop docker docker.socket containerd
    "with_${part//-/_}" || failed+=("$part")
    for row in /tmp/rows/*-user-bubblewrap.json /tmp/rows/*-rootless.json; do
        cp "$row" /mnt/rows/ 2>/dev/null
    done
done
echo "${failed[@]}" | tr -d '\n' >/mnt/rows/parts-failed
systemctl poweroff
