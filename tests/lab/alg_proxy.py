"""A SIP ALG as a router's own proxy: it takes connections that nft redirects, and writes its address over the client's.

`alg_proxy.py MODE PORT`: `rewrite` changes Via and Contact of requests and leaves answers as they are; `repair` also
puts the client's sent-by back into the Via of answers, where it was there before. Stdlib only.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
import threading
from collections.abc import Callable

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
VIA = re.compile(rb"(?im)^(via: \S+ )([^;\r]+)")
BRANCH = re.compile(rb"(?i);branch=([^;\r]+)")
CONTACT = re.compile(rb"(?im)^(contact: [^\r]*@)([^;>\r]+)")


def original_destination(connection: socket.socket) -> tuple[str, int]:
    raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    port, address = struct.unpack("!2xH4s8x", raw)
    return socket.inet_ntoa(address), port


def endpoint(address: tuple[str, int]) -> bytes:
    return f"{address[0]}:{address[1]}".encode()


def write_over(message: bytes, old: bytes, new: bytes, *places: re.Pattern[bytes]) -> bytes:
    """`new` for `old` in the first of each of the places, and where something else stands, that stays."""
    for place in places:
        message = place.sub(lambda found: found[1] + (new if found[2] == old else found[2]), message, count=1)
    return message


def pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(change(data))
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either end hung up


def serve(client: socket.socket, mode: str) -> None:
    with client:
        try:
            server = socket.create_connection(original_destination(client), timeout=5)
        except OSError:
            return
        with server:
            server.settimeout(None)
            inside, outside = endpoint(client.getpeername()), endpoint(server.getsockname())

            changed: set[bytes] = set()  # branches of the requests

            def way_out(data: bytes) -> bytes:
                via = VIA.search(data)
                if via is not None and via[2] == inside:
                    changed.update(BRANCH.findall(data)[:1])
                return write_over(data, inside, outside, VIA, CONTACT)

            def way_in(data: bytes) -> bytes:
                if mode == "repair" and changed.intersection(BRANCH.findall(data)[:1]):
                    return write_over(data, outside, inside, VIA)
                return data

            answers = threading.Thread(target=pump, args=(server, client, way_in), daemon=True)
            answers.start()
            pump(client, server, way_out)
            answers.join()


def main(mode: str, port: str) -> None:
    with socket.create_server(("", int(port)), backlog=64) as listener:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], mode), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
