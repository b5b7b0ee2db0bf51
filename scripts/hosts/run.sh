#!/usr/bin/env bash
#
# Makes hosts that are unlike this machine, from nothing but Debian's packages
# (and Ubuntu's, for one), and runs in each what docs/hosts.md shows.
#
#   scripts/hosts/run.sh NAME... | all
#
#   this         this machine as it is, with its own daemon
#   engine-13    beside it the Docker engine of Debian 13 (26.1)
#   engine-sid   beside it the Docker engine of Debian sid (28.5 when this was written)
#   user-docker  an ordinary user of this machine who may use the daemon's socket
#   podman       Podman's Docker socket, which must be refused in words
#   bubblewrap   this machine without a daemon, as root
#   python-3.N   Python 3.12 (where this machine has it), 3.13 or 3.14 (those of Debian 13
#                and sid) for client and service, with this machine's daemon
#   guest-12, guest-13, guest-sid
#                that Debian with a kernel of its own (user-mode Linux), cgroup v2 and
#                systemd: its Docker, bubblewrap as root, bubblewrap as a user with a
#                delegated control group, and rootless Docker
#   guest-ubuntu-24.04
#                the same of Ubuntu 24.04, whose docker.io has no rootless set-up, where
#                EXECBOX_HOSTS_UBUNTU_MIRROR names a mirror; all leaves it out where
#                nothing does
#   bare-13, bare-ubuntu-24.04
#                a guest with a network that has make and nothing else of what execbox
#                takes: no Python, Docker, or image; there, make demo
#
# As root, on a Debian or Ubuntu with apt. Each host is made below
# EXECBOX_HOSTS_DIR (default /var/tmp/execbox-hosts), which is removed again
# unless EXECBOX_HOSTS_KEEP is set; nothing is installed on this machine but
# mmdebstrap, for a guest. Rows go to scripts/hosts/rows, and docs/hosts.md is
# written of all that are there. Packages come from the mirror that this machine's apt uses.
#
# Environment:
#   EXECBOX_HOSTS_WITHOUT   steps to leave out, such as "attacks speed"; tests, all of them,
#                           take most of an hour on a host that is no guest
#   EXECBOX_HOSTS_PARTS     what to run in a guest (default all: "docker bubblewrap
#                           user-bubblewrap rootless")
#   EXECBOX_HOSTS_UBUNTU_MIRROR
#                           where Ubuntu's packages come from, such as http://HOST/ubuntu

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root
readonly work=${EXECBOX_HOSTS_DIR:-/var/tmp/execbox-hosts}
readonly rows=$root/scripts/hosts/rows
all=(this engine-13 engine-sid user-docker podman bubblewrap python-3.12
    python-3.13 python-3.14 guest-12 guest-13 guest-sid bare-13)
[[ -z ${EXECBOX_HOSTS_UBUNTU_MIRROR:-} ]] || all+=(guest-ubuntu-24.04 bare-ubuntu-24.04)
readonly all
read -ra without <<<"${EXECBOX_HOSTS_WITHOUT:+--without $EXECBOX_HOSTS_WITHOUT}"
readonly without
export EXECBOX_HOSTS_ROOT=$root EXECBOX_HOSTS_WORK=$work EXECBOX_HOSTS_ROWS=$rows
# shellcheck source=scripts/find-python.sh
source "$root/scripts/find-python.sh"
# shellcheck source=scripts/hosts/packages.sh
source "$root/scripts/hosts/packages.sh"
# shellcheck source=scripts/hosts/engines.sh
source "$root/scripts/hosts/engines.sh"
# shellcheck source=scripts/hosts/guest.sh
source "$root/scripts/hosts/guest.sh"
# shellcheck source=scripts/hosts/bare.sh
source "$root/scripts/hosts/bare.sh"

say() { printf 'hosts: %s\n' "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

look() { # NAME [OPTIONS]
    (cd "$root" && .venv/bin/python -m acceptance.hosts --rows "$rows" "$@" "${without[@]}")
}

run_one() { # NAME
    say "$1"
    mkdir -p "$work" "$rows"
    case $1 in
    this) look this ;;
    engine-13) with_engine trixie engine-13 ;;
    engine-sid) with_engine sid engine-sid ;;
    user-docker) as_user_of_docker ;;
    podman) with_podman ;;
    bubblewrap) look bubblewrap --engine bubblewrap ;;
    python-3.12) with_own_python 3.12 ;;
    python-3.13) with_python_of trixie python-3.13 ;;
    python-3.14) with_python_of sid python-3.14 ;;
    guest-12) in_guest bookworm guest-12 ;;
    guest-13) in_guest trixie guest-13 ;;
    guest-sid) in_guest sid guest-sid ;;
    guest-ubuntu-24.04) in_guest noble guest-ubuntu-24.04 ;;
    bare-13) in_bare_guest trixie bare-13 ;;
    bare-ubuntu-24.04) in_bare_guest noble bare-ubuntu-24.04 ;;
    *) fail "there is no host $1; there are: ${all[*]}" ;;
    esac
}

[[ $# -gt 0 ]] || fail "usage: scripts/hosts/run.sh NAME... | all"
[[ $(id -u) -eq 0 ]] || fail "making hosts takes root"
names=("$@")
[[ $1 != all ]] || names=("${all[@]}")
"$root/scripts/setup-python.sh"
failed=()
for name in "${names[@]}"; do
    # In a shell of its own, at whose end what it started ends. Behind || or if,
    # set -e would not hold in it.
    set +e
    (
        set -e
        run_one "$name"
    )
    status=$?
    set -e
    [[ $status -eq 0 ]] || failed+=("$name")
done
(cd "$root" && .venv/bin/python -m acceptance.hosts --rows "$rows" --page docs/hosts.md)
[[ -n ${EXECBOX_HOSTS_KEEP:-} ]] || rm -rf "$work"
if [[ ${#failed[@]} -gt 0 ]]; then
    fail "something failed on ${failed[*]}; docs/hosts.md says what"
fi
say "docs/hosts.md has the rows"
