"""Programs that look for somebody to talk to: sockets of every family, and what stands for them."""

from __future__ import annotations

from tests.sandbox.attack import Attack

ATTACKS = (
    Attack(
        "sockets of every family",
        """
import socket
def main_solution():
    made = []
    for family in range(64):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try: socket.socket(family, kind).close()
            except OSError: continue
            made.append([family, int(kind)])
    return made
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "pairs of another family",
        """
import socket
def main_solution():
    made = []
    for family in range(64):
        try: a, b = socket.socketpair(family)
        except OSError: continue
        made.append(family)
    return made
""",
        ("ok",),
        output=[1],
    ),
    Attack(
        "a pair turned outwards",
        """
import socket
def main_solution():
    done = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        a, b = socket.socketpair(socket.AF_UNIX, kind)
        for name, action in (
            ("bind", lambda: a.bind("\\0meet")), ("bind path", lambda: a.bind("/tmp/meet")),
            ("connect", lambda: a.connect("\\0meet")), ("listen", lambda: a.listen()),
            ("docker", lambda: a.connect("/var/run/docker.sock")),
            ("sendto", lambda: a.sendto(b"x", "\\0meet")),
        ):
            try: action()
            except OSError: continue
            try:
                # What only reached its own other end has reached nobody.
                if name == "sendto" and b.recv(9, socket.MSG_DONTWAIT) == b"x": continue
            except OSError: pass
            done.append(name)
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "names and addresses",
        "import socket\ndef main_solution(): return socket.getaddrinfo('example.com', 80)\n",
        ("exception",),
        error_types=("gaierror", "PermissionError", "OSError"),
    ),
    Attack(
        "a web page",
        "import urllib.request\ndef main_solution():\n"
        "    return urllib.request.urlopen('http://169.254.169.254/', timeout=1).read()\n",
        ("exception",),
        error_types=("URLError",),
    ),
    Attack(
        "interfaces and neighbours",
        """
def main_solution():
    with open("/proc/net/dev") as file:
        found = [line.split(":")[0].strip() for line in file if ":" in line]
    for path in ("arp", "route", "unix", "tcp", "udp"):
        try:
            with open("/proc/net/" + path) as file: lines = file.read().splitlines()[1:]
            # Pairs, which have no name, are the runner's own.
            found += [line for line in lines if path != "unix" or len(line.split()) > 7]
        except OSError: pass
    return [f for f in found if f != "lo"]
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "a meeting place",
        """
import fcntl, os, time
def main_solution():
    met = []
    for path in ("/tmp/meet", "/dev/shm/meet", "/var/tmp/meet", "/dev/mqueue/meet", "/run/meet"):
        if os.path.lexists(path): met.append(path)
        try: open(path, "w").close()
        except OSError: pass
    fd = os.memfd_create("meet")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in (os.getpid(), 1): continue
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if "meet" in os.readlink(f"/proc/{pid}/fd/{name}"): met.append(pid)
        except OSError: pass
    time.sleep(0.3)
    return met
""",
        ("ok",),
        output=[],
        repeat=2,
    ),
)
