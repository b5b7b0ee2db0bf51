#!/usr/bin/env bash
#
# Makes .venv, with execbox installed into it from this checkout (editable) and
# all that running the service and the tests takes, as locked in requirements/.
#
#   scripts/setup-python.sh [benchmarks|integrations|docs]
#
# Does nothing when pyproject.toml, the locks, the checkout's place and the
# Python version are what they were the last time. With "benchmarks", what plots
# need is there, too; with "integrations", other projects' packages to test with; with
# "docs", what builds the documentation's site.
#
# Environment:
#   PYTHON                the interpreter to use (default python3; 3.11 or later)
#   EXECBOX_NO_INSTALL    set to anything: install no Debian packages

set -euo pipefail

readonly python=${PYTHON:-python3}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly venv=$root/.venv
readonly stamp=$venv/execbox-stamp

say() { printf 'setup-python: %s\n' "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

can_install() {
    [[ -z ${EXECBOX_NO_INSTALL:-} && $(id -u) -eq 0 ]] && command -v apt-get >/dev/null
}

# What .venv was made of: a change in any of it makes it again.
fingerprint() {
    printf '%s\n' "$root"
    "$python" --version
    cat "$root/pyproject.toml" "$root"/requirements/*.lock | cksum
}

# Debian keeps what `python3 -m venv` needs in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [[ -n ${PYTHON:-} ]] || ! can_install; then
        command -v "$python" >/dev/null ||
            fail "there is no $python: execbox needs Python 3.11 or later. On Debian or Ubuntu:" \
                "sudo apt-get install python3 python3-venv"
        fail "$python cannot make virtual environments. On Debian or Ubuntu:" \
            "sudo apt-get install python3-venv"
    fi
    say "installing python3-venv with apt"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends --no-remove \
        ca-certificates python3 python3-venv </dev/null
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    fail "$("$python" --version) is too old: execbox needs 3.11 or later." \
        "Name another interpreter with PYTHON=..."
fi

readonly extra=${1:-}
if [[ -n $extra && ! $extra =~ ^(benchmarks|integrations|docs)$ ]]; then
    fail "usage: scripts/setup-python.sh [benchmarks|integrations|docs]"
fi
readonly extra_stamp=$venv/execbox-stamp-$extra
wanted=$(fingerprint)
made=
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    made=yes
fi
if [[ -n $made && (-z $extra || -f $extra_stamp) ]]; then
    exit 0
fi

# pip brings its own certificates; where the machine has others, it needs those.
for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    if [[ -z ${PIP_CERT:-}${REQUESTS_CA_BUNDLE:-} && -n $file && -r $file ]]; then
        export PIP_CERT=$file
    fi
done

install_locked() { # NAME OF THE LOCK
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --require-hashes --only-binary :all: --requirement "$root/requirements/$1.lock"
}

if [[ -z $made ]]; then
    say "making .venv and installing execbox and requirements/dev.lock into it"
    # An interrupted or moved .venv is made anew rather than mended.
    rm -rf "$venv"
    "$python" -m venv "$venv"
    install_locked dev
    # What builds it is in the lock, so that this downloads nothing.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --no-build-isolation --editable "$root"
    printf '%s\n' "$wanted" >"$stamp"
fi
if [[ -n $extra ]]; then
    say "installing requirements/$extra.lock into .venv"
    install_locked "$extra"
    : >"$extra_stamp"
fi
