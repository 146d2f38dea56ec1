"""Keep the process that imports this off the network: it may only connect to this machine.

An audit hook sees all use of Python's sockets, and can't be removed. Standard library only:
processes started by tests import this before anything else.
"""

import ipaddress
import socket
import sys

OWN_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname()}


class InternetError(PermissionError):
    """A test, or a process that it started, tried to reach another machine."""


def _check(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]  # a path for a file socket; None for a connected one
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not _is_own(host):
        told = f"no test calls the internet, but {event} was called with {host!r}"
        print(told, file=sys.stderr)  # a library may mistake the error for a broken network
        raise InternetError(told)


def _is_own(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in OWN_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


sys.addaudithook(_check)
