"""Marks of a wrong transcript, on what recognisers wrote and on what people say."""

from itertools import pairwise
from typing import Any

import pytest
from speechmill.core.reasons import OF_HALLUCINATIONS
from speechmill.decide.hallucinations import Hypothesis, checks, failed_checks, tokens


def marks(text: str, seconds: float, **known: Any) -> set[str]:
    return {rule.name for rule in failed_checks(Hypothesis(text=text, duration_s=seconds, **known))}


def words(*found: tuple[str, float, float]) -> list[dict[str, Any]]:
    return [{"word": word, "start_s": start, "end_s": end, "probability": 0.9} for word, start, end in found]


def said(text: str, start: float = 0.1, seconds: float = 0.3) -> list[dict[str, Any]]:
    return words(*((w, start + i * seconds, start + (i + 1) * seconds) for i, w in enumerate(text.split())))


# What Whisper tiny.en and base wrote: over hiss, music and two voices, and English ears over French and Spanish.
HALLUCINATED = [
    ({"word_loop", "phrase_loop"}, "The dream. " * 12, 15.52),
    ({"word_loop"}, "a present more only, a blonde, " + "a blonde, " * 6, 14.35),
    ({"word_loop", "monotony", "rate"}, "L'adraziam des estimates " + "aye " * 150, 18.78),
    ({"word_loop", "monotony"}, "Yn " + "yw'n " * 80, 18.0),
    ({"phrase_loop"}, "This is Vicar's. It is stained by the Queen." + " It's stained by the Queen." * 5, 15.85),
    ({"phrase_loop"}, "You know, it's a shoot, " + "but it's not a shoot, " * 7, 15.85),
    ({"farewell"}, "I hope you enjoyed this video, and I hope you enjoyed this video.", 9.38),
    ({"farewell", "rate"}, "Thank you very much for watching!", 17.35),
    ({"farewell", "rate"}, "Thanks for watching!", 9.38),
    ({"filler", "rate"}, "you", 13.98),
    ({"filler", "rate"}, "Thank you.", 18.0),
]
# What others report of Whisper: see the sources in doubts.yaml.
REPORTED = [
    ({"credit"}, "ご視聴ありがとうございました 字幕提供", "ja", 6.0),
    ({"farewell"}, "ご視聴ありがとうございました", "ja", 6.0),
    ({"credit"}, "Untertitelung im Auftrag des ZDF für funk, 2017", "de", 6.0),
    ({"credit"}, "Sous-titres réalisés para la communauté d'Amara.org", "fr", 6.0),
    ({"credit"}, "Субтитры сделал DimaTorzok", "ru", 3.0),
    ({"credit"}, "Subtitles by the Amara.org community", "en", 5.0),
    ({"farewell"}, "Продолжение следует... Thanks for watching", "ru", 3.0),
    ({"sound"}, "[Music]", "en", 1.2),
    ({"sound"}, "♪ Oh, the weather outside is frightful ♪", "en", 5.0),
    ({"sound"}, "(applause)", "en", 1.5),
    ({"sound"}, "*coughs* I am so sorry about that, do go on.", "en", 5.0),
    ({"script"}, "Это было 在一个很小的村庄 давно.", "ru", 5.0),
    ({"script"}, "So he went 到那个地方 and never came back.", "en", 5.0),
    ({"syllable_loop"}, "好的" * 20, "zh", 6.0),
    ({"sentence_loop"}, "それは本当に大変なことでした。" * 4, "ja", 10.0),
]


@pytest.mark.parametrize(("expected", "text", "seconds"), HALLUCINATED)
def test_fault_39_what_recognisers_made_up_here_is_doubted(expected: set[str], text: str, seconds: float) -> None:
    assert expected <= marks(text, seconds, language="en")


@pytest.mark.parametrize(("expected", "text", "language", "seconds"), REPORTED)
def test_what_recognisers_made_up_elsewhere_is_doubted(
    expected: set[str], text: str, language: str, seconds: float
) -> None:
    assert expected <= marks(text, seconds, language=language)


def test_a_recogniser_that_doubts_itself_is_believed() -> None:
    text = "And so we went on, as if nothing had happened."
    assert marks(text, 4.0, avg_logprob=-1.1177, no_speech_probability=0.949) == {"silence", "unlikely"}
    assert marks(text, 4.0, avg_logprob=-1.1177, no_speech_probability=0.2) == {"unlikely"}
    assert marks(text, 4.0, avg_logprob=-0.4, no_speech_probability=0.949) == set()
    assert marks(text, 4.0) == set()


def test_sound_without_words_for_longer_than_a_clip_is_silent_has_lost_its_text() -> None:
    text = "Something must and will happen."
    own = said(text)
    assert marks(text, 2.5, words=own) == set()
    assert marks(text, 2.9, words=own) == {"gap"}  # the end is missing
    late = [word | {"start_s": word["start_s"] + 1.0, "end_s": word["end_s"] + 1.0} for word in own]
    assert marks(text, 2.7, words=late) == {"gap"}
    apart = [*own[:3], *(word | {"start_s": word["start_s"] + 2.3, "end_s": word["end_s"] + 2.3} for word in own[3:])]
    assert marks(text, 4.5, words=apart) == {"gap"}


