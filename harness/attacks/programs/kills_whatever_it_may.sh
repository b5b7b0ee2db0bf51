# kills whatever it may
# ends: ok, no_result, exit_nonzero

kill -KILL -1; echo still here
