# files of the system
# ends: ok
# prints: refused

. probe.sh
put() { if (echo x > "$1") 2>/dev/null; then worked "$1"; fi; }
for f in /etc/passwd /etc/ld.so.preload /usr/bin/x /usr/lib/x /bin/bash /x /sys/x \
  /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger \
  /proc/1/oom_score_adj /sys/fs/cgroup/x /dev/x /dev/mem /dev/kmsg /dev/sda; do
  put $f; done
try head -c 1 /etc/shadow; try head -c 1 /dev/mem; try head -c 1 /dev/kmsg
try mknod /tmp/d c 1 1; try head -c 1 /proc/kcore; try ls /root/
echo refused
