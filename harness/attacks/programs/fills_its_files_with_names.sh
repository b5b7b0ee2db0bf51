# fills its files with names
# ends: exit_nonzero, timeout, ok

for n in {1..100000}; do : > $n || exit 3; done 2>/dev/null
