"""What a run says about another profile of segmentation."""

import pytest
from speechmill.publish.advice import came_cut, other_profile


def stats(**samples: int) -> dict:
    return {
        "samples": {"in": 1_000, "too_long": 600, "too_short": 50, "silence": 60},
        "candidate_samples_by_profile": samples,
    }


def test_the_profile_that_makes_clips_of_much_more_is_named_with_what_is_lost() -> None:
    line = other_profile(stats(tortoise=290, recover=860, as_is=0), "tortoise")
    assert line == (
        "too long 60%: segment.profile=recover would make clips of 86% of the audio, tortoise makes them of 29%"
    )


@pytest.mark.parametrize(
    ("samples", "profile"),
    [
        ({"tortoise": 800, "recover": 860, "as_is": 0}, "tortoise"),  # not worth saying
        ({"tortoise": 290, "recover": 860, "as_is": 0}, "recover"),  # it is the best
        ({}, "tortoise"),  # an older corpus
    ],
)
def test_else_nothing_is_said(samples: dict[str, int], profile: str) -> None:
    assert other_profile(stats(**samples), profile) == ""
    assert other_profile({"samples": {"in": 0}}, profile) == ""


@pytest.mark.parametrize(
    ("recordings", "short", "profile", "is_said"),
    [(20, 20, "tortoise", True), (1_000, 900, "recover", True), (19, 19, "tortoise", False),
     (1_000, 899, "tortoise", False), (20, 20, "as_is", False), (0, 0, "tortoise", False)],
)  # fmt: skip
def test_a_plan_of_sentences_names_the_profile_for_them(
    recordings: int, short: int, profile: str, is_said: bool
) -> None:
    assert ("segment.profile=as_is" in came_cut(recordings, short, profile)) == is_said
