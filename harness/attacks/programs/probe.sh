# What probes in bash begin with: they name whatever worked that must not.
worked() { echo "worked: $*"; }
try() { if "$@" >/dev/null 2>&1 </dev/null; then worked "$@"; fi; }
