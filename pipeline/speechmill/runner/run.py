"""A run from start to end: lock, signals, graph, commit, summary.

A run reuses existing artifacts and makes missing ones. After the first SIGINT or SIGTERM it finishes elements in
progress, within seconds; at the second it ends at once; either way the next run goes on from there.
"""

import itertools
import json
import logging
from dataclasses import replace

from speechmill import publish, sources
from speechmill.core import ownership, plugins, pulse, state
from speechmill.core.build import CONFIG_FILE, FETCHED, FINISHED_FILE, STOP_FILE, Build
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import NO_INPUTS, ConfigError
from speechmill.core.purge import purge
from speechmill.core.removals import Removals
from speechmill.core.share import WHOLE, Share
from speechmill.core.store import Store
from speechmill.fetch import check_logins, model_folder, with_model_at_hand
from speechmill.publish import advice, card, croissant, report
from speechmill.runner.log import close_log, open_log
from speechmill.runner.progress import Progress
from speechmill.runner.record import run_record
from speechmill.runner.stopping import EXIT_INTERRUPTED, Stopping, stop_at_signal
from speechmill.runner.summary import NAMED_FAILURES, Summary, counters_by_stage, failed_ratio, failures
from speechmill.stages import TOKENISE
from speechmill.stages.flow import STAGES
from speechmill.stages.profiles import plan_build, stored_build

EXIT_DONE, EXIT_FAILED, EXIT_CONFIG, EXIT_TOO_MANY_FAILED = 0, 1, 2, 3
NO_TURNS = "turns and speakers are off, and a clip may hold several voices: pip install 'speechmill[speakers]'"

log = logging.getLogger("speechmill")


def run(
    config: RunConfig, beam_options: tuple[str, ...] = (), *, only_publish: bool = False, quiet: bool = False,
    share: Share = WHOLE, may_exit: bool = False,
) -> Summary:  # fmt: skip
    """Make the corpus that a config describes, or complete it: what is there is not made again.

    Args:
        config: what to make; see `load_config`.
        beam_options: options of Apache Beam, such as `--runner=FlinkRunner`; without any, it runs in this process.
        only_publish: from existing artifacts, without stages.
        quiet: whether no progress is shown on standard error.
        share: what of it this run does; a part publishes nothing.
        may_exit: whether a stop that takes too long may end this process.

    Returns:
        How the run ended: `exit_code` as the command line gives it (0 done, 1 no recordings, 3 more of them failed
        than `max_failed_ratio`, 130 interrupted), counters by stage, and statistics of the corpus.

    Raises:
        ConfigError: before anything is downloaded, where the config cannot be carried out.
        BusyError, OutOfSpaceError: of `speechmill.core.store`: another run holds the output; the disk is full.
        WithheldError: of `speechmill.publish`: the corpus would lose recordings whose media are out of reach.

    >>> import speechmill
    >>> config = speechmill.load_config(inputs=["recordings"], output="new-corpus", asr={"model": "tiny.en"})
    >>> summary = speechmill.run(config, quiet=True)
    >>> summary.exit_code, summary.stats["clips"]["kept"] > 0
    (0, True)
    """
    _check_options(beam_options)
    _check_share(share)
    store = _open_store(config.output)
    check_inputs(config, store, only_publish=only_publish)
    stored = build_for_selection(config) if only_publish else None
    ownership.claim(store)
    stop_file, is_remote = STOP_FILE + share.name, any(option.startswith("--runner") for option in beam_options)
    with (
        store.locked(shared=share.shards > 1),
        stop_at_signal(store, stop_file, may_exit=may_exit, is_patient=is_remote) as interrupted,
    ):
        build, remarks = (stored, ()) if stored else _plan(config, store, quiet=quiet)
        build = replace(build, share=share)
        summary = _carry_out(build, beam_options, interrupted, only_publish=only_publish, quiet=quiet)
        return summary if summary.stats is None else replace(summary, notes=(*summary.notes, *remarks))


