# rights of others
# ends: ok
# prints: refused

. probe.sh
try timeout 0.1 su -c true
try sudo true
try chroot / true
try mount -t tmpfs x /mnt
try unshare -U true
try unshare -Urnm true
try nsenter -t 1 -m true
try setpriv --reuid 0 true
try chown 0 /tmp
try renice -n -20 $$
try chrt -f 9 true
try dmesg
try hostname x
found=$(find /bin /sbin /usr /etc /tmp -xdev -perm /6000 -type f 2>/dev/null)
[ -z "$found" ] || worked "$found"
echo refused
