"""What is known to be wrong with a corpus: measured error rates, biases, personal data. For card and Croissant.

Figures belong to models, and are given only for those that they were measured with. Each stands in docs/benchmarks.md,
with the command that made it; a test compares the two.
"""

from typing import Any

from speechmill.core.build import Build
from speechmill.core.thresholds import Thresholds
from speechmill.speakers import PACKAGED as CAMPPLUS
from speechmill.stages.score import DEFECTS

# Mixtures and real recordings, at the default thresholds, in per cent. docs/benchmarks.md, "Defect scores".
DEFECT_NAMES = ("noise", "music", "telephone", "overlap", "reverb")
DEFECT_EER = ("4.2", "6.8", "3.0", "5.0", "1.8")
DEFECTS_KEPT = ("12", "8", "7", "5", "4")
CLEAN_LOST = "1.3"
REAL_KEPT, REAL_CLEAN_LOST = ("14", "27", "0", "0", "11"), "6"
# Clips cut at pauses that cut a word, clean and in noise at 15 dB, in per cent. "Clips that cut a word".
CUT_WORDS = {
    ("webrtc", "tortoise"): ("0.6", "8.0"), ("webrtc", "recover"): ("0.9", "9.3"),
    ("silero", "tortoise"): ("0.4", "2.7"), ("silero", "recover"): ("0.7", "2.6"),
}  # fmt: skip
# Clips that runs keep of dialogues and that are mixed, in per cent. "Turns"
MIXED_CLIPS = {"tortoise": "0.9", "recover": "1.6"}
# Boundaries of clips within a sentence, in per cent, by profile and whether it cuts at sentences. "Ends of sentences".
IN_MID_SENTENCE = {("tortoise", False): "4.8", ("recover", False): "4.4", ("recover", True): "1.7"}
# Equal error rates of CAM++, in per cent: clean, in rooms, clean against telephone; recall. "Speakers".
SPEAKER_EER, SPEAKER_RECALL = ("0.01", "0.6", "2.5"), "96.6"
MEASURED_ASR = "tiny.en"
# Of 99 wrong texts of damaged clips those that pass rules and confidence, and also agreement with `base`. "Texts".
WRONG_TEXTS, REJECTED_BY_CONFIDENCE, REJECTED_BY_AGREEMENT = 99, 82, 92
MEL_ERROR_NATS = "0.832"  # of English. "Mel tokens"
DUPLICATES_FOUND = "98.8"  # per cent of copies that were cut elsewhere. "Duplicates"


def limits(build: Build, stats: dict[str, Any]) -> list[str]:
    """What a user of the corpus has to expect, a sentence or more each, in Markdown."""
    notes = ["Measures and scores are estimates, made from each clip alone. A measure is null where it is undefined."]
    notes += [*annotation_errors(build, stats), *_cuts(build)]
    notes.append(
        f"Of copies that were cut elsewhere {DUPLICATES_FOUND} % were recognised as duplicates in a test; copies at "
        "another speed mostly are not."
    )
    if build.runs("tokenise"):
        notes.append(
            "Mel tokens mean something only to models that were trained on tokens of the same `mel_profile`. They "
            "belong to the stored samples: a louder or a shifted copy has others." + _mel_error(build)
        )
    return notes


def annotation_errors(build: Build, stats: dict[str, Any]) -> list[str]:
    """How often the models that annotate the clips err: defects, texts, speakers."""
    return [_defects(build), *_texts(build, stats), *_speakers(build)]


def _is(stage: str, name: str, build: Build) -> bool:
    """Whether a stage runs a model of that name."""
    return build.runs(stage) and name in [model.name for model in build.models[stage]]


def _defects(build: Build) -> str:
    if not build.has_defects:
        *absent, last = (f"`{column.name}`" for column in DEFECTS)
        return (
            f"No trained defect models were there, so {', '.join(absent)} and {last} are absent and nothing was "
            "rejected for noise, music, telephone sound, overlapping voices or reverberation as such; only measures "
            "decided."
        )
    if build.config.defects.weights != "shipped":
        return "Defects were scored by models whose error rates are not known here."
    chosen, default = build.config.thresholds, Thresholds()
    are_default = all(getattr(chosen, name) == getattr(default, name) for name in DEFECT_NAMES)
    return (
        "The defect models err. Of mixtures of readers that they did not learn from, at the default thresholds"
        + ("" if are_default else ", which are not those of this corpus,")
        + f" {', '.join(DEFECTS_KEPT)} % of the clips with {', '.join(DEFECT_NAMES)} are kept, and {CLEAN_LOST} % of "
        f"the clean ones are lost; their equal error rates are {', '.join(DEFECT_EER)} %. Of real recordings of other "
        f"sources {', '.join(REAL_KEPT)} % are kept, and {REAL_CLEAN_LOST} % of the clean ones are lost."
    )


def _cuts(build: Build) -> list[str]:
    segment, at_sentences, notes = build.config.segment, build.config.cuts_at_sentences, list[str]()
    if rate := IN_MID_SENTENCE.get((segment.profile, at_sentences)):
        notes.append(f"In a test on two readers, {rate} % of the boundaries of clips were in mid-sentence.")
    if (rates := CUT_WORDS.get((segment.vad, segment.profile))) and not at_sentences:
        notes.append(f"Of clean clips {rates[0]} % cut a word in a test, and {rates[1]} % in noise at 15 dB.")
    if not build.runs("turns"):
        return [*notes, "Turns were not detected: a clip may hold several voices."]
    mixed = MIXED_CLIPS.get(segment.profile) if _is("turns", CAMPPLUS, build) and not at_sentences else None
    return [*notes, *([f"In dialogues, {mixed} % of the clips hold half a second of a second voice."] if mixed else [])]


