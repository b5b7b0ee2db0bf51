#!/usr/bin/env bash
#
# Proves that docker-compose.yml gives a service that works: builds both images,
# brings the service up with a key made for the occasion, calls it with and
# without the key, tries from inside the service's container what the gate must
# refuse, takes it down, and sees that it left no container behind.
#
#   scripts/compose-smoke.sh
#
# Works with Compose v2 and docker-compose 1.29. Publishes on a free port of the
# loopback interface, under a project name of its own.

set -euo pipefail

readonly ready_s=120
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'compose-smoke: %s\n' "$*"; }

fail() {
    say "FAILED: $*" >&2
    exit 1
}

if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
else
    fail "there is neither \"docker compose\" nor docker-compose (apt-get install docker-compose)"
fi

scripts/build-image.sh sandbox
scripts/build-image.sh service

key=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')
port=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
EXECBOX_API_KEY_HASHES=smoke:$(printf %s "$key" | sha256sum | cut -d' ' -f1)
DOCKER_GID=$(stat -c %g "$socket")
export EXECBOX_API_KEY_HASHES DOCKER_GID
export EXECBOX_PUBLISH_ADDRESS=127.0.0.1 EXECBOX_PUBLISH_PORT=$port
export COMPOSE_PROJECT_NAME=execbox-smoke-$$
# Of this stack's sandboxes: see EXECBOX_INSTANCE in docker-compose.yml.
readonly label=org.execbox.sandbox=compose:127.0.0.1:$port

our_containers() { docker ps --all --quiet --no-trunc --filter "label=$label" | sort; }

# Containers that others' services have are none of our business.
before=$(our_containers)

is_up=
take_down() {
    local status=$?
    if [[ -n $is_up ]]; then
        if [[ $status -ne 0 ]]; then
            "${compose[@]}" logs --no-color --tail 100 >&2 || true
        fi
        "${compose[@]}" down --volumes || true
    fi
}
trap take_down EXIT

say "without keys, Compose must refuse"
if message=$(env -u EXECBOX_API_KEY_HASHES "${compose[@]}" config 2>&1); then
    fail "it accepted a configuration without API keys"
fi
grep -q 'set EXECBOX_API_KEY_HASHES' <<<"$message" || fail "its message does not help: $message"

say "up on 127.0.0.1:$port"
is_up=yes
"${compose[@]}" up --detach --no-build

# Prints the status code of an answer, and puts its body into $body_file.
body_file=$(mktemp)
request() { # METHOD PATH KEY BODY
    python3 - "http://127.0.0.1:$port$2" "$1" "$3" "$4" "$body_file" <<'PYTHON'
import sys
import urllib.error
import urllib.request

url, method, key, body, body_file = sys.argv[1:]
headers = {"Content-Type": "application/json"}
if key:
    headers["Authorization"] = f"Bearer {key}"
request = urllib.request.Request(
    url, method=method, headers=headers, data=body.encode() if body else None
)
try:
    # No proxy: this is a call to this machine.
    answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
except OSError as error:
    print(f"none ({error})")
    sys.exit()
with open(body_file, "wb") as file:
    file.write(answer.read())
print(answer.status)
PYTHON
}

for ((second = 0; second < ready_s; second++)); do
    status=$(request GET /readyz '' '')
    if [[ $status == 200 ]]; then
        break
    fi
    sleep 1
done
[[ $status == 200 ]] || fail "/readyz said $status after $ready_s s"

body='{"function": {"code": "def main_solution(n):\n    return n * 2"}, "calls": [{"kwargs": {"n": 21}}]}'
status=$(request POST /v1/execute '' "$body")
[[ $status == 401 ]] || fail "without a key, /v1/execute said $status, not 401"
status=$(request POST /v1/execute "not-$key" "$body")
[[ $status == 401 ]] || fail "with a wrong key, /v1/execute said $status, not 401"
status=$(request POST /v1/execute "$key" "$body")
[[ $status == 200 ]] || fail "/v1/execute said $status: $(<"$body_file")"
python3 - "$body_file" <<'PYTHON' || fail "the wrong answer: $(<"$body_file")"
import json
import sys

with open(sys.argv[1]) as file:
    execution = json.load(file)["executions"][0]
sys.exit((execution["status"], execution["output"]) != ("ok", 42))
PYTHON
say "a function ran: ok, 42; without a key: 401"

say "what the service's container can do with the engine"
service=$("${compose[@]}" ps --quiet execbox)
gate=$("${compose[@]}" ps --quiet gate)
mounted=$(docker inspect --format '{{range .Mounts}}{{.Destination}} {{.RW}} {{end}}' "$service")
[[ $mounted == "/run/execbox false " ]] || fail "the service has more than the gate: $mounted"
networks=$(docker inspect --format '{{.HostConfig.NetworkMode}}' "$gate")
[[ $networks == none ]] || fail "the gate has a network: $networks"
[[ $(our_containers) != "$before" ]] || fail "no sandbox has the label $label"
# As whoever took the service over would: with the SDK, over all it has.
docker exec --interactive "$service" python3 - "$gate" <<'PYTHON' || fail "the gate let it through"
import sys

import docker

gate = sys.argv[1]
client = docker.APIClient(base_url="unix:///run/execbox/engine.sock", version="auto")
root = client.create_host_config(binds=["/:/host"], privileged=True)
image = client.inspect_image("execbox-sandbox:local")["Id"]
name = "execbox-0123456789abcdef"
attempts = {
    "make a privileged container with the machine's root in it": lambda: client.create_container(
        image, ["cat", "/host/etc/shadow"], name=name, host_config=root
    ),
    "make a container of another image": lambda: client.create_container("debian", name=name),
    "run a program in the gate's container": lambda: client.exec_create(gate, ["id"]),
    "attach to the gate's container": lambda: client.attach_socket(gate, params={"stream": 1}),
    "stop the gate's container": lambda: client.kill(gate),
    "remove the gate's container": lambda: client.remove_container(gate, force=True),
    "read the gate's files": lambda: client.get_archive(gate, "/etc/shadow"),
    "list all images": lambda: client.images(),
    "pull an image": lambda: client.pull("debian"),
    "make a volume": lambda: client.create_volume("x"),
    "make a network": lambda: client.create_network("x"),
    "make a swarm": lambda: client.init_swarm(),
    "look at the machine": lambda: client.info(),
}
done = []
for what, attempt in attempts.items():
    try:
        attempt()
    except docker.errors.APIError as error:
        if error.status_code in (403, 404):
            print(f"compose-smoke: refused ({error.status_code}): {what}")
            continue
    done.append(what)
sys.exit(f"not refused: {done}" if done else 0)
PYTHON
status=$(request POST /v1/execute "$key" "$body")
[[ $status == 200 ]] || fail "after that, /v1/execute said $status: $(<"$body_file")"

say "another start of the gate alone"
docker restart --time 5 "$gate" >/dev/null
for ((second = 0; second < ready_s; second++)); do
    status=$(request POST /v1/execute "$key" "$body")
    if [[ $status == 200 ]]; then
        break
    fi
    sleep 1
done
[[ $status == 200 ]] || fail "/v1/execute said $status $ready_s s after the gate was started again"
say "the service found it after $second s"

say "down"
"${compose[@]}" down --volumes
is_up=
rm -f "$body_file"
left=$(comm -13 <(printf '%s\n' "$before") <(our_containers))
[[ -z $left ]] || fail "containers with the label $label are left: $left"
say "passed; no container is left"
