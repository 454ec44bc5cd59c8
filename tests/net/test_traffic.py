from __future__ import annotations

from vsipcheck.model import Destination
from vsipcheck.net.traffic import MAX_PORTS_NAMED, TrafficMeter


def test_packets_and_bytes_add_up_by_destination() -> None:
    meter = TrafficMeter()
    meter.count("192.0.2.2", "udp", 53, 1, 40)
    meter.count("192.0.2.1", "tcp", 5070, 1, 0)
    meter.count("192.0.2.1", "tcp", 5070, 1, 400)
    traffic = meter.traffic()
    assert (traffic.packets_sent, traffic.bytes_sent) == (3, 440)
    assert traffic.by_destination == (
        Destination(address="192.0.2.1", protocol="tcp", port=5070, packets=2, bytes=400),
        Destination(address="192.0.2.2", protocol="udp", port=53, packets=1, bytes=40),
    )


def test_many_ports_of_one_address_become_one_row_without_a_port() -> None:
    meter = TrafficMeter()
    for port in range(10000, 10000 + MAX_PORTS_NAMED):
        meter.count("192.0.2.1", "udp", port, 1, 10)
    assert len(meter.traffic().by_destination) == MAX_PORTS_NAMED
    meter.count("192.0.2.1", "udp", 20000, 1, 10)
    meter.count("192.0.2.1", "udp", 10000, 1, 10)
    (row,) = meter.traffic().by_destination
    assert (row.port, row.packets, row.bytes) == (None, MAX_PORTS_NAMED + 2, 10 * (MAX_PORTS_NAMED + 2))


def test_a_sweep_swallows_the_named_ports() -> None:
    meter = TrafficMeter()
    meter.count("192.0.2.1", "udp", 10000, 1, 10)
    meter.count("192.0.2.1", "udp", None, 5, 50)
    (row,) = meter.traffic().by_destination
    assert (row.port, row.packets, row.bytes) == (None, 6, 60)


def test_nothing_sent_is_nothing_counted() -> None:
    assert TrafficMeter().traffic().by_destination == ()
