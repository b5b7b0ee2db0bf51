#!/usr/bin/env bash
#
# What takes too long for every CI run: long runs, other hosts, every Python.
#
#   scripts/nightly.sh [--list] [STEP...]     (default: all of them, in this order)
#
# Runs each step, whatever became of the one before, with what it printed in a file
# of its own, and ends with a table and with status 1 where a step failed or ran out
# of time. A step that lacks something it needs (public data, a checkout) says so in
# its file. As root, on a Debian: the steps make hosts, and install the engine.
#
# Environment:
#   EXECBOX_NIGHTLY_OUTPUT     folder for what is printed (default ./results/nightly)
#   EXECBOX_NIGHTLY_MINUTES    of soak and of chaos, each (default 60)
#   EXECBOX_HOSTS_WITHOUT      what the step hosts leaves out of each host (default tests: on
#                              eight hosts all tests take five hours)
#   EXECBOX_NIGHTLY_CHECKOUTS  folder with checkouts of the projects whose clients
#                              the step contracts runs; without it those are left out

set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly output=${EXECBOX_NIGHTLY_OUTPUT:-$root/results/nightly}
readonly minutes=${EXECBOX_NIGHTLY_MINUTES:-60}
readonly checkouts=${EXECBOX_NIGHTLY_CHECKOUTS:-}
export EXECBOX_HOSTS_WITHOUT=${EXECBOX_HOSTS_WITHOUT-tests}
cd "$root" || exit 1

say() { printf 'nightly: %s\n' "$*"; }

# By name: the longest it may take in minutes, and its command.
steps=()
declare -A limit_min command
step() { # NAME MINUTES COMMAND...
    steps+=("$1")
    limit_min[$1]=$2
    command[$1]="${*:3}"
}
readonly run=.venv/bin/python\ -m
step pythons 120 scripts/test-pythons.sh
step hosts 600 scripts/hosts/run.sh all
step soak $((minutes + 30)) "$run" acceptance.soak --minutes "$minutes" --json "$output/soak.json"
step chaos $((minutes * 3 + 60)) "$run" acceptance.chaos --seconds $((minutes * 60)) --output "$output/chaos"
step attacks 120 "$run" acceptance.attacks --kind both
step cells 60 "$run" acceptance.attacks --kind cell
step unknowns 300 "$run" acceptance.unknowns --checks 200 --output "$output/unknowns"
step contracts 60 "$run" acceptance.contracts ${checkouts:+--checkouts "$checkouts"}
step integrations 90 "$run" acceptance.integrations
step trainers 90 "$run" acceptance.trainers
step fleet 60 "$run" acceptance.fleet --engine docker
step corpus 60 "$run" acceptance.corpus
step busy-machine 60 "$run" acceptance.busy_machine
step memory-mix 60 "$run" acceptance.memory_mix

wanted=()
for argument in "$@"; do
    case $argument in
    --list)
        for name in "${steps[@]}"; do printf '%-14s %s\n' "$name" "${command[$name]}"; done
        exit 0
        ;;
    *)
        if [[ -z ${command[$argument]:-} ]]; then
            say "there is no step $argument; there are: ${steps[*]}" >&2
            exit 2
        fi
        wanted+=("$argument")
        ;;
    esac
done
[[ ${#wanted[@]} -gt 0 ]] || wanted=("${steps[@]}")

mkdir -p "$output"
# What each step takes for granted: the environment, an engine, the images.
scripts/setup-python.sh || exit 1
scripts/setup-engine.sh || exit 1
scripts/build-image.sh sandbox || exit 1

failed=()
table=()
for name in "${wanted[@]}"; do
    say "$name: ${command[$name]}"
    began_s=$SECONDS
    # shellcheck disable=SC2086 # a command and its arguments
    timeout --kill-after 60 "${limit_min[$name]}m" ${command[$name]} >"$output/$name.log" 2>&1
    status=$?
    took="$(((SECONDS - began_s) / 60)) min $(((SECONDS - began_s) % 60)) s"
    case $status in
    0) result=passed ;;
    124 | 137) result="FAILED (ended after ${limit_min[$name]} minutes)" ;;
    *) result="FAILED (status $status)" ;;
    esac
    [[ $status -eq 0 ]] || failed+=("$name")
    [[ $status -eq 0 ]] || tail -n 15 "$output/$name.log"
    table+=("$(printf '%-14s %-14s %s' "$name" "$took" "$result")")
    say "${table[-1]}"
done
printf '\n%s\n' "${table[@]}"
if [[ ${#failed[@]} -gt 0 ]]; then
    say "failed: ${failed[*]}; what each printed is in $output"
    exit 1
fi
