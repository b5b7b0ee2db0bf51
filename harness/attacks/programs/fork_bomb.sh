# fork bomb
# ends: timeout, ok, exit_nonzero, no_result

:(){ :|:& };:; wait
