"""STUN servers on 127.0.0.1 that tell the address which the scenario's NAT would give."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vsipcheck.sim.scenario import StunBehaviour
from vsipcheck.wire.errors import WireError
from vsipcheck.wire.stun import BINDING, Attribute, AttributeType, ErrorCode, MessageClass, StunMessage, decode, encode

LOOPBACK = "127.0.0.1"


class StunListener(asyncio.DatagramProtocol):
    """One STUN server of the profile (RFC 8489 Binding). `mapped` gives what a client's local port is seen as."""

    def __init__(self, behaviour: StunBehaviour, rtt_ms: float, mapped: Callable[[int], tuple[str, int]]) -> None:
        self.port = 0
        self._behaviour = behaviour
        self._rtt_s = rtt_ms / 1000
        self._mapped = mapped
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(LOOPBACK, 0))
        self.port = self._transport.get_extra_info("sockname")[1]

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._respond(data, addr[1])
        if response is not None:
            asyncio.get_running_loop().call_later(self._rtt_s, self._send, response, addr)

    def error_received(self, exc: Exception) -> None:
        """A client that has gone: nothing to do."""

    def _send(self, response: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(response, addr)

    def _respond(self, data: bytes, client_port: int) -> bytes | None:
        try:
            request = decode(data)
        except WireError:
            return None
        if request.method != BINDING or request.message_class is not MessageClass.REQUEST:
            return None
        transaction_id = request.transaction_id
        match self._behaviour.kind:
            case "silent":
                return None
            case "error":
                refusal = Attribute(AttributeType.ERROR_CODE, ErrorCode(500, "Server Error"))
                return encode(StunMessage(BINDING, MessageClass.ERROR, transaction_id, (refusal,)))
            case "wrong_id":
                transaction_id = bytes(octet ^ 0xFF for octet in transaction_id)
        mapped = Attribute(AttributeType.XOR_MAPPED_ADDRESS, self._mapped(client_port))
        return encode(StunMessage(BINDING, MessageClass.SUCCESS, transaction_id, (mapped,)))
