"""How well a lost encoder is recovered, against hours of pairs: figures and a plot.

    python -m tests.benchmarks.recovery --recordings recordings/manifest.jsonl --held-out held-out/manifest.jsonl \\
        --teacher teacher.safetensors --output recovery

The teacher is a dVAE of the user's (`speechmill train mel-tokens`, another seed and other sizes than the shipped one).
Its tokens of the recordings are the pairs; its encoder is used for nothing else. Noisy pairs are the same tokens beside
the sound that its decoder and Griffin and Lim's method make of them.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from speechmill.tokens import mel
from speechmill.tokens.dvae import load
from speechmill.tokens.encode import MelTokenizer
from speechmill.training.tokens import recover_encoder
from speechmill.training.tokens.evaluate import edits, vocode
from speechmill.training.tokens.sound import collect

LONGEST = 15 * mel.RATE
NOISY_HOURS, GOOD_HOURS = 0.4, 0.1
SPEEDS, GAIN_DB = (0.87, 1.13), (-8.0, 2.0)  # of the recordings heard twice more, so that there are more pairs
COLOURS = ("#a02d6b", "#2f6fb0", "#3d8f5f", "#d08020", "#777777", "#7b5cc4")

Case = tuple[str, float, dict[str, Any]]  # curve, hours, recipe


def cases(folder: Path, teacher: Path, steps: int) -> list[Case]:
    """What is recovered from what."""
    clean, noisy = {"pairs": (folder / "clean.jsonl",)}, {"pairs": (folder / "noisy.jsonl",)}
    shared: dict[str, Any] = {"test_pairs": (folder / "test.jsonl",), "steps": steps}
    known, table = {"codebook": teacher}, {"embedding": folder / "consumer.pth"}
    found: list[Case] = []
    found += [("codebook known", hours, shared | clean | known) for hours in (3.4, 1.0, 0.3)]
    more = {"pairs": (folder / "clean.jsonl", folder / "more.jsonl"), "steps": 4 * steps}
    found.append(("codebook known", 10.2, shared | known | more))
    found += [("unknown", hours, shared | clean) for hours in (3.4, 1.0)]
    found += [("unknown, with a consumer's embeddings", hours, shared | clean | table) for hours in (3.4, 1.0)]
    staged = {"good_pairs": (folder / "good.jsonl",), "good_steps": steps // 2, "decoder_steps": steps // 4}
    found.append(("known, noisy pairs", NOISY_HOURS, shared | noisy | known))
    found.append(("known, noisy pairs, then 0.1 h of good ones", NOISY_HOURS, shared | noisy | known | staged))
    found.append(("known, those good ones alone", GOOD_HOURS, shared | known | {"pairs": (folder / "good.jsonl",)}))
    return found


def make_pairs(recordings: Path, held_out: Path, teacher: Path, folder: Path) -> None:
    """Write the pairs as manifests, with their sound beside them."""
    tokenizer = MelTokenizer(load(teacher))
    rng = np.random.default_rng(1)
    for name, manifest, speeds in (("test", held_out, ()), ("clean", recordings, ()), ("more", recordings, SPEEDS)):
        sound = collect([manifest], folder / f"{name}-sound", lambda _: None)
        (folder / name).mkdir(parents=True, exist_ok=True)
        pairs = []
        for number, at in enumerate(rng.permutation(len(sound.spans))):
            span = sound.spans[at]
            for speed in speeds or (1.0,):
                wave = sound.wave(span)
                if speed != 1:
                    gain = np.float32(10 ** (rng.uniform(*GAIN_DB) / 20))
                    wave = (soxr.resample(wave, speed, 1.0) * gain).clip(-1, 1)
                for part, begin in enumerate(range(0, max(1, len(wave) - mel.RATE), LONGEST)):
                    cut, file = wave[begin : begin + LONGEST], f"{name}/{number}-{speed}-{part}.flac"
                    pairs.append(
                        {"file": file, "speaker": span.speaker, "mel_tokens": _stored(cut, file, folder, tokenizer)}
                    )
        _write(folder / f"{name}.jsonl", pairs)
        if name == "clean":
            _write(folder / "good.jsonl", list(_up_to(GOOD_HOURS, pairs[::-1])))
            _write(folder / "noisy.jsonl", [_noisy(pair, folder, tokenizer) for pair in _up_to(NOISY_HOURS, pairs)])


def _stored(wave: Any, file: str, folder: Path, tokenizer: MelTokenizer) -> list[int]:
    """Tokens of what is stored of a wave."""
    soundfile.write(folder / file, wave, mel.RATE, subtype="PCM_16")
    return tokenizer.encode([soundfile.read(folder / file, dtype="float32")[0]])[0].tolist()


def _noisy(pair: dict[str, Any], folder: Path, tokenizer: MelTokenizer) -> dict[str, Any]:
    """The same tokens beside the sound that decoder and vocoder make of them."""
    file = pair["file"].replace(".flac", "-noisy.flac")
    wave = vocode(tokenizer.decode(np.array(pair["mel_tokens"])))
    soundfile.write(folder / file, wave.clip(-1, 1), mel.RATE)
    return pair | {"file": file}


def _up_to(hours: float, pairs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        if hours <= 0:
            return
        yield pair
        hours -= len(pair["mel_tokens"]) * 1_024 / mel.RATE / 3_600


def _write(path: Path, pairs: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, pairs)))


def make_consumer(folder: Path) -> None:
    """Train a stand-in for TorToiSe's diffusion decoder on the pairs: its table of token embeddings is what counts."""
    pairs = recover_encoder.collect((folder / "clean.jsonl",), folder / "consumer-pairs", lambda _: None)
    torch.manual_seed(3)
    embed = torch.nn.Embedding(8_193, 256)
    wide = [torch.nn.Conv1d(256, 256, 5, padding=2), torch.nn.GELU(), torch.nn.Conv1d(256, 256, 5, padding=2)]
    net = torch.nn.Sequential(*wide, torch.nn.GELU(), torch.nn.Conv1d(256, 4 * mel.BINS, 1))
    optimizer, rng = torch.optim.AdamW([*embed.parameters(), *net.parameters()], 1e-3), np.random.default_rng(3)
    clips = [clip for clip in pairs.clips if clip.tokens >= 40]
    for _ in range(4_000):
        chosen = [clips[at] for at in rng.integers(len(clips), size=16)]
        firsts = [int(rng.integers(clip.tokens - 39)) for clip in chosen]
        tokens = np.stack([pairs.of(c)[1][f : f + 40] for c, f in zip(chosen, firsts, strict=True)]).astype(np.int64)
        mels = np.stack([pairs.of(c)[0][4 * f : 4 * f + 160] for c, f in zip(chosen, firsts, strict=True)])
        made = net(embed(torch.from_numpy(tokens)).transpose(1, 2)).transpose(1, 2).reshape(16, 160, mel.BINS)
        loss = (made - torch.from_numpy(mels)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save({"mel_embedding.weight": embed.weight.detach()}, folder / "consumer.pth")


def floor(folder: Path, teacher: Path) -> dict[str, float]:
    """How far the teacher agrees with itself on test clips that were resampled there and back: the best to hope for."""
    tokenizer, resampled = MelTokenizer(load(teacher)), edits()["resampled to 48 kHz and back"]
    true, again = [], []
    for line in (folder / "test.jsonl").read_text().splitlines():
        wave = soundfile.read(folder / json.loads(line)["file"], dtype="float32")[0]
        true.append(np.array(json.loads(line)["mel_tokens"]))
        again.append(tokenizer.encode([np.asarray(resampled(wave), np.float32)])[0].astype(np.int64)[: len(true[-1])])
    old, new = (
        np.concatenate([part[: len(a)] for part, a in zip(parts, again, strict=True)]) for parts in (true, again)
    )
    embed = load(teacher).codebook.embed.T
    return {"top1": float((old == new).mean()), "distance": float((embed[old] - embed[new]).norm(dim=1).mean())}


def plot(found: list[dict[str, Any]], path: Path) -> None:
    """Top-1 agreement against hours of pairs, a line a kind."""
    kinds = list(dict.fromkeys(one["kind"] for one in found))

    def place(hours: float, share: float) -> str:
        return f"{60 + 360 * (np.log10(hours) + 1.1) / 2.2:.1f},{20 + 240 * (1 - share):.1f}"

    lines = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 310" font-family="sans-serif" font-size="12">']
    lines.append('<rect width="740" height="310" fill="white"/><path d="M60 20V260H420" stroke="#999" fill="none"/>')
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1):
        y = 20 + 240 * (1 - share)
        lines.append(f'<text x="52" y="{y + 4}" text-anchor="end">{100 * share:.0f} %</text>')
        lines.append(f'<path d="M60 {y}H420" stroke="#eee"/>')
    for hours in (0.1, 0.3, 1, 3, 10):
        lines.append(f'<text x="{place(hours, 0).split(",")[0]}" y="277" text-anchor="middle">{hours} h</text>')
    lines.append('<text x="240" y="300" text-anchor="middle">hours of pairs</text>')
    lines.append('<text x="60" y="12">true tokens of unseen speakers; dashed: among the first five</text>')
    for number, kind in enumerate(kinds):
        colour = COLOURS[number % len(COLOURS)]
        mine = sorted((one["hours"], one["test"]["top1"], one["test"]["top5"]) for one in found if one["kind"] == kind)
        for at, dash in ((1, ""), (2, ' stroke-dasharray="4 3"')):
            points = " ".join(place(one[0], one[at]) for one in mine)
            lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            lines += [
                f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" fill="{colour}"/>' for p in points.split()
            ]
        y = 40 + 22 * number
        lines.append(f'<rect x="436" y="{y - 9}" width="14" height="4" fill="{colour}"/>')
        lines.append(f'<text x="456" y="{y - 3}">{kind}</text>')
    path.write_text("\n".join([*lines, "</svg>"]) + "\n")


