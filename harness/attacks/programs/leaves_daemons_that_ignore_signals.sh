# leaves daemons that ignore signals
# ends: ok

for n in {1..9}; do (setsid bash -c "trap '' TERM HUP INT; while :; do sleep 1; done" >/dev/null 2>&1 &) ; done; echo left
