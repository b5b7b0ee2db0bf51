#!/usr/bin/env bash
#
# Other daemons beside this machine's own; part of scripts/hosts/run.sh.

wait_for_socket() { # PATH PROCESS
    local waited
    for ((waited = 0; waited < 120; waited++)); do
        [[ -S $1 ]] && return
        kill -0 "$2" 2>/dev/null || return 1
        sleep 0.5
    done
    return 1
}

end_process() { # PROCESS
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# The runc of another release, with that release's libc, where this machine's is too old for it.
fit_runc() { # SUITE ROOT
    local here runc=$2/usr/sbin/runc libraries=$2/usr/lib/x86_64-linux-gnu
    ! "$runc" --version >/dev/null 2>&1 || return 0
    # shellcheck source=/dev/null
    here=$(. /etc/os-release && echo "$VERSION_CODENAME")
    unpack "$1" "$2" libc6 libseccomp2
    unpack "$here" "$2/patchelf" patchelf
    "$2/patchelf/usr/bin/patchelf" --set-interpreter "$libraries/ld-linux-x86-64.so.2" \
        --set-rpath "$libraries" "$runc"
    "$runc" --version >/dev/null
}

# The engine of another release, with data, sockets and containerd of its own and no bridge.
with_engine() { # SUITE NAME
    local place=$EXECBOX_HOSTS_WORK/$2 run images
    # The path of a unix socket has 107 characters at most.
    run=$(mktemp -d /run/execbox-host-XXXXXX)
    unpack "$1" "$place/root" docker.io containerd runc
    export PATH=$place/root/usr/sbin:$place/root/usr/bin:$PATH
    fit_runc "$1" "$place/root"
    printf 'version = 2\nroot = "%s"\nstate = "%s"\n[grpc]\naddress = "%s"\n' \
        "$place/containerd" "$run/containerd" "$run/containerd.sock" >"$place/containerd.toml"
    containerd --config "$place/containerd.toml" >"$place/containerd.log" 2>&1 &
    local containerd=$! dockerd=
    # shellcheck disable=SC2064 # as they are now
    trap "stop_engine $containerd '$run' '$place'" EXIT
    wait_for_socket "$run/containerd.sock" $containerd
    # Without a bridge it removes docker0 where it runs, which is to be nowhere near the machine's.
    unshare --net -- dockerd --host "unix://$run/docker.sock" --containerd "$run/containerd.sock" \
        --data-root "$place/data" --exec-root "$run/exec" --pidfile "$run/docker.pid" \
        --bridge none --iptables=false --ip6tables=false >"$place/dockerd.log" 2>&1 &
    dockerd=$!
    wait_for_socket "$run/docker.sock" $dockerd || {
        tail -5 "$place/dockerd.log" >&2
        return 1
    }
    # All tests use the others, too, as far as there are any.
    mapfile -t images < <(docker image ls --format '{{.Repository}}:{{.Tag}}' |
        grep -xE 'execbox(-sandbox|-service)?:local|execbox-sandbox:languages')
    docker save "${images[@]}" | DOCKER_HOST=unix://$run/docker.sock docker load -q
    DOCKER_HOST=unix://$run/docker.sock look "$2"
}

stop_engine() { # CONTAINERD RUN PLACE
    local pid left
    # A run that was cut short leaves containers, whose shims outlive the daemon.
    mapfile -t left < <(DOCKER_HOST=unix://$2/docker.sock docker ps -aq 2>/dev/null)
    if [[ ${#left[@]} -gt 0 ]]; then
        DOCKER_HOST=unix://$2/docker.sock docker rm -f "${left[@]}" >/dev/null || true
    fi
    if pid=$(cat "$2/docker.pid" 2>/dev/null); then
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
    fi
    end_process "$1"
    # The daemon mounts its data onto themselves, and each network namespace.
    umount -q "$3"/data/*/*/merged "$3/data" "$2"/exec/netns/* 2>/dev/null || true
    rm -rf "$2"
}

# The checkout as it is here, in a directory of its own.
copy_checkout() { # DIRECTORY
    mkdir -p "$1/rows"
    git -C "$EXECBOX_HOSTS_ROOT" ls-files -z | tar -C "$EXECBOX_HOSTS_ROOT" --null -T - -cf - | tar -C "$1" -xf -
}

# A user who has nothing but the group of the daemon's socket, and Debian's Python: the set-up
# of the README included.
as_user_of_docker() {
    local copy=$EXECBOX_HOSTS_WORK/user-docker group status=0
    group=$(stat -c %g /var/run/docker.sock)
    copy_checkout "$copy"
    chown -R 65534:65534 "$copy"
    local as_user=(setpriv --reuid 65534 --regid 65534 --groups "$group" --bounding-set=-all
        env -i -C "$copy" "HOME=$copy" PATH=/usr/local/bin:/usr/bin:/bin EXECBOX_NO_INSTALL=1)
    "${as_user[@]}" scripts/setup-python.sh
    "${as_user[@]}" scripts/setup-engine.sh
    # shellcheck disable=SC2154 # run.sh sets it
    "${as_user[@]}" .venv/bin/python -m acceptance.hosts --rows "$copy/rows" user-docker \
        "${without[@]}" || status=$?
    cp "$copy/rows/user-docker.json" "$EXECBOX_HOSTS_ROWS/"
    return $status
}

# A Python of this machine's other than that of .venv.
with_own_python() { # VERSION
    local copy=$EXECBOX_HOSTS_WORK/python-$1 python
    python=$(find_python "$1") || {
        say "this machine has no Python $1"
        return 1
    }
    copy_checkout "$copy"
    PYTHON=$python "$copy/scripts/setup-python.sh"
    (cd "$copy" && .venv/bin/python -m acceptance.hosts --rows "$EXECBOX_HOSTS_ROWS" \
        "python-$1" "${without[@]}")
}

# Podman as Debian 12 has it: a service that answers Docker's requests.
with_podman() {
    local place=$EXECBOX_HOSTS_WORK/podman run podman
    # Podman's data know where its socket was.
    umount -q "$place/data/overlay" || true
    rm -rf "$place"
    run=$(mktemp -d /run/execbox-host-XXXXXX)
    unpack bookworm "$place/root" podman conmon crun golang-github-containers-common \
        libsubid4 libgpgme11 libassuan0 libgpg-error0 libyajl2
    export PATH=$place/root/usr/bin:$PATH
    export LD_LIBRARY_PATH=$place/root/usr/lib/x86_64-linux-gnu
    export CONTAINERS_CONF=$place/root/usr/share/containers/containers.conf
    podman --root "$place/data" --runroot "$run/run" --cgroup-manager cgroupfs \
        system service --time 0 "unix://$run/podman.sock" >"$place/podman.log" 2>&1 &
    podman=$!
    # shellcheck disable=SC2064 # as it is now
    trap "end_process $podman; umount -q '$place/data/overlay' || true; rm -rf '$run'" EXIT
    wait_for_socket "$run/podman.sock" $podman
    unset LD_LIBRARY_PATH
    DOCKER_HOST=unix://$run/podman.sock look podman --refused
}
