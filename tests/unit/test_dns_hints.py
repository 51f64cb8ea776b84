"""MX records as hints, from a resolver on loopback: internal and public apart, and trouble as a sentence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from migrator.cutover.dns_hints import look_up


class Resolver:
    """Answers MX questions for old.example; knows that gone.example is not there, and that bare.example has none."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Resolver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.socket.close()

    def _serve(self) -> None:
        while not self._done.is_set():
            try:
                data, peer = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            asked = dns.message.from_wire(data)
            answer = dns.message.make_response(asked)
            answer.flags |= dns.flags.RA
            name = asked.question[0].name
            if name.to_text().startswith("gone"):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif name.to_text().startswith("old"):
                records = ("20 MX2.old.example.", "10 mx1.old.example.")
                answer.answer.append(dns.rrset.from_text_list(name, 300, "IN", dns.rdatatype.MX, list(records)))
            self.socket.sendto(answer.to_wire(), peer)


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    with Resolver() as made:
        yield made


def test_hosts_come_in_the_order_of_their_preference_with_their_ttl(resolver: Resolver) -> None:
    inside, outside = look_up(["old.example"], internal=resolver.address, public=resolver.address)
    assert (inside.view, outside.view) == ("internal", "public")
    assert (inside.hosts, inside.ttl) == (("mx1.old.example", "mx2.old.example"), 300)
    assert inside.sentence() == "MX of old.example, internal: mx1.old.example, mx2.old.example; TTL 300 s or more."


@pytest.mark.parametrize(
    ("domain", "word"), [("gone.example", "there is no such domain"), ("bare.example", "the domain has none")]
)
def test_what_is_not_there_is_a_hint_too(resolver: Resolver, domain: str, word: str) -> None:
    [hint] = look_up([domain], internal=resolver.address)
    assert (hint.ttl, hint.trouble) == (None, word)


def test_a_resolver_that_can_not_be_asked_stops_nothing() -> None:
    hint, _ = look_up(["old.example"], internal="127.0.0.1:nonsense", public="127.0.0.1:nonsense")
    assert "can't be asked" in hint.sentence()


def test_nobody_is_asked_but_this_machine_s_resolver_unless_the_operator_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ask(resolver: dns.resolver.Resolver, *_: object, **__: object) -> None:
        asked.append([str(server) for server in resolver.nameservers])
        raise dns.resolver.NoAnswer

    monkeypatch.setattr(dns.resolver.Resolver, "resolve", ask)
    own = [str(server) for server in dns.resolver.Resolver().nameservers]
    look_up(["old.example"])
    assert asked == [own]
    look_up(["old.example"], public="192.0.2.53")
    assert asked == [own, own, ["192.0.2.53"]]
