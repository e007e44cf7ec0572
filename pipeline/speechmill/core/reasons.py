"""Why a recording failed or a clip was rejected."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a recording failed or a clip was rejected: a closed list, in contrast to the free text of `reason_detail`.

    `meaning` explains it to people, in reports and documentation.

    >>> Reason("noise").meaning
    'background noise is too likely'
    """

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> "Reason":
        """Make a member from its value and its meaning."""
        member = str.__new__(cls, value)
        member._value_, member.meaning = value, meaning
        return member

    # Fetching a recording.
    NOT_FOUND = "not_found", "HTTP 404 or 410, or no such file"
    FORBIDDEN = "forbidden", "HTTP 401 or 403, or no permission to read the file"
    FORBIDDEN_ADDRESS = "forbidden_address", "a scheme or an address that a run may not contact"
    OPTED_OUT = "opted_out", "the publisher reserves the work"
    CHECKSUM = "checksum", "the bytes differ from the checksum that the source announces"
    UNREACHABLE = "unreachable", "DNS, TCP or TLS failed, or the server answered 5xx, again and again"
    TIMED_OUT = "timed_out", "the download took longer than the configured limit"
    TOO_BIG = "too_big", "the file, or the memory that decoding takes, is over the limit"
    BAD_FEED = "bad_feed", "a feed or manifest that cannot be read"
    BAD_TRANSCRIPT = "bad_transcript", "a publisher's transcript that cannot be read"
    NEEDS_TOOL = "needs_tool", "the site offers only a form that takes more than a plain download"
    # Leaving out files and keys of an input that are not recordings.
    OUTSIDE = "outside", "a link that leads out of the inputs"
    HIDDEN = "hidden", "hidden and system files, counted in one row"
    UNUSED_KEYS = "unused_keys", "keys of a manifest that have no meaning here"
    NO_ENCLOSURE = "no_enclosure", "items of a feed that name no recording, counted in one row"
    BAD_SPAN = "bad_span", "a start or an end that is impossible"
    # Decoding a recording.
    EMPTY = "empty", "no bytes, or no samples"
    NOT_AUDIO = "not_audio", "the content is not audio, whatever its name says"
    BAD_HEADER = "bad_header", "an impossible sampling rate or channel count"
    CORRUPT = "corrupt", "too many packets did not decode"
    TRUNCATED = "truncated", "much less audio than the container declares"
    TOO_LONG = "too_long", "a recording or an utterance over the longest permitted length"
    NOT_FINITE = "not_finite", "NaN or infinite samples"
    DECODER_CRASHED = "decoder_crashed", "the decoder's process died"
    DECODER_HUNG = "decoder_hung", "the decoder made no progress"
    # Deciding about a recording or a clip.
    DUPLICATE = "duplicate", "the same bytes as another recording, or the same sound as an earlier clip"
    REMOVED = "removed", "removed on request, for good"
    LICENCE = "licence", "the licence is not one that may be published"
    AI_GENERATED = "ai_generated", "marked as made by a machine"
    MANUAL = "manual", "somebody decided so; see decisions.jsonl"
    NOISE = "noise", "background noise is too likely"
    MUSIC = "music", "music is too likely"
    TELEPHONE = "telephone", "band-limited or coded speech, as from a telephone, is too likely"
    OVERLAP = "overlap", "several voices at once are too likely"
    TWO_VOICES = "two_voices", "the voice changes within the clip"
    REVERB = "reverb", "reverberation is too likely, or too strong"
    LOW_SNR = "low_snr", "speech is not loud enough over the background"
    BAND_LIMITED = "band_limited", "the highest frequencies of speech are missing"
    TOO_QUIET = "too_quiet", "the loudness is too low"
    CLIPPED = "clipped", "too many samples are clipped at full scale"
    # Judging a transcript.
    NOT_TRANSCRIBED = "not_transcribed", "selected since the last run, and not transcribed yet"
    ASR_FAILED = "asr_failed", "the ASR model raised an error on this clip"
    LOW_CONFIDENCE = "low_confidence", "the words are improbable to the ASR model"
    EMPTY_TEXT = "empty_text", "the ASR model wrote nothing"
    NO_SPEECH = "no_speech", "a text over what the ASR model itself takes for silence"
    CUT_WORD = "cut_word", "speech goes on at an end of the clip"
    REPETITION = "repetition", "the same words over and over"
    SPEECH_RATE = "speech_rate", "faster or slower than anybody speaks"
    STOCK_PHRASE = "stock_phrase", "a phrase of subtitles written over noise, such as 'Thanks for watching'"
    MISSING_TEXT = "missing_text", "sound without words for longer than a clip may be silent"
    NOT_SPOKEN = "not_spoken", "the text describes a sound, such as [Music]"
    WRONG_SCRIPT = "wrong_script", "letters that the language is not written in"
    DISAGREEMENT = "disagreement", "another text of the same clip says something else"
    LANGUAGE = "language", "not a language to keep, unknown to the ASR model, or doubtful"
    NOT_TOKENISED = "not_tokenised", "selected since the last run, and without mel tokens yet"
    NOT_MEASURED = "not_measured", "selected since the last run, and not measured yet by a stage of a plug-in"
    INTERNAL_ERROR = "internal_error", "a bug: please report it"


# Of the checks in decide/hallucinations.yaml, in their order.
OF_HALLUCINATIONS = (
    *(Reason.REPETITION, Reason.SPEECH_RATE, Reason.MISSING_TEXT, Reason.NO_SPEECH, Reason.LOW_CONFIDENCE),
    *(Reason.NOT_SPOKEN, Reason.WRONG_SCRIPT, Reason.STOCK_PHRASE),
)
# The media cannot be fetched now; those that were fetched before stay in the corpus.
OUT_OF_REACH = (Reason.NOT_FOUND, Reason.FORBIDDEN, Reason.UNREACHABLE, Reason.TIMED_OUT)