def _plan(config: RunConfig, store: Store, *, quiet: bool) -> tuple[Build, tuple[str, ...]]:
    """The build of a run, and remarks on what it does without. Raises ConfigError for unusable settings and models."""
    config, instead = with_model_at_hand(config, _model_before(store))
    build = plan_build(config, store, find_model=model_folder)
    lacks_turns = config.turns.model is not None and build.config.turns.model is None
    if instead and not quiet:
        log.warning("%s", instead)
    return build, (*([NO_TURNS] if lacks_turns else []), *([instead] if instead else []))


def _carry_out(
    build: Build, beam_options: tuple[str, ...], interrupted: Stopping, *, only_publish: bool, quiet: bool
) -> Summary:
    """Make what is missing of a build and publish it, within the lock of its corpus."""
    store = build.store
    _check_stages(build)
    purge(build)
    build = replace(build, removals=Removals.load(store))
    before = (state.read_run(store) or {}).get("mel_tokens") if only_publish else None
    mel_tokens = TOKENISE.description(build, before)
    store.write_json(CONFIG_FILE, json.loads(build.config.model_dump_json()))
    counters = _watch(build, beam_options, interrupted, only_publish=only_publish, quiet=quiet)
    empty = () if only_publish else empty_inputs(build, counters)
    stages = counters_by_stage(counters)
    if interrupted.is_set() or not build.share.is_whole:
        code = EXIT_INTERRUPTED if interrupted.is_set() else EXIT_DONE
        return Summary(exit_code=code, changed=False, output=build.config.output, stages=stages, stats=None)
    summary = replace(_finish(build, stages, mel_tokens), empty_inputs=empty)
    if empty and len(empty) == len(build.config.inputs):
        summary = replace(summary, exit_code=EXIT_FAILED)
    purge(build)  # recordings that matched a removal request only once this run had fetched them
    return summary


def _check_options(beam_options: tuple[str, ...]) -> None:
    """Raise ConfigError for unusable options of Beam."""
    if beam_options:
        from speechmill.runner import beam  # takes seconds, and is not needed where nothing is to be done

        beam.check_options(beam_options)


def _watch(
    build: Build, beam_options: tuple[str, ...], interrupted: Stopping, *, only_publish: bool, quiet: bool
) -> dict[str, int]:
    """Make and plan all that is missing, with a log and a live view; returns counters."""
    open_log(build.store, console=not quiet)
    for line in plugins.left_out():
        log.warning("%s", line)
    try:
        with Progress(build.store, build, quiet=quiet, stopping=interrupted.is_set):
            return _make(build, beam_options, only_publish=only_publish)
    except RuntimeError:
        if not interrupted.is_set():  # Ctrl-C in a terminal also ends Beam's own worker processes
            raise
        return {}
    finally:
        close_log()
        if build.store.is_local and build.share.shards == 1:
            build.store.remove(pulse.FOLDER)


def _make(build: Build, beam_options: tuple[str, ...], *, only_publish: bool) -> dict[str, int]:
    """Make and plan all that is missing; returns counters. Beam is not loaded where it is clear that nothing is."""
    if only_publish and publish.is_up_to_date(build):
        publish.plan(build)
        return {}
    from speechmill.runner import beam

    return beam.run(build, beam_options, only_publish=only_publish)


def _open_store(output: str) -> Store:
    """Open the store of an output. Raises ConfigError for one in memory, since a run has several processes."""
    store = Store(output)
    if "memory" in store.fs.protocol:
        raise ConfigError(f"output: {output}: does not outlast the run; give a folder, or a URL such as s3://b/c")
    return store


