# processes of others
# ends: ok
# prints: refused

. probe.sh
for pid in 1 $PPID; do
  for part in environ mem maps stack syscall; do try head -c 1 /proc/$pid/$part; done
  try ls /proc/$pid/fd/; try ls /proc/$pid/cwd/; try ls /proc/$pid/root/
  try kill -KILL $pid; try kill -STOP $pid; try prlimit --pid $pid --cpu=1:1
done
echo refused
