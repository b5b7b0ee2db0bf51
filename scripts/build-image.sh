#!/usr/bin/env bash
#
# Builds an image: the one functions run in, that one with more languages, the
# service's own, or one with service and sandboxes that needs no Docker socket.
#
#   scripts/build-image.sh [sandbox | languages | service | standalone] [OPTIONS]
#                                                  (default: sandbox)
#
#   --tag NAME            what to call it (default execbox-sandbox:local,
#                         execbox-sandbox:languages, execbox-service:local,
#                         execbox:local)
#   --requirements FILE   packages that functions may import beside those of
#                         sandbox-image/requirements.lock, as pip takes them;
#                         wheels only, and the versions of the lock stand
#   --update              take nothing from the cache: the image gets Debian's
#                         security updates, and a base image made here is made
#                         anew
#
# When nothing has changed, Docker's cache makes this a matter of a second.
# `execbox image build` runs this script; an installed wheel has a copy of it,
# beside a copy of sandbox-image/.
#
# The image "languages" is made of an image "sandbox" that is built first; that
# one's tag is then execbox-sandbox:local, or with --tag NAME-sandbox. So is the
# image "standalone", of that one and of execbox-service:local (NAME-service).
#
# They start from debian:bookworm-slim, pulled by the digest that is the default
# of BASE_IMAGE in both Dockerfiles. To renew the digest, put into both what
#     docker pull debian:bookworm-slim
#     docker image inspect --format '{{index .RepoDigests 0}}' debian:bookworm-slim
# prints. Where it is neither here nor can be pulled, debian:bookworm-slim is
# made of Debian's packages, whose signatures are checked, with mmdebstrap, from
# the Debian mirror this machine's apt uses.
#
# Environment:
#   EXECBOX_DOCKER_HOST      the daemon to build on, which the service will use; unset,
#                            the docker command's own (DOCKER_HOST, its context)
#   EXECBOX_BASE_IMAGE       a different base image (it has to be Debian 12)
#   EXECBOX_PULL_TIMEOUT_S   how long pulling it may take (default 20 where
#                            mmdebstrap can stand in, else 300)
#   EXECBOX_NO_INSTALL       set to anything: do not install mmdebstrap
#   SSL_CERT_FILE            the certificates pip trusts during the build; by
#                            default the machine's own. They stay out of the
#                            images, save for a base image made here.
#   http_proxy, https_proxy, no_proxy, PIP_INDEX_URL   passed on to the build

set -euo pipefail

if [[ -n ${EXECBOX_DOCKER_HOST:-} ]]; then
    export DOCKER_HOST=$EXECBOX_DOCKER_HOST
fi

