"""Six hundred small files from a server with faults, as many at a time as allowed: each is fetched or explained."""

import hashlib
import threading
import time
from collections import Counter
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Status, recording_from
from speechmill.core.store import Store
from speechmill.runner.beam.functions import WaitingFn
from speechmill.sources import Listed
from speechmill.stages.fetch import fetch_recording, host_of
from speechmill.stages.profiles import plan_build
from speechmill.stages.work import Outcome

from tests.server import Behaviour, Handler, ScriptedServer, cut, disconnect, ok, redirect, respond, slow, status

FILES, PER_HOST = 600, 6  # each fault fifteen times


class UnderWay:
    """Counts downloads under way, where they are made: a server notices only later that one has ended."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._changed = threading.Condition()

    def __call__(self, listed: Listed, build: Build) -> Outcome:
        """Fetch a recording; the first wait for each other, so that it does not depend on speed how many there are."""
        with self._changed:
            self.now += 1
            self.most = max(self.most, self.now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= PER_HOST, timeout=60)
        try:
            return fetch_recording(listed, build)
        finally:
            with self._changed:
                self.now -= 1


under_way = UnderWay()


def fetch_counted(listed: Listed, build: Build) -> Outcome:
    """By its name in this module, so that a copy of the stage counts here too."""
    return under_way(listed, build)


def body(number: int) -> bytes:
    return b"ID3" + number.to_bytes(4) * 500


def prompt(content: bytes) -> Behaviour:
    """A good answer after the time that a real one takes."""
    answer = ok(content)

    def later(handler: Handler) -> None:
        time.sleep(0.005)
        answer(handler)

    return later


def scripts(number: int, server: ScriptedServer) -> tuple[list[Behaviour], Reason | None]:
    """What the server does when it is asked for a file, again and again; and why it cannot be had, if so."""
    whole = body(number)
    anew = respond(200, {"ETag": '"v2"', "Content-Length": len(whole)}, whole)  # for a part that was asked for
    longer = respond(200, {"Content-Length": len(whole) + 1}, whole)
    server.script(f"/elsewhere/{number}", ok(whole))
    return {
        0: ([cut(whole, 900), ok(whole)], None),
        1: ([status(429), status(429, Retry_After="0"), ok(whole)], None),
        2: ([status(503, Retry_After="0"), ok(whole)], None),
        3: ([redirect(f"/elsewhere/{number}")], None),
        4: ([slow(whole, pause_s=0.001, step=400)], None),
        5: ([longer], Reason.UNREACHABLE),
        6: ([cut(whole, 700), anew], None),
        7: ([status(404)], Reason.NOT_FOUND),
        8: ([status(403)], Reason.FORBIDDEN),
        9: ([disconnect, ok(whole)], None),
        10: ([ok(b"")], Reason.EMPTY),
        11: ([redirect("http://10.0.0.1/x")], Reason.FORBIDDEN_ADDRESS),
    }.get(number % 40, ([prompt(whole)], None))


def test_31_32_many_files_are_fetched_or_explained_and_none_twice(server: ScriptedServer, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "corpus"))
    settings = {"allow_hosts": [server.host], "per_host": PER_HOST, "concurrency": 16, "backoff_s": 0.01, "retries": 2}
    chosen = {"fetch": settings, "asr": {"model": None}, "output": store.root}
    build = plan_build(RunConfig.model_validate(chosen), store, find_model=Path)
    listed, due = [], {}
    for number in range(FILES):
        behaviours, due[f"{number:032x}"] = scripts(number, server)
        url = server.script(f"/{number}.mp3", *behaviours)
        recording = Recording(recording_id=f"{number:032x}", source="rss", media_url=url)
        listed.append(Listed(recording=recording))

    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    hosts = pipeline | beam.Create(listed) | "by host" >> beam.Map(lambda one: (host_of(one), one))
    _ = hosts | beam.GroupByKey() | beam.ParDo(WaitingFn("fetch", fetch_counted, build))
    pipeline.run().wait_until_finish()

    found = {name: recording_from(store.read(build.fetched(name)).to_pylist()[0]) for name in build.known_recordings()}
    assert {name: one.reason for name, one in found.items()} == due
    for name, one in found.items():
        if due[name] is None:
            assert (one.status, one.sha256) == (Status.OK, hashlib.sha256(body(int(name, 16))).hexdigest())
    assert under_way.most == PER_HOST  # and not all sixteen
    asked = Counter(request.path for request in server.requests)
    for number in range(FILES):
        if number % 40 > 11:
            assert asked[f"/{number}.mp3"] == 1
    assert Counter(request.path for request in server.questions)["/robots.txt"] == 1
    unfinished = {path.stem for path in (tmp_path / "corpus/work/media/.parts").glob("*.part")}
    assert unfinished <= {name for name, reason in due.items() if reason is Reason.UNREACHABLE}  # they may go on
