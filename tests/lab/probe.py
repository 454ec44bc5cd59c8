"""A foreign client in a few lines, for proving the lab: it shares no code with the command under test. Prints JSON.

`probe.py stun LOCAL_PORT ADDRESS:PORT...`: the address each STUN server saw, asked out of one socket (RFC 8489).
`probe.py sip LOCAL_PORT SECONDS ADDRESS...`: what came back for OPTIONS over TCP 5070, out of one local port.
`probe.py ping ADDRESS`: what came back for CRLF CRLF (RFC 5626 §3.5.1) on TCP 5070.
`probe.py udp ADDRESS PORT...`: the error number that each port gave, 0 for none.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time


def stun(local_port: int, servers: list[str]) -> list[list[object] | None]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", local_port))
    sock.settimeout(2)
    seen: list[list[object] | None] = []
    for server in servers:
        host, port = server.split(":")
        transaction = os.urandom(12)
        sock.sendto(struct.pack("!HHI", 1, 0, 0x2112A442) + transaction, (host, int(port)))
        try:
            data = sock.recv(2048)
        except TimeoutError:
            seen.append(None)
            continue
        offset, mapped = 20, None
        while offset < len(data):
            kind, length = struct.unpack_from("!HH", data, offset)
            if kind == 0x0020:
                (raw_port,) = struct.unpack_from("!H", data, offset + 6)
                (raw,) = struct.unpack_from("!I", data, offset + 8)
                mapped = [socket.inet_ntoa(struct.pack("!I", raw ^ 0x2112A442)), raw_port ^ 0x2112]
            offset += 4 + (length + 3 & ~3)
        seen.append(mapped)
    return seen


def exchange(address: str, local_port: int, payload: bytes, seconds: float) -> dict[str, object]:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", local_port))
    sock.settimeout(seconds)
    started = time.monotonic()
    try:
        sock.connect((address, 5070))
        sock.sendall(payload.replace(b"HERE", b"%s:%d" % (sock.getsockname()[0].encode(), sock.getsockname()[1])))
        data = sock.recv(65536)
    except OSError as error:
        return {"error": type(error).__name__, "errno": error.errno}
    return {"text": data.decode("latin-1"), "seconds": time.monotonic() - started}


def options(host: str) -> bytes:
    return (
        f"OPTIONS sip:{host}:5070;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP HERE;branch=z9hG4bK1;rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@example.net>;tag=1\r\nTo: <sip:{host}>\r\nCall-ID: 1@example.net\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def udp(address: str, port: int) -> int:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.2)
    sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: without it Linux keeps "host unreachable" to itself
    sock.connect((address, port))
    try:
        sock.send(b"x")
        sock.recv(100)
    except TimeoutError:
        return 0
    except OSError as error:
        return error.errno or -1
    return 0


def main(kind: str, *rest: str) -> None:
    result: object
    if kind == "stun":
        result = stun(int(rest[0]), list(rest[1:]))
    elif kind == "sip":
        result = [exchange(address, int(rest[0]), options(address), float(rest[1])) for address in rest[2:]]
    elif kind == "ping":
        result = exchange(rest[0], 0, b"\r\n\r\n", 2)
    else:
        result = {port: udp(rest[0], int(port)) for port in rest[1:]}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
