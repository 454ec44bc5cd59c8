"""Small far ends that no packaged server plays: address echo over HTTPS, and listeners that misbehave. Stdlib only.

`answerers.py echo MODE CERTIFICATE KEY ADDRESS:PORT...`, `answerers.py tcp MODE ADDRESS:PORT`,
`answerers.py udp ADDRESS FIRST LAST`, `answerers.py natpmp ADDRESS`, `answerers.py rtp MODE ADDRESS PORT [OTHER]`.
"""

from __future__ import annotations

import http.server
import re
import select
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable

PORTAL = b"<html><head><title>Sign in</title></head><body>Welcome to Hotel Wi-Fi, guest 10.0.0.7!</body></html>"


class EchoServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """HTTPS whose handshake happens in the request's own thread, so that a stalled client holds up nobody."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], mode: str, context: ssl.SSLContext) -> None:
        self.mode = mode
        self.context = context
        super().__init__(address, EchoHandler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the resolver for the machine's name
        self.server_name, self.server_port = "echo", self.server_address[1]

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, peer = self.socket.accept()
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is its own business."""


class EchoHandler(http.server.BaseHTTPRequestHandler):
    """Answers GET with the peer's address as text; the other modes are what a client must survive."""

    server: EchoServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        mode, address = self.server.mode, f"{self.client_address[0]}\n".encode()
        if mode == "plain":
            self._send(200, "text/plain", address)
        elif mode == "private":
            self._send(200, "text/plain", b"10.1.2.3\n")
        elif mode == "other":
            self._send(200, "text/plain", b"49.36.99.99\n")
        elif mode == "portal":
            self._send(200, "text/html", PORTAL)
        elif mode == "redirect":
            self._send(302, "text/html", PORTAL, ("Location", "https://10.0.0.1/login"))
        elif mode == "unavailable":
            self._send(503, "text/plain", b"busy\n")
        elif mode == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"1" * 65536)
        else:
            raise ValueError(mode)

    def _send(self, status: int, kind: str, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        print(self.client_address, format % args, flush=True)


def serve_echo(mode: str, certificate: str, key: str, addresses: list[str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    servers = []
    for text in addresses:
        host, _, port = text.rpartition(":")
        servers.append(EchoServer((host, int(port)), mode, context))
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def headers_of(request: bytes) -> bytes:
    """What a response has to carry over from the request: RFC 3261 §8.2.6.2."""
    kept = re.findall(rb"(?im)^(?:via|from|to|call-id|cseq):.*\r\n", request)
    return b"".join(kept)


def answer(request: bytes, status: bytes = b"200 OK", extra: bytes = b"", body: bytes = b"") -> bytes:
    head = b"SIP/2.0 " + status + b"\r\n" + headers_of(request) + extra
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read_request(connection: socket.socket) -> bytes:
    """The bytes of the first request; CRLF keep-alives before it are answered as RFC 5626 §3.5.1 has it."""
    data = b""
    while b"\r\n\r\n" not in data.lstrip(b"\r\n"):
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    return data.lstrip(b"\r\n")


def mute(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def web(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(
        b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\n"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(PORTAL), PORTAL)
    )


def ssh(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
    connection.recv(65536)


def close_at_request(connection: socket.socket) -> None:
    connection.recv(65536)


def close_at_once(connection: socket.socket) -> None:
    """Accepted, then FIN, before a byte."""


def reset_at_request(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickle(connection: socket.socket) -> None:
    for byte in answer(read_request(connection)):
        connection.sendall(bytes((byte,)))
        time.sleep(1)


def endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"SIP/2.0 200 OK\r\n" + headers_of(read_request(connection)))
    while True:
        connection.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def huge_length(connection: socket.socket) -> None:
    request = read_request(connection)
    connection.sendall(b"SIP/2.0 200 OK\r\n" + headers_of(request) + b"Content-Length: 99999999999\r\n\r\nv=0")
    mute(connection)


def markup(connection: socket.socket) -> None:
    request = read_request(connection)
    reason = "403 [bold red]\x1b[31m\u202eForbidden\x00[/]".encode()
    connection.sendall(answer(request, reason, b"Server: \x1b]0;owned\x07\xff\xfe\r\n"))
    mute(connection)


def other_call(connection: socket.socket) -> None:
    request = read_request(connection)
    connection.sendall(answer(re.sub(rb"(?im)^call-id:.*$", b"Call-ID: somebody-else\r", request)))
    mute(connection)


def other_branch(connection: socket.socket) -> None:
    request = read_request(connection)
    connection.sendall(answer(re.sub(rb"branch=[^;\r\n]+", b"branch=z9hG4bKrewritten", request)))
    mute(connection)


def provisional(connection: socket.socket) -> None:
    """100, then after a while 200, in two pieces that split a header; pipelined with a request of its own."""
    request = read_request(connection)
    connection.sendall(answer(request, b"100 Trying"))
    whole = b"\r\n" + answer(request, extra=b"Server: Split\r\n")
    connection.sendall(whole[:40])
    time.sleep(0.05)
    connection.sendall(whole[40:] + b"OPTIONS sip:ping SIP/2.0\r\nContent-Length: 0\r\n\r\n")
    mute(connection)


TCP_MODES: dict[str, Callable[[socket.socket], None]] = {
    "mute": mute,
    "http": web,
    "ssh": ssh,
    "close_at_request": close_at_request,
    "close_at_once": close_at_once,
    "reset_at_request": reset_at_request,
    "trickle": trickle,
    "endless_headers": endless_headers,
    "huge_length": huge_length,
    "markup": markup,
    "other_call": other_call,
    "other_branch": other_branch,
    "provisional": provisional,
}


def answer_all(connection: socket.socket, stamp: Callable[[bytes], bytes]) -> None:
    """Every request is answered, its topmost Via filled in by `stamp`."""
    data = b""
    while more := connection.recv(65536):
        data += more
        while b"\r\n\r\n" in data:
            request, _, data = data.partition(b"\r\n\r\n")
            connection.sendall(
                re.sub(rb"(?im)^via:[^\r]*", lambda via: stamp(via[0]), answer(request + b"\r\n"), count=1)
            )


def never_tells(connection: socket.socket) -> None:
    """A server that never adds `received` (RFC 3261 §18.2.1 notwithstanding), nor fills in `rport`."""
    answer_all(connection, lambda via: via)


def always_tells(connection: socket.socket) -> None:
    """A server that adds `received` to every Via, whatever it says, as PJSIP does."""
    address, port = connection.getpeername()
    told = b";received=%s" % address.encode()
    answer_all(connection, lambda via: via.replace(b";rport", b";rport=%d" % port) + told)


def hangs_up_ringing(connection: socket.socket) -> None:
    """OPTIONS is answered; an INVITE rings, and the connection is closed."""
    while request := read_request(connection):
        if not request.startswith(b"INVITE "):
            connection.sendall(answer(request))
            continue
        connection.sendall(answer(request, b"100 Trying") + answer(request, b"180 Ringing"))
        time.sleep(0.05)
        return


SIP_MODES: dict[str, Callable[[socket.socket], None]] = {
    "never_tells": never_tells,
    "always_tells": always_tells,
    "hangs_up_ringing": hangs_up_ringing,
}
"""SIP servers that OPTIONS finds healthy. The first ones differ in what they tell a client of its address."""


def serve_tcp(mode: str, address: str) -> None:
    behave = (TCP_MODES | SIP_MODES)[mode]
    host, _, port = address.rpartition(":")

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                behave(connection)
            except OSError:
                pass  # the client hung up first

    with socket.create_server((host, int(port)), backlog=64) as listener:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def serve_udp(address: str, first: int, last: int) -> None:
    """Every datagram to the ports comes back. One socket that owns the address hears them all: nft redirects to it."""
    sockets = []
    for port in range(first, last + 1):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        sockets.append(sock)
    while True:
        for sock in select.select(sockets, [], [])[0]:
            try:
                data, peer = sock.recvfrom(65536)
                sock.sendto(data, peer)
            except OSError:
                pass  # an ICMP error for an earlier datagram


def serve_rtp(mode: str, address: str, port: int, other: str) -> None:
    """Whatever comes to the port goes back where it came from: `same` from that port, `other_port` from another,
    `other_address` from there, `halved` every second packet, `renumbered` so and with numbers that have no gap, `stops`
    after 25, `relabelled` as G.729, `noise` as no RTP at all, `mute` not."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taking,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as giving,
    ):
        taking.bind((address, port))
        giving.bind((other if mode == "other_address" else address, port if mode == "other_address" else port + 10))
        count = 0
        while True:
            data, sender = taking.recvfrom(65535)
            count += 1
            if mode == "mute" or (mode in ("halved", "renumbered") and count % 2) or (mode == "stops" and count > 25):
                continue
            if mode == "relabelled":
                data = data[:1] + bytes([data[1] & 0x80 | 18]) + data[2:]
            elif mode == "renumbered":
                data = data[:2] + struct.pack("!H", count // 2) + data[4:]
            elif mode == "noise":
                data = b"\x00not RTP"
            (giving if mode.startswith("other") else taking).sendto(data, sender)


def serve_nat_pmp(address: str) -> None:
    """A router that says by NAT-PMP (RFC 6886 §3.2) that its external address is `address`, and maps nothing."""
    external = socket.inet_aton(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 5351))
        while True:
            data, peer = sock.recvfrom(2048)
            if data == b"\0\0":
                sock.sendto(struct.pack("!BBHI", 0, 128, 0, 3600) + external, peer)
            elif len(data) > 1 and data[0] == 0:
                sock.sendto(struct.pack("!BBHI", 0, 128 | data[1], 2, 3600), peer)


def main(arguments: list[str]) -> None:
    kind, *rest = arguments
    if kind == "echo":
        serve_echo(rest[0], rest[1], rest[2], rest[3:])
    elif kind == "tcp":
        serve_tcp(rest[0], rest[1])
    elif kind == "natpmp":
        serve_nat_pmp(rest[0])
    elif kind == "rtp":
        serve_rtp(rest[0], rest[1], int(rest[2]), rest[3] if len(rest) > 3 else rest[1])
    else:
        serve_udp(rest[0], int(rest[1]), int(rest[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
