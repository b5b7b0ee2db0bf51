#!/usr/bin/env bash
#
# Packages of other releases of Debian, unpacked and never installed; part of
# scripts/hosts/run.sh.

# The mirror this machine's apt takes Debian from.
mirror() {
    # shellcheck disable=SC2016 # for apt to fill in
    apt-get indextargets --format '$(SITE) $(ORIGIN) $(SUITE)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 !~ /security/ { print $1; exit }'
}

# Packages of a release, into a directory; apt looks at a state of its own.
unpack() { # SUITE DIRECTORY PACKAGE...
    local suite=$1 directory=$2 state=$EXECBOX_HOSTS_WORK/apt-$1 debs file
    shift 2
    mkdir -p "$state"/{lists/partial,archives/partial} "$directory"
    debs=$(mktemp -d "$state/debs-XXXXXX")
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' \
        "$(mirror)" "$suite" >"$state/sources.list"
    : >"$state/status"
    local options=(-o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state"
        -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update -qq
    (cd "$debs" && apt-get "${options[@]}" download -qq "$@")
    for file in "$debs"/*.deb; do
        dpkg-deb -x "$file" "$directory"
    done
}
