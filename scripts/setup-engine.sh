#!/usr/bin/env bash
#
# Makes sure that a Docker daemon answers.
#
#   scripts/setup-engine.sh
#
# Where one answers already, says so and changes nothing. Otherwise, as root on
# a machine with apt, installs what is missing of the docker command (on Debian 13
# and later a package of its own, docker-cli) and the daemon (docker.io), and
# starts it; no package is removed for that. Where it can do neither, says what to
# do and ends with status 1.
#
# Environment:
#   EXECBOX_DOCKER_HOST    the daemon to look for, which the service will use; with
#                          it set, no daemon is installed, but the docker command
#                          is where it is a package of its own
#   DOCKER_HOST            the same, for the docker command, where the first is unset
#   EXECBOX_NO_INSTALL     set to anything: never install or start anything
#   EXECBOX_DOCKERD_LOG    where a daemon started here logs to
#                          (default /var/log/execbox-dockerd.log)

set -euo pipefail

if [[ -n ${EXECBOX_DOCKER_HOST:-} ]]; then
    export DOCKER_HOST=$EXECBOX_DOCKER_HOST
fi

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

# Fails with status 1 and, in $advice, where the reason is to be found.
start_daemon() {
    if [[ -d /run/systemd/system ]]; then
        say "starting the docker service"
        advice="Its log says why:  journalctl -u docker -n 20"
        systemctl start docker && wait_for_daemon ''
    elif pidof dockerd >/dev/null; then
        say "a Docker daemon is starting; waiting for it"
        advice="Its log says why, which is where that daemon was told to write it."
        wait_for_daemon ''
    else
        say "starting dockerd in the background; it logs to $log"
        advice="The last lines of its log, if it left any, are above; all of it: $log"
        # A session of its own, so that it outlives this script's terminal.
        setsid nohup dockerd >>"$log" 2>&1 </dev/null &
        wait_for_daemon $! || { tail -n 20 "$log" >&2 && return 1; }
    fi
}

can_install() {
    [[ -z ${EXECBOX_NO_INSTALL:-} && $(id -u) -eq 0 ]] && command -v apt-get >/dev/null
}

install() {
    say "installing $* with apt"
    # Docker's own packages and a Kubernetes node's containerd would have to go for
    # docker.io, and what runs on them with them.
    apt-get install -y -q --no-install-recommends --no-remove "$@" </dev/null ||
        give_up "apt could not install $*; its own words are above." \
            "Where packages would have to be removed for it, such as containerd.io:" \
            "install and start Docker's own packages, https://docs.docker.com/engine/install/"
}

# The daemon that the docker command was told to use; nothing where it was not.
told_daemon() {
    local context
    if [[ -n ${DOCKER_HOST:-} ]]; then
        printf '%s\n' "$DOCKER_HOST"
    elif context=$(docker context inspect --format '{{.Name}}' 2>&1); then
        context=${context##*$'\n'}
        [[ $context == default ]] || printf '%s\n' "the Docker context $context"
    elif [[ $context == *"does not exist"* || $context == *"context not found"* ]]; then
        printf '%s\n' "the Docker context in use, which is not there"
    fi
}

# podman-docker's docker command answers where no daemon does, with its own version.
is_podman() {
    [[ $(docker --version 2>/dev/null) == podman* ||
        $(docker version 2>/dev/null) == *"Podman Engine"* ]]
}

exit_if_one_answers() {
    local version
    if is_podman; then
        give_up "Docker is Podman here, which takes a system-call profile as a file only and" \
            "leaves out the masks over /proc, so that sandboxes would lack protections." \
            "Docker, in the place of podman-docker:  sudo apt-get install docker.io" \
            "                         (Fedora: sudo dnf install moby-engine)" \
            "Or bubblewrap:           EXECBOX_ENGINE=bubblewrap (for make: ENGINE=bubblewrap)"
    fi
    if version=$(server_version); then
        say "a Docker daemon answers (version $version)"
        exit 0
    fi
}

exit_if_one_answers

export DEBIAN_FRONTEND=noninteractive
if ! command -v docker >/dev/null && can_install; then
    say "the docker command is missing"
    apt-get update -q
    if [[ -n $(apt-cache search --names-only '^docker-cli$') ]]; then
        install docker-cli
    elif [[ -z ${DOCKER_HOST:-} ]]; then
        install docker.io iptables
    fi
    # There may be a daemon that only could not be asked.
    exit_if_one_answers
fi

if ! command -v docker >/dev/null && { command -v dockerd >/dev/null || [[ -n ${DOCKER_HOST:-} ]]; }; then
    give_up "the docker command is missing, so no Docker daemon can be asked." \
        "On Debian 13 or later:       sudo apt-get install docker-cli" \
        "On Debian 12 or Ubuntu:      sudo apt-get install docker.io" \
        "On Fedora:                   sudo dnf install docker-cli" \
        "Anywhere else:               install Docker's command line"
fi
told=$(told_daemon)
if [[ -n $told ]]; then
    said=$(docker version 2>&1 || true)
    give_up "no Docker daemon answers at $told." \
        "Start that daemon, or use this machine's own: unset EXECBOX_DOCKER_HOST, DOCKER_HOST" \
        "and DOCKER_CONTEXT, and: docker context use default" \
        "Its own words: ${said##*$'\n'}"
fi
if [[ -n ${EXECBOX_NO_INSTALL:-} ]]; then
    give_up "no Docker daemon answers, and EXECBOX_NO_INSTALL forbids setting one up." \
        "Install and start Docker, or unset EXECBOX_NO_INSTALL."
fi
if command -v docker >/dev/null && [[ $(id -u) -ne 0 ]]; then
    said=$(docker version 2>&1 || true)
    if [[ $said == *"permission denied"* ]]; then
        give_up "you have no permission to use the Docker socket." \
            "sudo usermod -aG docker \"\$USER\"    then log in again, or: newgrp docker"
    fi
    give_up "Docker is installed, but its daemon does not run." \
        "sudo systemctl start docker    (or start Docker Desktop)" \
        "Its own words: ${said##*$'\n'}"
fi
if ! can_install; then
    give_up "there is no Docker daemon, and installing one takes root and apt." \
        "On Debian or Ubuntu:  sudo apt-get install docker.io   (and docker-cli from Debian 13 on)" \
        "                      sudo usermod -aG docker \"\$USER\", then log in again" \
        "On Fedora:            sudo dnf install moby-engine && sudo systemctl start docker" \
        "Anywhere else:        install Docker Desktop or Docker Engine and start it"
fi

if ! command -v dockerd >/dev/null; then
    say "no Docker daemon found"
    apt-get update -q
    install docker.io iptables
fi
advice=
if ! start_daemon; then
    give_up "the Docker daemon could not be started, or did not answer within $wait_s seconds." \
        "$advice"
fi
say "a Docker daemon answers (version $(server_version))"
