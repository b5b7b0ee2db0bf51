# treadmill
# ends: timeout, exit_nonzero

f() { (f &) ; }; while :; do f; done
