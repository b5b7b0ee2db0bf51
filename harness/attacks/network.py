"""Programs that look for a peer to talk to: sockets of every family, and what stands for them."""

from __future__ import annotations

from harness.attacks.attack import Attack

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
        try: a, b = socket.socketpair(socket.AF_UNIX, kind)
        except OSError: continue  # datagrams, where containers share a network
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
    Attack(
        "servers of the standard library",
        """
import asyncio, http.server, multiprocessing.connection, os, socketserver, tempfile
def main_solution():
    done = []
    async def serve():
        # Where no socket can be made, asyncio's server has none.
        if not (await asyncio.start_server(print, "127.0.0.1", 0)).sockets: raise OSError
    async def unix(): await asyncio.start_unix_server(print, "/tmp/sock")
    for name, action in (
        ("asyncio", lambda: asyncio.run(serve())), ("unix", lambda: asyncio.run(unix())),
        ("http", lambda: http.server.HTTPServer(("127.0.0.1", 0), None)),
        ("udp", lambda: socketserver.UDPServer(("127.0.0.1", 0), None)),
        ("listener", lambda: multiprocessing.connection.Listener()),
        ("abstract", lambda: multiprocessing.connection.Listener("\\0meet", "AF_UNIX")),
        ("manager", lambda: __import__("multiprocessing").Manager()),
    ):
        try: action(); done.append(name)
        except (OSError, EOFError): pass
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "clients of the standard library",
        """
import ftplib, http.client, logging.handlers, os, smtplib, socket, syslog, urllib.request
def main_solution():
    done = []
    for name, action in (
        ("http", lambda: http.client.HTTPConnection("127.0.0.1", 80, timeout=1).connect()),
        ("https", lambda: http.client.HTTPSConnection("1.1.1.1", timeout=1).connect()),
        ("smtp", lambda: smtplib.SMTP("127.0.0.1", timeout=1)), ("ftp", lambda: ftplib.FTP("127.0.0.1", timeout=1)),
        ("log", lambda: logging.handlers.SysLogHandler()), ("create", lambda: socket.create_connection(("::1", 1), 1)),
        ("file url", lambda: urllib.request.urlopen("file:///etc/shadow")),
        ("host", lambda: socket.gethostbyname("localhost.example")), ("addr", lambda: socket.gethostbyaddr("8.8.8.8")),
    ):
        try: action(); done.append(name)
        except (OSError, ValueError): pass
    syslog.syslog("bean")
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "credentials forged over a pair",
        """
import array, os, socket, struct
def main_solution():
    done = []
    a, b = socket.socketpair()
    try: b.setsockopt(socket.SOL_SOCKET, 16, 1)
    except OSError: pass
    for pid, uid, gid in ((1, os.getuid(), os.getgid()), (os.getpid(), 0, os.getgid()), (os.getpid(), os.getuid(), 0),
                          (os.getppid(), 0, 0)):
        try: a.sendmsg([b"x"], [(socket.SOL_SOCKET, 2, struct.pack("3i", pid, uid, gid))]); done.append([pid, uid, gid])
        except OSError: pass
    for fds in ([10**6], [-1], list(range(300))):
        try: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]); done.append(len(fds))
        except OSError: pass
    peer = struct.unpack("3i", a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if peer != (os.getpid(), os.getuid(), os.getgid()): done.append(list(peer))
    return done
""",
        ("ok",),
        output=[],
    ),
    Attack(
        "a pair used to configure interfaces",
        """
import fcntl, socket, struct
def main_solution():
    done = []
    a, b = socket.socketpair()
    request = struct.pack("16sH22x", b"lo", 1)
    for name, number in (("SIFFLAGS", 0x8914), ("SIFADDR", 0x8916), ("SIFMTU", 0x8922), ("SIFHWADDR", 0x8924),
                         ("ADDRT", 0x890B), ("SARP", 0x8955), ("BRADDBR", 0x89A0), ("ETHTOOL", 0x8946),
                         ("SIFNAME", 0x8923), ("SIFVLAN", 0x8983), ("TUNSETIFF", 0x400454CA)):
        try: fcntl.ioctl(a, number, request); done.append(name)
        except OSError: pass
    for name, level, option, value in (("mark", 1, 36, 1), ("priority", 1, 12, 7), ("sndbufforce", 1, 32, 2**30),
                                       ("rcvbufforce", 1, 33, 2**30), ("debug", 1, 1, 1)):
        try: a.setsockopt(level, option, value); done.append(name)
        except OSError: pass
    return done
""",
        ("ok",),
        output=[],
    ),
)
