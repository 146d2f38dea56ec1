"""Keeps the process that imports it off the network: only this machine is spoken to.

An audit hook sees what Python's sockets do, whoever uses them, and can't be taken away again.
Standard library only: the processes that tests start import this before anything else.
"""

import ipaddress
import socket
import sys

OWN_NAMES = {"", "localhost", "localhost.localdomain", socket.gethostname()}


class InternetError(PermissionError):
    """A test, or a process that it started, turned to another machine."""


def _check(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]  # a path, where the socket is a file; None, where it is connected
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not _is_own(host):
        told = f"no test calls the internet, but {event} was called with {host!r}"
        print(told, file=sys.stderr)  # a library may take the error for a network that is down
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