def test_words_without_sound_and_words_that_swallow_it_are_doubted() -> None:
    over_silence = words(("Something", 0.0, 3.9), ("else", 3.9, 4.2), ("happened", 4.2, 5.0))
    assert marks("Something else happened, as it had to.", 5.0, words=over_silence) == {"stretched"}
    without = words(("But", 0.0, 0.58), ("at", 0.58, 0.58), ("the", 0.58, 0.58), ("end", 0.58, 1.2))
    assert marks("But at the end", 1.2, words=without) == {"squeezed"}


PROSE = """
Never, never, never, never, never! Pray you, undo this button: thank you, sir.
Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day.
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
Row, row, row your boat, gently down the stream, merrily, merrily, merrily, merrily, life is but a dream.
The rain in Spain stays mainly in the plain, and the man in the van ran to the inn.
Ha, ha, ha! she laughed. Ha, ha! And again she laughed, and he laughed, and they all laughed.
No, no, no, no, she cried, not that one, the other one, the one on the left.
How much wood would a woodchuck chuck if a woodchuck could chuck wood?
To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer.
One, two, three, four, five, six, seven, eight, nine, ten, ready or not, here I come.
Call five five five, one two one two, extension nine nine nine.
We shall fight on the beaches, we shall fight on the landing grounds, we shall fight in the fields and in the streets.
Rose is a rose is a rose is a rose, and that is that.
The bells, bells, bells, bells, bells: keeping time, time, time, in a sort of Runic rhyme.
I know that you know that I know that you know, and that is all there is to know.
He knocked, and knocked, and knocked again, and nobody came to the door.
Bye. Bye. Bye-bye, then. See you. See you soon, take care, bye.
Very, very, very good, I said, and very, very nice it was, too.
It is raining, it is pouring, the old man is snoring.
Thank you, said the boy, and ran off before anybody could ask him for what.
The music had stopped (and with it, it seemed to her, the whole of the evening), so they went home.
He had subscribed to the Times for forty years, and thanked nobody for it.
""".strip().splitlines()


@pytest.mark.parametrize("sentence", PROSE)
def test_people_repeat_themselves_too(sentence: str) -> None:
    assert marks(sentence, len(sentence) / 14, language="en") == set()  # 14 characters a second: an audiobook


SPOKEN = [
    ("de", "Es war einmal ein König, der hatte drei Töchter, und die jüngste war die schönste von allen."),
    ("ru", "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему."),
    ("ja", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"),
    ("zh", "滿紙荒唐言，一把辛酸淚。都云作者痴，誰解其中味？"),
    ("ko", "나랏말싸미 듕귁에 달아 문자와로 서르 사맛디 아니할쎄."),
    ("el", "Άνδρα μοι έννεπε, μούσα, πολύτροπον, ος μάλα πολλά πλάγχθη."),
    ("hi", "एक समय की बात है, एक गाँव में एक किसान रहता था।"),
    ("sr", "Био једном један цар, па имао три сина. Bio jednom jedan car."),
    ("ja", "これから皆さんにお話しするのは、AIとDeep Learningの歴史についてです。"),
]


@pytest.mark.parametrize(("language", "text"), SPOKEN)
def test_no_language_is_odd_by_itself(language: str, text: str) -> None:
    rate = 5 if language in {"ja", "zh", "ko"} else 13
    assert marks(text, len(text) / rate, language=language) == set()


def test_a_loop_is_found_wherever_it_begins_and_however_long_it_is() -> None:
    for length in range(1, 21):
        phrase = " ".join(f"word{i}" for i in range(length))
        looped = f"At first all was well, and then {phrase} {' '.join([phrase] * 5)}."
        assert marks(looped, len(looped) / 14) in ({"word_loop"}, {"phrase_loop"}, {"word_loop", "phrase_loop"})
        twice = f"At first all was well, and then {phrase}, {phrase}, and so on."
        assert marks(twice, len(twice) / 14) == set()


def test_texts_too_fast_or_too_slow_for_a_mouth_are_doubted() -> None:
    sentence = "The whole of the village came out to see the balloon rise over the river."
    assert marks(sentence, 5.5) == set()
    assert marks(sentence, 15.5) == marks(sentence, 2.3) == {"rate"}
    chinese = "滿紙荒唐言，一把辛酸淚。都云作者痴，誰解其中味？"
    assert marks(chinese, 5.5, language="zh") == set()
    assert [marks(chinese, s, language="zh") for s in (1.5, 20.0)] == [{"syllable_rate"}] * 2


def test_a_long_text_is_judged_at_once() -> None:
    assert marks(" ".join(f"{i % 97} {i % 89}" for i in range(20_000)), 7_500) == set()


def test_words_are_counted_without_case_marks_and_apostrophes() -> None:
    assert tokens("Don’t — don't, DON'T!") == ["dont"] * 3
    assert tokens("ＡＢＣ 猫である") == ["abc", *"猫である"]
    assert tokens("किसान") == ["किसान"]


def test_every_rule_has_a_name_of_its_own_and_says_where_it_is_from() -> None:
    names = sorted(rule.name for rule in checks())
    assert all(one != other for one, other in pairwise(names))
    assert all(rule.source for rule in checks())


def test_the_reasons_of_all_checks_are_listed_in_order() -> None:
    """Of which commands that check no text know without reading the checks."""
    assert tuple(dict.fromkeys(check.reason for check in checks())) == OF_HALLUCINATIONS
