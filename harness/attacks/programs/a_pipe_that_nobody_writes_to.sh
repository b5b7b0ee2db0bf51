# a pipe that nobody writes to
# ends: exit_nonzero, timeout

mkfifo p
cat p
