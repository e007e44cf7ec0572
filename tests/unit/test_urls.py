"""Addresses as they may be published: what is secret goes, what says which episode is meant stays."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.core.urls import public_url, public_values, web_address, without_secrets

SECRETS = ["s3cret", "p@ss", "p:w", "FEEDKEY", "a+b=", "s3'cret", "ümlaut", "%41bc", "x" * 300]
BASE = "https://example.org/feed.xml"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://ann:s3cret@example.org/feed.xml", BASE),
        ("https://ann:p@ss@example.org/feed.xml", BASE),
        ("https://ann:p%40ss@example.org/feed.xml", BASE),
        ("https://TOKEN@example.org/feed.xml", BASE),
        ("https://:s3cret@example.org/feed.xml", BASE),
        ("https://ann:s3/cret@example.org/feed.xml", "https://***"),
        ("https://ann:s3?cret@example.org/feed.xml", "https://***"),
        ("https://ann:s3#cret@example.org/feed.xml", "https://***"),
        (f"{BASE}?key=FEEDKEY", BASE),
        (f"{BASE}#access_token=FEEDKEY", BASE),
        (f"{BASE}?FEEDKEY", BASE),
        (f"{BASE}?id=3&key=FEEDKEY&page=2", f"{BASE}?id=3&page=2"),
        (f"{BASE}?ID=3&amp;Signature=abc&amp;ep=4", f"{BASE}?ID=3&ep=4"),
        (f"{BASE}?id=3;key=FEEDKEY", f"{BASE}?id=3"),
        (f"{BASE}?id=9f86d081884c7d659a2feaa0c55ad015", BASE),
        (f"{BASE}?id=550e8400-e29b-41d4-a716-446655440000", BASE),
        (f"{BASE}?id=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3", BASE),
        (f"{BASE}?id={'1' * 200}", BASE),
        (f"{BASE}?file=https%3A%2F%2Fann%3As3cret%40example.org%2Fx", BASE),
        ("https://h.example/play;jsessionid=0A1B2C/1.mp3", "https://h.example/play/1.mp3"),
        ("https://h.example/access_token=abc/1.mp3", "https://h.example/***/1.mp3"),
        ("https://h.example/private/9f86d081884c7d659a2feaa0/rss", "https://h.example/private/***/rss"),
        ("https://h.example/feed/token/s3cretKey", "https://h.example/feed/token/***"),
        ("https://h.example/private/episodes/12.mp3", "https://h.example/private/episodes/12.mp3"),
        ("https://t.example/redirect.mp3/https://a:s3cret@h.example/1.mp3?t=", "https://t.example/redirect.mp3/https://h.example/1.mp3?t="),
        ("https://t.example/play/https%3A%2F%2Fann%3As3cret%40h.example%2F1.mp3", "https://t.example/play/https://h.example/1.mp3"),
        ("https://t.example/play/https%253A%252F%252Fann%253As3cret%2540h.example", "https://t.example/play/https://h.example"),
        ("s3://AKIA:s3cret@bucket/key?versionId=1", "s3://bucket/key"),
        ("feed://ann:s3cret@example.org/rss", "feed://example.org/rss"),
        ("feed:https://ann:s3cret@example.org/rss", "feed:https://example.org/rss"),
        ("//ann:s3cret@example.org/rss", "//example.org/rss"),
        ("ann:s3cret@example.org/rss", "example.org/rss"),
        ("https://ann:s3cret@[2606:4700::1111]:8443/rss", "https://[2606:4700::1111]:8443/rss"),
        ("/books/ep1.mp3?token=abc&Expires=3", "/books/ep1.mp3"),
        ("ep1.mp3?token=abc", "ep1.mp3"),
        ("/m/3.mp3#access_token=abc", "/m/3.mp3"),
    ],
)  # fmt: skip
def test_secrets_go(url: str, public: str) -> None:
    assert public_url(url) == public
    assert public_url(public) == public
    assert without_secrets(f'<a href="{url}">it\'s {url}</a>, ({url})') == (
        f'<a href="{public}">it\'s {public}</a>, ({public})'
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://example.org/?feed=podcast&paged=2",
        "https://example.org/show?title=Der%20kleine%20Prinz&season=1&episode=12",
        "https://feeds.soundcloud.com/users/soundcloud:users:123/sounds.rss",
        "https://anchor.fm/s/1/play/2/https%3A%2F%2Fh.example%2F2024-01-01%2Ff3b4cc11-64d2.mp3",
        "https://medium.com/@ann/episode",
        "https://example.org/authors/ann/keynote.mp3",
        "https://example.org/sp/Folge 1 – Größe.mp3",
        "http://127.0.0.1:8533/feed.xml",
        "http://[::1]:80/feed.xml",
        "/books/talk #3, why?.mp3",
        "/books/50% off = good.mp3",
        "C:\\books\\1.mp3",
        "",
    ],
)
def test_what_is_harmless_stays(url: str) -> None:
    assert public_url(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "write to mailto:ann@example.org or ann@example.org, at 12:30.",
        "speechmill/1.0 (+mailto:ann@example.org)",
        "HTTPConnectionPool(host='127.0.0.1', port=80): timed out (connect timeout=30.0)",
        "a = b; c: d, 100 % of 'x' <y> [z] ?",
        "https://host:port/path",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert without_secrets(text) == text.replace("https://host:port/path", "https://***")


@pytest.mark.parametrize("secret", SECRETS)
def test_no_form_of_a_text_keeps_a_secret(secret: str) -> None:
    url = f"https://ann:{secret}@example.org/1.mp3?id=3&token={secret}&file={secret}x@y"
    texts = [
        url, repr(url), repr({"url": url, "b": [url]}), json.dumps({"url": url}), json.dumps(json.dumps([url])),
        json.dumps(url).replace("/", "\\/"), json.dumps(url).replace("&", "\\u0026"), url.replace("&", "&amp;"),
        f"[the feed]({url}).", f"{url}\n{url}\t{url}", f"url={url}", f"ValueError: {url}: no",
        f"Max retries exceeded with url: /1.mp3?id=3&token={secret} (Caused by X)",
        f"{{'Authorization': 'Basic {secret}'}}", f"{{'Authorization': 'Bearer {secret}'}}",
        f"proxy ann:{secret}@example.org:80", f"Authorization: {secret}", f"Proxy-Authorization: Token {secret}",
        f"Set-Cookie: sid={secret}; Path=/", f"Cookie: a=b; sid={secret}", f"X-Api-Key: {secret}",
        f"x-auth-token={secret}",
    ]  # fmt: skip
    for text in texts:
        kept = without_secrets(text)
        assert secret not in kept, text
        assert json.dumps(secret)[1:-1] not in kept, text
        if text.startswith("{") and '"url"' in text:
            assert json.loads(kept) == {"url": "https://example.org/1.mp3?id=3"}


@pytest.mark.parametrize(
    "token", ["hf_" + "aB3" * 11, "ghp_" + "aB3" * 12, "AKIA" + "Q7" * 8, "eyJhbGciOiJI.eyJzdWIi.dozjgNry"]
)
def test_tokens_of_services_are_known_by_their_first_letters(token: str) -> None:
    assert without_secrets(f"401 for {token}, and so on") == "401 for ***, and so on"


@given(st.text())
def test_nothing_is_left_to_take_away(text: str) -> None:
    once = public_url(text)
    assert public_url(once) == once
    assert without_secrets(without_secrets(text)) == without_secrets(text)


URL_TEXT = st.text(alphabet="ab1:/@?#&=;%.[]()',\\\" {}-2F3A40")


@given(URL_TEXT, URL_TEXT)
def test_userinfo_goes_from_whatever_surrounds_it(before: str, after: str) -> None:
    assert "S3CRET" not in without_secrets(f"{before} https://ann:S3CRET@example.org/{after}")
    assert "S3CRET" not in public_url(f"{before}https://ann:S3CRET@example.org/{after}")


@pytest.mark.parametrize(
    "piece",
    ["a", "://", "a:b@", "?a=b", "%25", "/", "@", "http://", "?", "?#", "&id=1", ";", "authorization: basic ", "\\",
     "cookie: a=b; ", "x-key: ", "hf_", "x-", "; a=b",
     ".", ",", "idAb", "a!", " ", "%3A%2F%2F", "[", "a-"],
)  # fmt: skip
def test_the_cost_is_linear(piece: str) -> None:
    """Eight times the text costs about eight times the work; a square would be sixty-four times."""

    def cost(count: int, around: str) -> float:
        text = around.replace("…", piece * count)
        costs = []
        for _ in range(3):
            begun = time.thread_time()
            public_url(text)
            without_secrets(text)
            costs.append(time.thread_time() - begun)
        return min(costs)

    for around in ("…", "http://h/?id=…", "…!:x@h", "http://…@h", "/private/…"):
        small, large = cost(2_000, around), cost(16_000, around)
        assert large < 30 * max(small, 0.001)


def test_values_of_json_are_made_public_with_their_keys() -> None:
    value = {"https://a:b@h.example/x?key=K": [{"url": "https://h.example/?token=T", "n": 1}, None, True, 0.5]}
    assert public_values(value) == {"https://h.example/x": [{"url": "https://h.example/", "n": 1}, None, True, 0.5]}


def test_the_name_of_an_author_is_no_secret() -> None:
    assert public_url("librivox:author=austen") == "librivox:author=austen"


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("feed://example.org/rss", "http://example.org/rss"),
        ("FEED://127.0.0.1:8533/rss", "http://127.0.0.1:8533/rss"),
        ("feed:https://example.org/rss", "https://example.org/rss"),
        ("feed:http://example.org/rss", "http://example.org/rss"),
        ("pcast://example.org/a@b:c", "http://example.org/a@b:c"),
        ("itpc://example.org", "http://example.org"),
        ("feeds://example.org/", "https://example.org/"),
        ("feed://ann:pw@example.org/rss", "https://ann:pw@example.org/rss"),
        ("feed://ann:pw@127.0.0.1:8533/rss", "http://ann:pw@127.0.0.1:8533/rss"),
        ("https://example.org/rss", "https://example.org/rss"),
        ("feed.xml", "feed.xml"),
        ("feed:feed.xml", "feed:feed.xml"),
    ],
)
def test_links_for_podcast_programs(link: str, address: str) -> None:
    assert web_address(link) == address
