"""Opens media with limits on FFmpeg: allowed formats and codecs, audio only, nothing but the given bytes.

Every external file is opened here. FFmpeg decodes the first frames of all streams to identify them,
cover pictures included (a PNG of 4 MB takes 1 GB), so the codecs are limited before anything is read.
"""

import io
from typing import IO, Any, NoReturn

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

# FFmpeg's own names. Playlists and image sequences are not among them: bytes in, audio out, nothing else opened.
CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,mp3,mpeg,mpegts,nut,ogg,"
    "oma,rm,tta,voc,w64,wav,wv,xwma,avi,nistsphere,dsf,iff,mpc,mpc8,shn,tak,gsm,g722"
)
# Decoders for recordings of speech. Codecs of games and phones that no publisher uses are left out.
CODECS = (
    "8svx_exp,8svx_fib,aac,aac_fixed,aac_latm,ac3,ac3_fixed,adpcm_g722,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_sbpro_2,"
    "adpcm_sbpro_3,adpcm_sbpro_4,adpcm_swf,adpcm_yamaha,alac,als,amrnb,amrwb,ape,atrac1,atrac3,atrac3al,atrac3plus,"
    "atrac3plusal,cook,dca,dsd_lsbf,dsd_lsbf_planar,dsd_msbf,dsd_msbf_planar,eac3,flac,g722,g723_1,g726,g726le,g729,"
    "gsm,gsm_ms,ilbc,libgsm,libgsm_ms,libopencore_amrnb,libopencore_amrwb,libopus,libspeex,libvorbis,mlp,mp1,mp1float,"
    "mp2,mp2float,mp3,mp3adu,mp3adufloat,mp3float,mp3on4,mp3on4float,mpc7,mpc8,nellymoser,opus,pcm_alaw,pcm_bluray,"
    "pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,"
    "pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,pcm_s64le,"
    "pcm_s8,pcm_s8_planar,pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,pcm_u8,qdm2,qdmc,real_144,"
    "real_288,shorten,sipr,speex,tak,truehd,truespeech,tta,vorbis,wavpack,wmalossless,wmapro,wmav1,wmav2,wmavoice"
)
MAX_FRAME_SAMPLES = 4_194_304  # of a channel in one frame; the longest are Monkey's Audio's, 1,179,648
MAX_CHANNELS = 64
TIME_BASE = 1_000_000  # of durations of containers, in 1/s: FFmpeg's AV_TIME_BASE
DECODER_BYTES = 2**30  # memory limit of decoding; 64 channels at 192 kHz take a quarter
OPTIONS = {
    "format_whitelist": CONTAINERS,
    "codec_whitelist": CODECS,
    "max_samples": str(MAX_FRAME_SAMPLES),
    "max_streams": "100",
}


def media_errors() -> type[Exception]:
    """What FFmpeg raises; asked for after an error only, since commands that open no media need not load it."""
    import av

    return av.error.FFmpegError


def open_media(file: IO[bytes], **options: str) -> Any:
    """Open a container, and nothing that it refers to. Raises RejectedError for anything but media."""
    import av

    file.seek(0, io.SEEK_END)
    if not file.tell():
        raise RejectedError(Reason.EMPTY, "no bytes")
    file.seek(0)
    try:
        return av.open(file, options=OPTIONS | options, metadata_errors="replace", io_open=_open_nothing)
    except (media_errors(), ValueError) as error:
        raise RejectedError(_why_unopened(file), getattr(error, "strerror", None) or type(error).__name__) from None


def sound_of(container: Any) -> Any:
    """The audio stream to decode; all others are switched off. Raises RejectedError where there is no supported one."""
    from av.stream import Discard

    if not container.streams.audio:
        raise RejectedError(Reason.NOT_AUDIO, f"{container.format.name} without an audio stream")
    stream = container.streams.best("audio") or container.streams.audio[0]
    context = stream.codec_context
    if context is None:
        raise RejectedError(Reason.NOT_AUDIO, f"{container.format.name} with an unknown codec")
    if context.codec.name not in CODECS.split(","):
        raise RejectedError(
            Reason.NOT_AUDIO, f"{container.format.name} with {context.codec.name}, which is not decoded"
        )
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    context.options = {"max_samples": str(MAX_FRAME_SAMPLES)}
    return stream


def hidden_by_edits(container: Any, stream: Any) -> float:
    """Seconds of an MP4's audio, the stream of `sound_of`, that its edit list hides."""
    if not container.format.name.startswith("mov"):
        return 0.0
    shown = len(stream.index_entries)
    if stream.codec_context.name.startswith("pcm"):  # its frames are samples, many to an entry of the index
        return 0.0
    if not 1 < shown < stream.frames:
        return 0.0
    first, last = stream.index_entries[0].timestamp, stream.index_entries[shown - 1].timestamp
    seconds: float = float((last - first) * stream.time_base) / (shown - 1) * (stream.frames - shown)
    return seconds


def _open_nothing(url: str, *_: object) -> NoReturn:
    """Refuse files and addresses that a container names, as MP4 and playlists can."""
    raise PermissionError(url)


def _why_unopened(file: IO[bytes]) -> Reason:
    """Distinguish audio with an invalid header from files that are no audio."""
    file.seek(0)
    head = file.read(12)
    known = head[:4] in (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM") and head[8:12] not in (b"WEBP", b"AVI ")
    return Reason.BAD_HEADER if known else Reason.NOT_AUDIO
