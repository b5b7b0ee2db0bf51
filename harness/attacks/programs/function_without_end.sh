# function without end
# ends: no_result, memory_exceeded, exit_nonzero, timeout

f() { f; }; f
