#!/usr/bin/env bash
#
# Runs in a guest that scripts/hosts/run.sh made, as root, and then ends it.

set -uo pipefail

cd /srv/execbox || exit 1
export PYTHONDONTWRITEBYTECODE=1
readonly without=(--without speed)

# One processor, and page faults that take long: timing tests say nothing here.
docker load -q -i /srv/image.tar
.venv/bin/python -m acceptance.hosts --rows /mnt/rows "$HOST_NAME" "${without[@]}"
systemctl stop docker docker.socket containerd
.venv/bin/python -m acceptance.hosts --rows /mnt/rows --engine bubblewrap \
    "$HOST_NAME-bubblewrap" "${without[@]}"
mkdir -m 777 /tmp/rows
runuser -u guest -- env "XDG_RUNTIME_DIR=/run/user/$(id -u guest)" \
    systemd-run --user --scope -p Delegate=yes --quiet \
    .venv/bin/python -m acceptance.hosts --rows /tmp/rows --engine bubblewrap \
    "$HOST_NAME-user-bubblewrap" "${without[@]}"
cp /tmp/rows/*.json /mnt/rows/
systemctl poweroff
