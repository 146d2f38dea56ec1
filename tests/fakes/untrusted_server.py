"""A TLS server with a self-signed certificate, valid until the year 2126.

Its key is not secret: it is used only in this test.
"""

import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUcsyjtzobjXKnh+Zly+A7vZ1ncE8wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTA3MTAwMVoYDzIxMjYxMTA1
MDcxMDAxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAScxtGoh+mAYWZ8keFia4oR0M2CTKe5A+nmNxax5lnMAwJvE/a6r7bp
8wVQ5aliCQBPpIBdSVLmAb0zcIESyqPqo28wbTAdBgNVHQ4EFgQUWOWW6phwD8rV
c/k4+CFUw/0X+zcwHwYDVR0jBBgwFoAUWOWW6phwD8rVc/k4+CFUw/0X+zcwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAKZSsI5JIdYzhpFQ2YQED+qP1D9nD7I3kvh7R6fwU/+RAiBL
Xbf40VrtNPZwilOU1CwzH76QXDBd9CLfzFyA+ezzOw==
-----END CERTIFICATE-----
"""
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCElZIujA3iclB7M5
8bwyz9Isv5MFCdVReGK8MAhXSpmhRANCAAScxtGoh+mAYWZ8keFia4oR0M2CTKe5
A+nmNxax5lnMAwJvE/a6r7bp8wVQ5aliCQBPpIBdSVLmAb0zcIESyqPq
-----END PRIVATE KEY-----
"""


@contextmanager
def serving_untrusted() -> Iterator[str]:
    """Serve 501 at the yielded address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:
        both.write(KEY + CERTIFICATE)
        both.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(both.name))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
