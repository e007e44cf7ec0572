"""Whether a publisher permits the use of a file for training: any one signal against it counts.

Each kind of signal has a module: `robots` (with `ai.txt`) and `tdm` for files of a host, `headers`
and `page` for an answer and a web page, `rsl` for the terms that all of these may name. `usage` and
`patterns` are syntax that several of them share. `Consent` checks them all.
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
from speechmill.fetch.consent.memory import (
    FILES,
    MAX_FILE_BYTES,
    ROBOTS,
    Document,
    Rules,
    decoded,
    remembered,
    text_of,
)
from speechmill.fetch.consent.robots import MAX_LICENCES, agents_of
from speechmill.fetch.consent.signals import CRAWLING, refuse, signal_of, understanding

if TYPE_CHECKING:
    import urllib3

__all__ = ["AGENT", "CRAWLING", "MAX_FILE_BYTES", "Consent", "Permit", "signal_of"]

AGENT = "speechmill"


class Get(Protocol):
    """Gets a small file; None where there is none. For a file that `is_needed`, every fault is raised."""

    def __call__(self, url: str, *, is_needed: bool) -> bytes | None:
        """Get it."""
        ...


@dataclass(frozen=True, slots=True)
class Permit:
    """Terms that permit training: as a signal, and the address of the standard licence that they name."""

    signal: Signal
    standard: str | None


@dataclass(slots=True)
class Consent:
    """Checks a host's signals, once a day, and caches them in `work/hosts/`.

    `permits` collects the terms that permit the use of the requested files.
    """

    store: Store
    get: Get
    user_agent: str
    permits: list[Permit] = field(default_factory=list)

    def ask(self, url: str) -> float:
        """Check the rules of a host for a URL; returns the seconds between two requests.

        Raises RejectedError(OPTED_OUT), and faults in getting robots.txt, or the terms that it names: without them,
        nothing may be fetched (RFC 9309, RSL 1.0).
        """
        from urllib3.util import parse_url

        parts = parse_url(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else url
        with understanding(origin):
            rules = self._rules_of(origin)
            refuse(rules.against(parts.request_uri), rules.when)
            self._judge([urljoin(f"{origin}{ROBOTS}", licence) for licence in rules.robots.licences], url)
            return rules.robots.delay

    def hear(self, url: str, answer_headers: "urllib3.HTTPHeaderDict") -> None:
        """Raise RejectedError(OPTED_OUT) where the headers of an answer, or terms that they name, reserve it."""
        with understanding(url):
            refuse((name, value, url) for name, value in headers.objections(answer_headers, self._agents))
            self._judge([urljoin(url, licence) for licence in headers.licences(answer_headers)], url)

    def read(self, raw: bytes, url: str) -> page.Page:
        """Parse a web page. Raises RejectedError(OPTED_OUT) where it, or terms that it names or has, reserve it."""
        result = page.read(decoded(raw), self._agents)
        with understanding(url):
            refuse((name, value, url) for name, value in result.objections)
            for rsl_text in result.rsl_texts:
                document = Document({"when": 0.0, "text": rsl_text})
                refuse([("RSL", document.fault, url)] if document.fault else [])
                self._take(rsl.strictest(document.contents), url)
            self._judge([urljoin(url, link) for link in result.rsl_links], url)
        return result

    def heed(self, documents: tuple[str, ...], places: tuple[str, ...]) -> None:
        """Raise RejectedError(OPTED_OUT) where RSL documents forbid training on a recording.

        `places` are the addresses of the recording. Faults in getting the documents are raised too.
        """
        with understanding(places[0]):
            for document in dict.fromkeys(documents[:MAX_LICENCES]):
                self._take(rsl.judge_any(self._contents(document), places, document), document)

    @property
    def _agents(self) -> tuple[str, ...]:
        return agents_of(self.user_agent, AGENT)

    def _judge(self, documents: list[str], url: str) -> None:
        """Check RSL documents about an address."""
        for document in dict.fromkeys(documents[:MAX_LICENCES]):
            self._take(rsl.judge(self._contents(document), url, document), document)

    def _contents(self, document: str) -> list[Element]:
        key = (f"work/hosts/{stable_id('licence', document)}",)
        parsed = remembered(key, self.store, partial(self._get_terms, document), Document)
        refuse([("RSL", parsed.fault, document)] if parsed.fault else [])
        return parsed.contents

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
