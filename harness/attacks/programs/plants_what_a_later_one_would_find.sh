# plants what a later one would find
# ends: ok
# sent: 2 times

for d in /tmp /dev/shm /var/tmp /run /dev/mqueue ~ /usr/lib; do
  [ -e $d/planted ] && echo found $d; : > $d/planted; done 2>/dev/null
echo 'echo found rc' > ~/.bashrc; echo 'echo found env' > /tmp/env
export BASH_ENV=/tmp/env; [ -z "${PLANTED:-}" ] || echo found variable
export PLANTED=1; exit 0
