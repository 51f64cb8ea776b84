"""What DNS says of the domains that flip, as a hint: an MX record proves nothing, arrivals do.

The question goes to the resolver of this machine, and to a public one too where the config names it (``cutover.public_dns``),
because many organisations answer differently inside. Nobody else is ever asked: who moves its mail is nobody's business.
A resolver that remembers counts the TTL down, so what is read is never more than the record's own; the largest ever seen is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = 2.0
"""Seconds that a resolver may take; it is only a hint."""


@dataclass(frozen=True, slots=True)
class Hint:
    """The MX record of a domain as one resolver sees it. ``ttl`` in seconds; ``trouble`` says why there is none."""

    domain: str
    view: str
    hosts: tuple[str, ...]
    ttl: int | None
    trouble: str = ""

    def sentence(self) -> str:
        """The hint for people."""
        if self.trouble:
            return f"MX of {self.domain}, {self.view}: {self.trouble}."
        return f"MX of {self.domain}, {self.view}: {', '.join(self.hosts)}; TTL {self.ttl:,} s or more."


def look_up(domains: Sequence[str], *, internal: str = "", public: str = "") -> list[Hint]:
    """The MX records of these domains, internal and, with ``public``, public. A resolver is ``ADDRESS`` or ``ADDRESS:PORT``; an
    empty internal one is this machine's. Raises nothing: whatever goes wrong is a hint too."""
    views = [("internal", internal), *([("public", public)] if public else [])]
    return [_ask(domain, view, server) for domain in domains for view, server in views]


def _ask(domain: str, view: str, server: str) -> Hint:
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver(configure=not server)
        if server:
            address, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "")
            resolver.nameservers, resolver.port = [address], int(port or 53)
        resolver.lifetime = resolver.timeout = PATIENCE
        answer = resolver.resolve(domain, "MX")
    except dns.resolver.NXDOMAIN:
        return Hint(domain, view, (), None, "there is no such domain")
    except dns.resolver.NoAnswer:
        return Hint(domain, view, (), None, "the domain has none")
    except dns.exception.DNSException as error:
        return Hint(domain, view, (), None, f"no answer ({type(error).__name__})")
    except (ValueError, OSError):
        return Hint(domain, view, (), None, "the resolver can't be asked; name it as ADDRESS or ADDRESS:PORT")
    records = sorted(answer, key=lambda record: record.preference)
    hosts = tuple(str(record.exchange).rstrip(".").casefold() for record in records)
    return Hint(domain, view, hosts, int(answer.rrset.ttl) if answer.rrset is not None else None)
