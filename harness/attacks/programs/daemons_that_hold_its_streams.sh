# daemons that hold its streams
# ends: ok

for n in {1..9}; do (setsid sleep 1000 &) ; done; echo left
