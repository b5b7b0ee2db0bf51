#!/usr/bin/env bash
#
# Makes sure that a Docker daemon answers.
#
#   scripts/setup-engine.sh
#
# Where one answers already, says so and changes nothing. Otherwise, as root on
# a machine with apt, installs Debian's docker.io and starts its daemon. Where
# it can do neither, says what to do and ends with status 1.
#
# Environment:
#   DOCKER_HOST            the daemon to look for; with it set, none is installed
#   EXECBOX_NO_INSTALL     set to anything: never install or start anything
#   EXECBOX_DOCKERD_LOG    where a daemon started here logs to
#                          (default /var/log/execbox-dockerd.log)

set -euo pipefail

readonly log=${EXECBOX_DOCKERD_LOG:-/var/log/execbox-dockerd.log}
readonly wait_s=60

say() { printf 'setup-engine: %s\n' "$*"; }

give_up() {
    say "$1" >&2
    shift
    for line in "$@"; do
        printf '    %s\n' "$line" >&2
    done
    exit 1
}

server_version() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

# Waits for the daemon; fails as soon as the process it was given is gone.
wait_for_daemon() {
    local pid=$1 waited
    for ((waited = 0; waited < wait_s * 2; waited++)); do
        if server_version >/dev/null; then
            return 0
        fi
        if [[ -n $pid ]] && ! kill -0 "$pid" 2>/dev/null; then
            return 1
        fi
        sleep 0.5
    done
    return 1
}

start_daemon() {
    if [[ -d /run/systemd/system ]]; then
        say "starting the docker service"
        systemctl start docker || true
        wait_for_daemon ''
    elif pidof dockerd >/dev/null; then
        say "a Docker daemon is starting; waiting for it"
        wait_for_daemon ''
    else
        say "starting dockerd in the background; it logs to $log"
        # A session of its own, so that it outlives this script's terminal.
        setsid nohup dockerd >>"$log" 2>&1 </dev/null &
        wait_for_daemon $!
    fi
}

if version=$(server_version); then
    say "a Docker daemon answers (version $version)"
    exit 0
fi

if [[ -n ${DOCKER_HOST:-} ]]; then
    give_up "no Docker daemon answers at DOCKER_HOST." \
        "Start that daemon, or unset DOCKER_HOST to use this machine's own."
fi
if [[ -n ${EXECBOX_NO_INSTALL:-} ]]; then
    give_up "no Docker daemon answers, and EXECBOX_NO_INSTALL forbids setting one up." \
        "Install and start Docker, or unset EXECBOX_NO_INSTALL."
fi
if command -v docker >/dev/null && [[ $(id -u) -ne 0 ]]; then
    give_up "Docker is installed, but its daemon does not answer to you." \
        "If it is not running:      sudo systemctl start docker   (or start Docker Desktop)" \
        "If you may not talk to it: sudo usermod -aG docker \"\$USER\", then log in again" \
        "Its own words:             docker version"
fi
if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    give_up "there is no Docker daemon, and installing one takes root and apt." \
        "On Debian or Ubuntu:  sudo apt-get install docker.io" \
        "                      sudo usermod -aG docker \"\$USER\", then log in again" \
        "Anywhere else:        install Docker Desktop or Docker Engine and start it"
fi

if ! command -v dockerd >/dev/null; then
    say "no Docker daemon found: installing docker.io and iptables with apt"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends docker.io iptables </dev/null
fi
if ! start_daemon; then
    if [[ -s $log ]]; then
        tail -n 20 "$log" >&2
    fi
    give_up "the Docker daemon did not answer within $wait_s seconds." \
        "The last lines of its log, if it left any, are above; all of it: $log"
fi
say "a Docker daemon answers (version $(server_version))"
