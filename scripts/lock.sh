#!/usr/bin/env bash
#
# Writes the lock files: every package that is installed here, with its version
# and the hashes of its files, for Python 3.11 to 3.14, x86_64 and aarch64.
#
#   scripts/lock.sh              take in what has changed in pyproject.toml
#   scripts/lock.sh --upgrade    take the newest versions, too
#
# Files, each made of pyproject.toml but for the last:
#   requirements/build.lock        what builds the package
#   requirements/service.lock      the client and the service (service/Dockerfile)
#   requirements/dev.lock          both of these, the extras cli and data, and what tests and
#                                  checks need (.venv)
#   requirements/benchmarks.lock   what is added for the plots
#   requirements/integrations.lock what is added to test with other projects' packages
#   requirements/docs.lock         what is added to build the documentation's site
#   sandbox-image/requirements.lock   what functions may import, from requirements.in
#
# Environment:
#   PYTHON           the interpreter to use (default python3)
#   PIP_INDEX_URL    the index to ask; no file here names one
#   SSL_CERT_FILE    the certificates to trust

set -euo pipefail

readonly uv_version=0.13.9
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root

case ${1:-} in
'' | --upgrade) ;;
*)
    echo "usage: scripts/lock.sh [--upgrade]" >&2
    exit 1
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"

if [[ -z ${SSL_CERT_FILE:-} && -r /etc/ssl/certs/ca-certificates.crt ]]; then
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
fi
if [[ -n ${PIP_INDEX_URL:-} ]]; then
    export UV_DEFAULT_INDEX=$PIP_INDEX_URL
fi

readonly uv=$work/venv/bin/uv

# The same versions for every Python and machine, and where they differ a
# marker. Wheels only: what is built from source runs its own set-up.
lock() { # NAME ARGUMENTS FOR uv...
    UV_CUSTOM_COMPILE_COMMAND="make lock" "$uv" pip compile --quiet --no-config \
        --generate-hashes --only-binary :all: --no-emit-index-url \
        --universal --python-version 3.11 \
        --output-file "requirements/$1.lock" "${@:2}"
}

# Whether each file is there for every Python and machine that is promised.
check() { # NAME
    local version machine
    for version in 3.11 3.12 3.13 3.14; do
        for machine in x86_64 aarch64; do
            "$uv" pip install --quiet --no-config --dry-run --target "$work/none" \
                --require-hashes --only-binary :all: --python-version "$version" \
                --python-platform "$machine-manylinux_2_28" --requirement "requirements/$1.lock" ||
                {
                    echo "lock: requirements/$1.lock has no file for $version on $machine" >&2
                    exit 1
                }
        done
    done
}

cd "$root"
mkdir -p requirements
lock dev pyproject.toml --extra service --extra cli --extra data --extra dev --group build "$@"
# The same versions as in .venv, so that what is tested is what is shipped.
same=(--constraints requirements/dev.lock)
lock service pyproject.toml --extra service "${same[@]}" "$@"
lock benchmarks pyproject.toml --extra benchmarks "${same[@]}" "$@"
lock integrations pyproject.toml --group integrations "${same[@]}" "$@"
# Both may be in one .venv.
lock docs pyproject.toml --group docs "${same[@]}" --constraints requirements/integrations.lock "$@"
lock build --group build "${same[@]}" "$@"
for name in dev service benchmarks integrations docs build; do
    check "$name"
done

# Its first lines show the command as it is, and a change in them makes the
# layers of the image anew.
cd "$root/sandbox-image"
"$uv" pip compile --quiet --no-config --generate-hashes --only-binary :all: \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 requirements.in \
    -o requirements.lock "$@"
