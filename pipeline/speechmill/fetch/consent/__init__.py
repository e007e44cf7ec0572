"""Whether a publisher lets a machine take a file to learn from: any one signal against it counts.

Each kind of signal has a file: `robots` (with `ai.txt`) and `tdm` are what a host says in files of its own, `headers`
and `page` what an answer and a web page say of themselves, `rsl` the terms that all of them may name. `usage` and
`patterns` are what several of them are written in. `Consent` asks them all.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin
from xml.etree.ElementTree import Element

from speechmill.core.records import Signal, stable_id
from speechmill.core.store import Store
from speechmill.core.urls import public_url
from speechmill.fetch.consent import headers, page, rsl
from speechmill.fetch.consent.memory import FILES, MAX_FILE_BYTES, ROBOTS, Document, Rules, remembered, text_of
from speechmill.fetch.consent.robots import MAX_LICENCES, agents_of
from speechmill.fetch.consent.signals import CRAWLING, refuse, signal_of, understanding

if TYPE_CHECKING:
    import urllib3

__all__ = ["AGENT", "CRAWLING", "MAX_FILE_BYTES", "Consent", "Permit", "signal_of"]

AGENT = "speechmill"


class Get(Protocol):
    """Gets a small file by its address; None where there is none. What `is_needed` must be had, or the fault raised."""

    def __call__(self, url: str, *, is_needed: bool) -> bytes | None:
        """Get it."""
        ...


@dataclass(frozen=True, slots=True)
class Permit:
    """Terms that permit training: what they say, and the address of the standard licence that they name."""

    signal: Signal
    standard: str | None


@dataclass(slots=True)
class Consent:
    """Asks hosts, once a day each, and remembers in `work/hosts/` what they said.

    `permits` gathers the terms under which what was asked for may be used.
    """

    store: Store
    get: Get
    user_agent: str
    permits: list[Permit] = field(default_factory=list)

    def ask(self, url: str) -> float:
        """Seconds to let pass between two requests to this host. Raises RejectedError(OPTED_OUT) with the signals.

        What `get` raises for robots.txt, or for terms that it names, passes through: where they cannot be had, nothing
        may be taken (RFC 9309, RSL 1.0).
        """
        from urllib3.util import parse_url

        parts = parse_url(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else url
        with understanding(origin):
            rules = self._rules_of(origin)
            refuse(rules.against(parts.request_uri), rules.when)
            self._judge([urljoin(f"{origin}{ROBOTS}", one) for one in rules.robots.licences], url)
            return rules.robots.delay

    def hear(self, url: str, told: "urllib3.HTTPHeaderDict") -> None:
        """Raise RejectedError(OPTED_OUT) where the headers of an answer, or terms that they name, reserve it."""
        with understanding(url):
            refuse((name, value, url) for name, value in headers.objections(told, self._agents))
            self._judge([urljoin(url, one) for one in headers.licences(told)], url)

    def read(self, text: str, url: str) -> page.Page:
        """Read a web page. Raises RejectedError(OPTED_OUT) where it, or terms that it names or holds, reserve it."""
        found = page.read(text, self._agents)
        with understanding(url):
            refuse((name, value, url) for name, value in found.objections)
            for inside in found.rsl_texts:
                document = Document({"when": 0.0, "text": inside})
                refuse([("RSL", document.fault, url)] if document.fault else [])
                self._take(rsl.strictest(document.contents), url)
            self._judge([urljoin(url, one) for one in found.rsl_links], url)
        return found

    def heed(self, documents: tuple[str, ...], places: tuple[str, ...]) -> None:
        """Raise RejectedError(OPTED_OUT) where RSL documents that name a thing's terms forbid to learn from it.

        places: addresses that the thing is known by. What `get` raises for the documents passes through.
        """
        with understanding(places[0]):
            for document in dict.fromkeys(documents[:MAX_LICENCES]):
                self._take(rsl.judge_any(self._contents(document), places, document), document)

    @property
    def _agents(self) -> tuple[str, ...]:
        return agents_of(self.user_agent, AGENT)

    def _judge(self, documents: list[str], url: str) -> None:
        """Ask RSL documents about an address."""
        for document in dict.fromkeys(documents[:MAX_LICENCES]):
            self._take(rsl.judge(self._contents(document), url, document), document)

    def _contents(self, document: str) -> list[Element]:
        key = (f"work/hosts/{stable_id('licence', document)}",)
        known = remembered(key, self.store, partial(self._get_terms, document), Document)
        refuse([("RSL", known.fault, document)] if known.fault else [])
        return known.contents

    def _take(self, terms: rsl.Terms | None, place: str) -> None:
        if terms and not terms.permits:
            refuse([("RSL", terms.value, place)])
        elif terms:
            self.permits.append(Permit(signal_of("RSL", terms.value, place), terms.standard))

    def _get_terms(self, document: str) -> dict[str, Any]:
        return {"document": public_url(document), "text": text_of(self.get(document, is_needed=True))}

    def _rules_of(self, origin: str) -> Rules:
        key = (f"work/hosts/{stable_id('host', origin)}", self.user_agent)
        return remembered(key, self.store, partial(self._get_files, origin), partial(Rules, agents=self._agents))

    def _get_files(self, origin: str) -> dict[str, Any]:
        files = {path: text_of(self.get(f"{origin}{path}", is_needed=path == ROBOTS)) for path in FILES}
        return {"origin": origin, "files": files}