def _texts(build: Build, stats: dict[str, Any]) -> list[str]:
    if not build.runs("transcribe"):
        return ["There are no transcripts: the columns of text, words and language are absent."]
    notes = [
        (
            "Text, word times and language come from an ASR model; where `text_source` is `publisher`, the text "
            "is the publisher's. Nobody has checked them: expect wrong names, wrong numbers and now and then a word "
            "that nobody said."
        )
    ]
    if agreement := _agreement(stats):
        notes.append(agreement)
    if _is("transcribe", MEASURED_ASR, build):
        passed = WRONG_TEXTS - REJECTED_BY_CONFIDENCE
        with_check = WRONG_TEXTS - REJECTED_BY_AGREEMENT
        notes.append(
            f"Of {WRONG_TEXTS} texts of `{MEASURED_ASR}` with more than 30 % wrong words, of damaged clips, {passed} "
            f"pass the hallucination checks and the threshold of confidence, and {with_check} a cross-check as well."
        )
    else:
        notes.append("How often this ASR model errs was not measured by the authors of speechmill.")
    return notes


def _agreement(stats: dict[str, Any]) -> str:
    """How far the kept texts agree with a second text, from the histogram; '' where there is none."""
    histogram = stats["histograms"].get("asr_agreement", {})
    counts = histogram.get("kept", [])
    if not sum(counts):
        return ""
    edge = histogram["edges"][-2]
    return (
        f"{sum(counts):,} of the {stats['clips'].get('kept', 0):,} kept clips have a second text, of a cross-check or "
        f"the publisher; in {counts[-1] / sum(counts):.0%} of them the two agree to {edge:g} or more (1 − CER)."
    )


def _speakers(build: Build) -> list[str]:
    if not build.runs("speakers"):
        return ["Speakers were not clustered: who speaks is not known."]
    if not _is("embed", CAMPPLUS, build):
        return ["Speakers were clustered by a model whose error rates are not known here."]
    clean, rooms, telephone = SPEAKER_EER
    note = (
        f"Speakers are clusters of voices, not identities. The equal error rate is at most {clean} % for clean speech, "
        f"{rooms} % in rooms and {telephone} % for clean speech against telephones, whose voices are not told apart; "
        f"{SPEAKER_RECALL} % of a speaker's clips are in one cluster."
    )
    return [note]


def _mel_error(build: Build) -> str:
    if not _is("tokenise", "shipped", build):
        return ""
    return f" The dVAE's mean error on English is {MEL_ERROR_NATS} nats."


SOURCES_ARE_NO_SAMPLE = (
    "Readers of audiobooks and hosts of podcasts are no sample of a population: accents, ages, genders and styles are "
    "those of the sources, and none of them was balanced or measured."
)
FILTERS_FAVOUR = (
    "Filters favour quiet rooms, good microphones and regular speech; speech with laughter, whispering, singing or "
    "children may be lost more often than other speech. This was not measured."
)
ASR_FAVOURS = (
    "A clip is kept only if an ASR model is sure of its text: accents and languages that the model knows less well are "
    "lost more often."
)


def biases(build: Build, stats: dict[str, Any]) -> list[str]:
    """Which speech the corpus favours."""
    notes = [SOURCES_ARE_NO_SAMPLE, FILTERS_FAVOUR, *([ASR_FAVOURS] if build.runs("transcribe") else [])]
    if speakers := stats.get("speakers"):
        share = speakers["samples_of_largest"] / max(stats["samples"].get("kept", 0), 1)
        notes.append(f"One of the {speakers['speakers']:,} speakers has {share:.1%} of the kept audio.")
    return notes


VOICES_ARE_PERSONAL = (
    "A voice is personal data, and where it serves to recognise somebody it is biometric data. The words may say "
    "something about the speaker or others. Titles, authors and the people that a source names are published too."
)
CONSENT = (
    "speechmill did not ask the speakers for consent. What is known is what the publisher states: the licence of each "
    "recording, and the signals in the column `consent` of `recordings.parquet`. Recordings on the Web whose publisher "
    "objects to machine learning were not fetched."
)


def personal_data(build: Build) -> list[str]:
    """Which personal data the corpus holds, and how somebody gets out of it."""
    contact = build.config.publish.contact
    way = f"Write to {contact}." if contact else "Where to ask is not stated here (`publish.contact`)."
    removal = f"Whoever wants to be taken out can ask for it; `speechmill remove` does it for good. {way}"
    return [VOICES_ARE_PERSONAL, CONSENT, removal]


USES = (
    "training and fine-tuning of text-to-speech models, with the attribution that the licences ask for",
    "training and evaluation of models of speech tokens, speaker embeddings and speech quality",
)
MISUSES = (
    "imitating the voice of a person without that person's consent",
    "finding out who a speaker is, or recognising people by their voice",
    "a test of speech recognition: nobody has checked the texts",
)
