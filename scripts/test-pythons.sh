#!/usr/bin/env bash
#
# Runs the tests that need no Docker on every Python that execbox promises to
# work with, as far as they can be had on this machine.
#
#   scripts/test-pythons.sh [--quick] [VERSION...]     (default: 3.11 3.12 3.13 3.14)
#
# Looks for python3.N on the path and among pyenv's versions. Where there is
# none, but a Docker engine, and Debian has that version in one of its releases,
# an image is made of Debian's packages with mmdebstrap, and the tests run in a
# container of it. Each Python gets requirements/dev.lock in a place of its own
# below .pythons. A version that cannot be had is named and passes over.
#
# --quick leaves out the tests that start services and those that take minutes.
#
# Environment:
#   EXECBOX_NO_INSTALL   set to anything: make no images

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
# shellcheck source=scripts/find-python.sh
source "$root/scripts/find-python.sh"
readonly quick_tests=(tests/api --ignore tests/api/test_hostile_sizes.py tests/client
    tests/operations tests/sandboxes tests/scheduling)

say() { printf 'test-pythons: %s\n' "$*"; }

tests=(tests)
versions=()
for argument in "$@"; do
    case $argument in
    --quick) tests=("${quick_tests[@]}") ;;
    3.*) versions+=("$argument") ;;
    *)
        echo "usage: scripts/test-pythons.sh [--quick] [VERSION...]" >&2
        exit 1
        ;;
    esac
done
if [[ ${#versions[@]} -eq 0 ]]; then
    versions=(3.11 3.12 3.13 3.14)
fi
readonly tests versions
cd "$root"

# What one Python does, here or in a container: makes its place where the lock
# or the project has changed, and runs the tests.
# shellcheck disable=SC2016
readonly work='
set -eu
place=$1 python=$2
shift 2
wanted=$("$python" --version; cat pyproject.toml requirements/dev.lock | cksum)
if [ "$(cat "$place/stamp" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$place"
    "$python" -m venv "$place"
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --root-user-action ignore --require-hashes --only-binary :all: \
        --requirement requirements/dev.lock
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --root-user-action ignore --no-build-isolation --editable .
    printf "%s\n" "$wanted" >"$place/stamp"
fi
exec "$place/bin/python" -m pytest -q -p no:cacheprovider --numprocesses 2 --dist loadfile \
    -m "not docker" "$@"
'

# The release of Debian that has it.
suite_of() { # VERSION
    case $1 in
    3.11) echo bookworm ;;
    3.13) echo trixie ;;
    3.14) echo forky ;;
    *) return 1 ;;
    esac
}

make_image() { # VERSION
    local suite image=execbox-python:$1 directory
    docker image inspect "$image" >/dev/null 2>&1 && return
    suite=$(suite_of "$1") || return 1
    [[ -z ${EXECBOX_NO_INSTALL:-} ]] && command -v mmdebstrap >/dev/null || return 1
    say "making $image of Debian's packages ($suite) with mmdebstrap"
    directory=$(mktemp -d)
    # A mirror that stands still for a while is good enough to test on: what it
    # has is signed all the same.
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,procps,python3,python3-venv \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
        "$suite" "$directory/root.tar" &&
        docker import "$directory/root.tar" "$image" >/dev/null
    local status=$?
    rm -rf "$directory"
    return $status
}

run_in_container() { # VERSION
    docker run --rm --network host --volume "$root:$root" --workdir "$root" \
        --env PIP_CERT=/etc/ssl/certs/ca-certificates.crt --env PIP_INDEX_URL \
        --env http_proxy --env https_proxy --env no_proxy \
        --env "PYTHONPYCACHEPREFIX=/tmp/pycache" \
        "execbox-python:$1" sh -c "$work" test-pythons ".pythons/debian-$1" "python$1" "${tests[@]}"
}

failed=()
for version in "${versions[@]}"; do
    if python=$(find_python "$version"); then
        say "$version is $("$python" -c 'import sys; print(sys.executable)')"
        sh -c "$work" test-pythons ".pythons/$version" "$python" "${tests[@]}" ||
            failed+=("$version")
    elif command -v docker >/dev/null && make_image "$version"; then
        say "$version is that of Debian $(suite_of "$version"), in a container"
        run_in_container "$version" || failed+=("$version")
    else
        say "$version cannot be had here: not tested"
    fi
done
if [[ ${#failed[@]} -gt 0 ]]; then
    say "failed on ${failed[*]}" >&2
    exit 1
fi
