"""The sockets that servers listen on."""

import contextlib
import errno
import os
import socket
import sys

from emulator.errors import BindError

BACKLOG = 2048
MAX_FILES = 16_384
"""How many open files a server prepares the system for; most of them are connections."""
HINTS = {
    errno.EADDRINUSE: "Another program is using this port; choose another with --port.",
    errno.EACCES: "Ports below 1024 may need more rights; choose another with --port.",
}


def bind(host: str, port: int, *, listens: bool = True, shares_port: bool = False) -> socket.socket:
    """A listening socket, or one that refuses connections. Port 0 picks a free one. Raises BindError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:  # each process gets an accept queue of its own
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        if listens:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        hint = HINTS.get(error.errno or 0, "Check --host.")
        raise BindError(f"Cannot listen on {host}:{port}: {error.strerror or error}. {hint}") from None
    except (TypeError, ValueError):  # it can't even be encoded
        sock.close()
        raise BindError(f"Cannot listen on {host}:{port}: no such host. Check --host.") from None
    sock.setblocking(False)
    return sock


def shares_port_of(sock: socket.socket) -> bool:
    return hasattr(socket, "SO_REUSEPORT") and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


def expect_connections(sock: socket.socket) -> None:
    """Prepares this process for thousands of connections; to be called before it has threads. Linux doubles a process's
    table of open files when an accept needs it, and then, if there are threads, waits until no processor reads the old
    one: every stream would stop for some 20 ms at the 256th, the 512th, the 1,024th connection and so on.
    """
    if sys.platform == "linux":  # pragma: no branch - the tests run on Linux
        import fcntl
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        last = (MAX_FILES if limit == resource.RLIM_INFINITY else min(limit, MAX_FILES)) - 1
        with contextlib.suppress(OSError):
            os.close(fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, last))
