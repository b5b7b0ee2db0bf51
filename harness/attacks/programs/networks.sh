# networks
# ends: ok
# prints: refused

. probe.sh
for to in 127.0.0.1/80 10.0.0.1/443 169.254.169.254/80 localhost/2375; do
  try bash -c "exec 3<>/dev/tcp/$to"; try bash -c "exec 3<>/dev/udp/$to"; done
try getent ahosts example.com
try python3 -c 'import socket; socket.socket()'
try python3 -c 'import socket; socket.socket(socket.AF_UNIX)'
[ -S /var/run/docker.sock ] && worked docker.sock
echo refused