readonly suite=bookworm
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
# What an image made here is called: it can have no digest.
readonly made_base=debian:bookworm-slim
# Of a build that failed. pip says in its last lines which package it was.
readonly last_lines=40
base=${EXECBOX_BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' "$root/sandbox-image/Dockerfile")}

say() { printf 'build-image: %s\n' "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

mistake() {
    say "$*" >&2
    exit 2
}

usage() {
    mistake "usage: scripts/build-image.sh [sandbox | languages | service | standalone]" \
        "[--tag NAME] [--requirements FILE] [--update]"
}

# The certificates this machine trusts, if it keeps them in a file.
certificates() {
    local file
    for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
        if [[ -n $file && -r $file ]]; then
            printf '%s\n' "$file"
            return
        fi
    done
}

can_install() {
    [[ -z ${EXECBOX_NO_INSTALL:-} && $(id -u) -eq 0 ]] && command -v apt-get >/dev/null
}

can_make_base() {
    [[ -z ${EXECBOX_BASE_IMAGE:-} ]] || return 1
    command -v mmdebstrap >/dev/null || can_install
}

# Ends with what helps where Docker's words tell that its disk is full: whatever else
# could be tried would fail of it, too.
fail_if_full() { # WORDS
    if [[ $1 == *[Nn]"o space left on device"* ]]; then
        printf '%s\n' "$1" >&2
        fail "the disk of Docker's data root is full. Make room with: docker system prune"
    fi
}

pull_base() {
    local limit_s=300 said command=(docker pull --quiet "$base")
    if can_make_base; then
        limit_s=20
    fi
    limit_s=${EXECBOX_PULL_TIMEOUT_S:-$limit_s}
    say "pulling $base (for up to $limit_s s)"
    if command -v timeout >/dev/null; then
        command=(timeout "$limit_s" "${command[@]}")
    fi
    if said=$("${command[@]}" 2>&1); then
        printf '%s\n' "$said"
        return 0
    fi
    fail_if_full "$said"
    printf '%s\n' "$said" >&2
    return 1
}

# This machine's own sources for the suite, as lines for sources.list. None, as
# on Ubuntu, makes mmdebstrap use its default.
apt_sources() {
    if command -v apt-get >/dev/null; then
        # The $(...) are apt's, not the shell's.
        # shellcheck disable=SC2016
        apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
            'Created-By: Packages' 2>/dev/null |
            grep -E "^deb https?://[^ ]*debian[^ ]* $suite(-updates|-security)? main\$" |
            sort -u || true
    fi
}

make_base() {
    if ! command -v mmdebstrap >/dev/null; then
        say "installing mmdebstrap with apt"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q
        apt-get install -y -q --no-install-recommends --no-remove \
            mmdebstrap debian-archive-keyring ca-certificates </dev/null
    fi
    local sources=() options=() ca keys proxy said
    mapfile -t sources < <(apt_sources)
    ca=$(certificates)
    if [[ -n $ca ]]; then
        # Over the bundle of the package: apt and pip inside then trust what
        # this machine trusts.
        options+=("--customize-hook=upload '$ca' /etc/ssl/certs/ca-certificates.crt")
    fi
    # mmdebstrap finds Debian's keys on a machine of another distribution by gpg, which a small
    # one lacks (Ubuntu 24.04's container image, for one).
    for keys in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [[ -r $keys ]]; then
            options+=("--keyring=$keys")
            break
        fi
    done
    for proxy in http https; do
        # shellcheck disable=SC2086
        eval "$(apt-config shell value Acquire::$proxy::Proxy)"
        if [[ -n ${value:-} ]]; then
            options+=("--aptopt=Acquire::$proxy::Proxy \"$value\"")
        fi
        value=
    done
    say "making $made_base of Debian's packages with mmdebstrap"
    if ! mmdebstrap --variant=minbase --include=ca-certificates \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${options[@]}" "$suite" "$work/base.tar" "${sources[@]}" >"$work/base.log" 2>&1; then
        fail_if_full "$(grep -i 'no space left on device' "$work/base.log" | tail -n 1)"
        tail -n "$last_lines" "$work/base.log" >&2
        fail "$made_base could not be made of Debian's packages: the last lines of what" \
            "mmdebstrap said are above"
    fi
    if ! said=$(docker import --change 'CMD ["bash"]' - "$made_base" <"$work/base.tar" 2>&1); then
        fail_if_full "$said"
        fail "$made_base could not be imported: $said"
    fi
    rm -f "$work/base.tar"
}

# An image of that name that came from a registry has a digest there, and if it
# were the wanted one, it would have been found by it.
was_made_here() {
    [[ $(docker image inspect --format '{{len .RepoDigests}}' "$made_base" 2>/dev/null) == 0 ]]
}

ensure_base() {
    if docker image inspect "$base" >/dev/null 2>&1; then
        return
    fi
    if can_make_base && was_made_here && [[ -z $update ]]; then
        base=$made_base
        return
    fi
    if pull_base; then
        return
    fi
    if ! can_make_base; then
        fail "$base is not here and could not be pulled, and making it takes mmdebstrap" \
            "(or root and apt, to install that). Pull it by hand, or name a different" \
            "Debian 12 image in EXECBOX_BASE_IMAGE."
    fi
    say "$base could not be pulled"
    base=$made_base
    make_base
}

# What the builder is given: a stream, because Docker's snap sees no files in /tmp.
# Owners and names are as the docker command itself would send them, so that the cache
# is the same for all users; what Python leaves behind would make images differ.
pack_context() {
    local options=(--exclude=__pycache__ --exclude='*.pyc' --exclude='.*_cache' --exclude=.hypothesis)
    if [[ $(tar --version) == *GNU* ]]; then
        options+=(--owner=0 --group=0 --numeric-owner)
    fi
    (cd "$work/context" && tar -c -f - "${options[@]}" -- *) >"$work/context.tar"
}

# Builds the directory $work/context under the name given.
build() { # TAG OPTIONS FOR docker build...
    local tag=$1 ca name log
    local options=(--network host --tag "$tag" "${@:2}")
    if [[ -n $update ]]; then
        options+=(--no-cache)
    fi
    ca=$(certificates)
    if [[ -n $ca ]]; then
        cp "$ca" "$work/context/build-ca.pem"
    fi
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL; do
        if [[ -n ${!name:-} ]]; then
            options+=(--build-arg "$name")
        fi
    done
    pack_context
    say "building $tag (takes a few minutes the first time)"
    if ! docker build "${options[@]}" - <"$work/context.tar" >"$work/build.log" 2>&1; then
        fail_if_full "$(grep -i 'no space left on device' "$work/build.log" | tail -n 1)"
        log=$(mktemp "${TMPDIR:-/tmp}/execbox-build-log-XXXXXX")
        cp "$work/build.log" "$log"
        tail -n "$last_lines" "$log" >&2
        fail "$tag could not be built: the last lines of what the build said are above," \
            "and all of it is in $log"
    fi
    say "$tag is $(docker image inspect --format '{{.Id}}' "$tag")"
}

# Each build gets a directory of its own, holding only what it needs.
build_sandbox() { # TAG
    rm -rf "$work/context"
    cp -R "$root/sandbox-image" "$work/context"
    if [[ -n $requirements ]]; then
        cp "$requirements" "$work/context/requirements-added.txt"
    fi
    build "$1" --build-arg "BASE_IMAGE=$base"
}

# What an image that is made of others calls them.
part() { # sandbox | service
    if [[ -n $named ]]; then
        printf '%s\n' "$named-$1"
    else
        printf '%s\n' "execbox-$1:local"
    fi
}

build_languages() { # TAG
    local sandbox
    sandbox=$(part sandbox)
    build_sandbox "$sandbox"
    build "$1" --build-arg "SANDBOX_IMAGE=$sandbox" \
        --file languages.Dockerfile
}

build_service() { # TAG
    rm -rf "$work/context"
    mkdir -p "$work/context/scripts"
    cp -R "$root/client" "$root/service" "$root/sandbox-image" "$root/requirements" "$work/context"
    cp "$root/pyproject.toml" "$root/README.md" "$root/LICENSE" "$work/context"
    cp "$root/scripts/build-image.sh" "$work/context/scripts"
    cp "$root/service/Dockerfile" "$work/context/Dockerfile"
    build "$1" --build-arg "BASE_IMAGE=$base"
}

build_standalone() { # TAG
    local sandbox service id
    sandbox=$(part sandbox)
    service=$(part service)
    build_sandbox "$sandbox"
    build_service "$service"
    id=$(docker image inspect --format '{{.Id}}' "$sandbox")
    rm -rf "$work/context"
    mkdir "$work/context"
    cp "$root/deploy/Dockerfile" "$work/context"
    build "$1" --build-arg "SANDBOX_IMAGE=$sandbox" --build-arg "SERVICE_IMAGE=$service" \
        --build-arg "SANDBOX_IMAGE_ID=$id"
}

image=sandbox
named=
requirements=
update=
while [[ $# -gt 0 ]]; do
    case $1 in
    sandbox | languages | service | standalone) image=$1 ;;
    --tag)
        named=${2:-}
        [[ -n $named ]] || usage
        shift
        ;;
    --requirements)
        requirements=${2:-}
        [[ -n $requirements ]] || usage
        shift
        ;;
    --update) update=yes ;;
    *) usage ;;
    esac
    shift
