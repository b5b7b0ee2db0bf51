# memory in a variable
# ends: memory_exceeded, exit_nonzero, timeout

x=a; while :; do x=$x$x; done
