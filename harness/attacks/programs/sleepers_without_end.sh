# sleepers without end
# ends: timeout, exit_nonzero

while :; do sleep 100 & done
