#!/usr/bin/env bash
#
# Builds one of the two images: the one functions run in, or the service's own.
#
#   scripts/build-image.sh [sandbox | service] [--update]      (default: sandbox)
#
# They are tagged execbox-sandbox:local and execbox-service:local. When nothing
# has changed, Docker's cache makes this a matter of a second. With --update
# nothing is taken from the cache: the image gets Debian's security updates, and
# a base image made here is made anew.
#
# Both start from debian:bookworm-slim, pulled by the digest that is the default
# of BASE_IMAGE in both Dockerfiles. To renew the digest, put into both what
#     docker pull debian:bookworm-slim
#     docker image inspect --format '{{index .RepoDigests 0}}' debian:bookworm-slim
# prints. Where it is neither here nor can be pulled, debian:bookworm-slim is
# made of Debian's packages, whose signatures are checked, with mmdebstrap, from
# the Debian mirror this machine's apt uses.
#
# Environment:
#   EXECBOX_BASE_IMAGE       a different base image (it has to be Debian 12)
#   EXECBOX_PULL_TIMEOUT_S   how long pulling it may take (default 20 where
#                            mmdebstrap can stand in, else 300)
#   EXECBOX_NO_INSTALL       set to anything: do not install mmdebstrap
#   SSL_CERT_FILE            the certificates pip trusts during the build; by
#                            default the machine's own. They stay out of the
#                            images, save for a base image made here.
#   http_proxy, https_proxy, no_proxy, PIP_INDEX_URL   passed on to the build

set -euo pipefail

readonly suite=bookworm
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
# What an image made here is called: it can have no digest.
readonly made_base=debian:bookworm-slim
base=${EXECBOX_BASE_IMAGE:-$(sed -n 's/^ARG BASE_IMAGE=//p' "$root/sandbox-image/Dockerfile")}

say() { printf 'build-image: %s\n' "$*"; }

fail() {
    say "$*" >&2
    exit 1
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

pull_base() {
    local limit_s=300
    if can_make_base; then
        limit_s=20
    fi
    limit_s=${EXECBOX_PULL_TIMEOUT_S:-$limit_s}
    say "pulling $base (for up to $limit_s s)"
    if command -v timeout >/dev/null; then
        timeout "$limit_s" docker pull --quiet "$base"
    else
        docker pull --quiet "$base"
    fi
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
        apt-get install -y -q --no-install-recommends \
            mmdebstrap debian-archive-keyring ca-certificates </dev/null
    fi
    local sources=() options=() ca proxy
    mapfile -t sources < <(apt_sources)
    ca=$(certificates)
    if [[ -n $ca ]]; then
        # Over the bundle of the package: apt and pip inside then trust what
        # this machine trusts.
        options+=("--customize-hook=upload '$ca' /etc/ssl/certs/ca-certificates.crt")
    fi
    for proxy in http https; do
        # shellcheck disable=SC2086
        eval "$(apt-config shell value Acquire::$proxy::Proxy)"
        if [[ -n ${value:-} ]]; then
            options+=("--aptopt=Acquire::$proxy::Proxy \"$value\"")
        fi
        value=
    done
    say "making $made_base of Debian's packages with mmdebstrap"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "${options[@]}" "$suite" "$work/base.tar" "${sources[@]}"
    docker import --change 'CMD ["bash"]' "$work/base.tar" "$made_base" >/dev/null
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

# Builds the directory $work/context under the name given.
build() {
    local tag=$1 ca name
    local options=(--network host --build-arg "BASE_IMAGE=$base" --tag "$tag")
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
    say "building $tag (takes a few minutes the first time)"
    if ! docker build "${options[@]}" "$work/context" >"$work/build.log" 2>&1; then
        cat "$work/build.log" >&2
        fail "$tag could not be built; what the build said is above"
    fi
}

image=
update=
for argument in "$@"; do
    case $argument in
    sandbox | service) image=$argument ;;
    --update) update=yes ;;
    *) fail "usage: scripts/build-image.sh [sandbox | service] [--update]" ;;
    esac
done
readonly image=${image:-sandbox} update
command -v docker >/dev/null || fail "there is no docker command; see scripts/setup-engine.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ensure_base

# Each build gets a directory of its own, holding only what it needs.
mkdir "$work/context"
if [[ $image == sandbox ]]; then
    cp -R "$root/sandbox-image/." "$work/context"
else
    cp -R "$root/client" "$root/service" "$root/sandbox-image" "$root/requirements" "$work/context"
    cp "$root/pyproject.toml" "$root/README.md" "$root/LICENSE" "$root/.dockerignore" \
        "$work/context"
    cp "$root/service/Dockerfile" "$work/context/Dockerfile"
fi
build "execbox-$image:local"
say "execbox-$image:local is $(docker image inspect --format '{{.Id}}' "execbox-$image:local")"
