# flood of both streams
# ends: timeout

cat /dev/urandom & cat /dev/zero >&2