done
readonly image named requirements update
if [[ -n $requirements ]]; then
    [[ $image != service ]] || mistake "--requirements is for the images that functions run in"
    [[ -f $requirements && -r $requirements ]] || mistake "there is no file $requirements to read"
fi
command -v docker >/dev/null || fail "there is no docker command. Install Docker" \
    "(Debian, Ubuntu: apt install docker.io, and on Debian 13 docker-cli, too)."
if ! said=$(docker version 2>&1); then
    said=${said##*$'\n'}
    if [[ $said == *"permission denied"* ]]; then
        fail "you have no permission to use the Docker socket: $said." \
            "sudo usermod -aG docker \"\$USER\", then log in again, or: newgrp docker"
    fi
    fail "no Docker daemon answers: $said. Start it (systemctl start docker)," \
        "or name the one to use in EXECBOX_DOCKER_HOST."
fi
# In Podman's store the service would not find the image.
if [[ $said == *"Podman Engine"* || $(docker --version 2>/dev/null) == podman* ]]; then
    fail "Docker is Podman here, which the service refuses: its containers would lack" \
        "protections. Install Docker in the place of podman-docker, or use bubblewrap," \
        "which needs no image."
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ensure_base
case $image in
sandbox) build_sandbox "${named:-execbox-sandbox:local}" ;;
languages) build_languages "${named:-execbox-sandbox:languages}" ;;
service) build_service "${named:-execbox-service:local}" ;;
standalone) build_standalone "${named:-execbox:local}" ;;
esac
