"""Addresses to listen on: test for loopback, bind a socket, and listen."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from metseg.errors import UsageError


def is_loopback(host: str) -> bool:
    """Return whether an address is a loopback address. Host names other than localhost are not.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")]
    [True, True, True]
    >>> [is_loopback(host) for host in ("0.0.0.0", "::1:2", "127.0.0.1.example.org", "localhost.example.org", "")]
    [False, False, False, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address, with ``SO_REUSEADDR`` as servers use it.

    Args:
        host: address.
        port: port number; 0: any free port.
    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def listen(host: str, port: int, *, backlog: int = 128) -> socket.socket:
    """Return a listening socket, so that its port is known before anything else starts.

    Args:
        host: address.
        port: port number; 0: any free port.
        backlog: connections that the operating system queues before they are accepted.
    Raises:
        UsageError: ``usage.port``.
    """
    try:
        listener = bind(host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port} of {host}",
            where="--port",
            got=error.strerror,
            cure="stop the program that uses the port, or choose another port with --port",
            code="usage.port",
        ) from None
    listener.listen(backlog)
    return listener
