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

# The engine of another release, with data, sockets and containerd of its own and
# no bridge, and this machine's runc where that release's does not run here.
with_engine() { # SUITE NAME
    local place=$EXECBOX_HOSTS_WORK/$2 run
    # The path of a unix socket has 107 characters at most.
    run=$(mktemp -d /run/execbox-host-XXXXXX)
    unpack "$1" "$place/root" docker.io containerd runc
    export PATH=$place/root/usr/sbin:$place/root/usr/bin:$PATH
    if ! "$place/root/usr/sbin/runc" --version >/dev/null 2>&1; then
        rm -f "$place/root/usr/sbin/runc" "$place/root/usr/bin/runc"
    fi
    printf 'version = 2\nroot = "%s"\nstate = "%s"\n[grpc]\naddress = "%s"\n' \
        "$place/containerd" "$run/containerd" "$run/containerd.sock" >"$place/containerd.toml"
    containerd --config "$place/containerd.toml" >"$place/containerd.log" 2>&1 &
    local containerd=$! dockerd=
    # shellcheck disable=SC2064 # as they are now
    trap "stop_engine $containerd '$run' '$place'" EXIT
    wait_for_socket "$run/containerd.sock" $containerd
    dockerd --host "unix://$run/docker.sock" --containerd "$run/containerd.sock" \
        --data-root "$place/data" --exec-root "$run/exec" --pidfile "$run/docker.pid" \
        --bridge none --iptables=false --ip6tables=false >"$place/dockerd.log" 2>&1 &
    dockerd=$!
    wait_for_socket "$run/docker.sock" $dockerd || {
        tail -5 "$place/dockerd.log" >&2
        return 1
    }
    docker save execbox-sandbox:local | DOCKER_HOST=unix://$run/docker.sock docker load -q
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

# A user who has nothing but the group of the daemon's socket.
as_user_of_docker() {
    local socket=/var/run/docker.sock group
    group=$(stat -c %g "$socket")
    local copy=$EXECBOX_HOSTS_WORK/user-docker
    mkdir -p "$copy/rows"
    git -C "$EXECBOX_HOSTS_ROOT" ls-files -z | tar -C "$EXECBOX_HOSTS_ROOT" --null -T - -cf - | tar -C "$copy" -xf -
    chown -R 65534 "$copy"
    # Everybody may read the interpreter of .venv, but not write to it.
    local as_user=(setpriv --reuid 65534 --regid 65534 --groups "$group" --bounding-set=-all
        env "HOME=$copy" "PYTHONPATH=$copy/client:$copy/service:$copy/sandbox-image:$copy"
        PYTHONDONTWRITEBYTECODE=1 EXECBOX_NO_INSTALL=1)
    (cd "$copy" && "${as_user[@]}" "$EXECBOX_HOSTS_ROOT/.venv/bin/python" -m acceptance.hosts \
        --rows "$copy/rows" --without determinism speed -- user-docker)
    cp "$copy/rows/user-docker.json" "$EXECBOX_HOSTS_ROWS/"
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