def check_inputs(config: RunConfig, store: Store, *, only_publish: bool) -> None:
    """Raise ConfigError if there are no inputs, or an input is of no known kind or a missing local path."""
    if not config.inputs and not store.names(f"work/fetch/{FETCHED}"):
        raise ConfigError(NO_INPUTS)
    for source in () if only_publish else config.inputs:
        sources.check(source)
    if not only_publish:
        check_logins(config.fetch)


def _check_share(share: Share) -> None:
    """Raise ConfigError for a last stage that is none."""
    names = [stage.name for stage in STAGES if stage.is_in_graph]
    if share.until is not None and share.until not in names:
        raise ConfigError(f"--until: {share.until} is no stage of the graph; give one of {', '.join(names)}")


def build_for_selection(config: RunConfig) -> Build:
    """The stored build of a corpus with a new config. Raises ConfigError for settings that need a stage to run."""
    stored = stored_build(config.output)
    if config.stage_settings() != stored.config.stage_settings():
        fix = f"make what it needs with: speechmill run --output {config.output} --set ..."
        raise ConfigError(f"select: only thresholds, licences and languages can change without running a stage; {fix}")
    return replace(stored, config=config)


def _check_stages(build: Build) -> None:
    """Raise ConfigError for settings that the models of a stage cannot do."""
    for stage in STAGES:
        if build.runs(stage.name):
            stage.check(build)


def _model_before(store: Store) -> str | None:
    """ASR model of an earlier run on an output; None if there was none."""
    config = state.stored_config(store.root) or {}
    return (config.get("asr") or {}).get("model")


def _finish(build: Build, stages: dict[str, dict[str, int]], mel_tokens: str | None) -> Summary:
    """Publish the planned files, unless they are published already, and sum up the run."""
    store, config = build.store, build.config
    plan = store.read_json(publish.PLAN_FILE)
    assert plan is not None
    publish.check(plan)
    changed = not publish.is_published(build, plan["fingerprint"])
    if changed:
        plan = publish.with_token_usage(plan, build)
        files = publish.file_facts(build, plan)
        pages = {
            card.CARD_FILE: card.render(build, plan["stats"], files),
            report.REPORT_FILE: report.render(build, plan["stats"], publish.planned_groups(build, plan)),
            croissant.CROISSANT_FILE: croissant.render(build, plan, files, date=croissant.publication_day()),
        }
        record = run_record(build, stages) | {"mel_tokens": mel_tokens}
        store.write_json(FINISHED_FILE, json.loads(config.model_dump_json()))
        publish.commit(build, plan, record, pages=pages, files=files)
    notes = [] if build.has_defects else ["defects.weights is null: score_*, c50_db and defect_spans are left out"]
    if unknown := len(build.by_hand.clip_ids) - plan["stats"].get("decided_by_hand", 0):
        notes.append(f"{unknown} clips that {ownership.DECISIONS_FILE} decides about are not in this corpus")
    if line := advice.other_profile(plan["stats"], config.segment.profile):
        notes.append(line)
    notes += [line] if (line := advice.splits(plan["stats"])) else []
    notes += [f"mel tokens: {mel_tokens}"] if mel_tokens and config.tokenise.checkpoint != "shipped" else []
    return Summary(
        exit_code=EXIT_TOO_MANY_FAILED if failed_ratio(plan["stats"]) > config.max_failed_ratio else EXIT_DONE,
        changed=changed,
        output=config.output,
        stages=stages,
        stats=plan["stats"],
        files=tuple(plan["files"]),
        notes=tuple(notes),
        failed=tuple(itertools.islice(failures(store), NAMED_FAILURES)),
        max_failed_ratio=config.max_failed_ratio,
    )


def empty_inputs(build: Build, counters: dict[str, int]) -> tuple[str, ...]:
    """Addresses of inputs without a recording, or that could not be read; without removed inputs."""
    from speechmill.runner.beam import LISTED

    return tuple(
        source.address
        for number, source in enumerate(build.config.inputs)
        if not counters.get(f"{LISTED}{number}") and not build.removals.covers_input(source.address)
    )
