# descriptors it was not given
# ends: ok
# prints: refused

. probe.sh
for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2|255) ;; *)
  [ -e $fd ] && worked $fd;; esac; done
for n in {3..254}; do (echo x >&$n) 2>/dev/null && worked $n; done
echo refused