def main() -> None:
    """Make the pairs, recover from each, write recovery.json and recovery.svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("recordings", "held-out", "teacher", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--part", default="0/1", help="run every Nth case only, from I on: I/N")
    options = parser.parse_args()
    folder, teacher = options.output.resolve(), options.teacher.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "good.jsonl").exists():
        make_pairs(options.recordings, options.held_out, teacher, folder)
    if not (folder / "consumer.pth").exists():
        make_consumer(folder)
    first, every = map(int, options.part.split("/"))
    for number, (kind, hours, recipe) in list(enumerate(cases(folder, teacher, options.steps)))[first::every]:
        output = folder / f"case-{number}"
        if not (output / recover_encoder.REPORT_FILE).exists():
            chosen = recover_encoder.Recipe(**recipe, hours=hours)
            report = recover_encoder.recover_encoder(chosen, output, device="cpu", progress=lambda _: None)
            print(f"{kind}, {hours} h: {json.dumps(report['test'])}", flush=True)
    found = []
    for number, (kind, hours, _) in enumerate(cases(folder, teacher, options.steps)):
        report = folder / f"case-{number}" / recover_encoder.REPORT_FILE
        if report.exists():
            told = json.loads(report.read_text())
            found.append({"kind": kind, "hours": hours, "codes_told": told["codes_told"], "test": told["test"]})
    told = {"floor": floor(folder, teacher), "recovered": found}
    (folder / "recovery.json").write_text(json.dumps(told, indent=1) + "\n")
    plot(found, folder / "recovery.svg")


if __name__ == "__main__":
    main()
