"""The endpoint's client, against a server in this process that fails in every way that servers do."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from paddock.backends import endpoint
from paddock.backends.endpoint import Endpoint
from paddock.backends.spec import EndpointSpec
from paddock.errors import PaddockError, SettingsError, UnsupportedError
from paddock.protocols import Completion, Sampling, Usage
from paddock.text.dialog import Dialog, Message

ASKED = Dialog((Message("system", "Be brief."), Message("user", "Name a colour.")))


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The waits between tries, which a test does not sit through."""
    found: list[float] = []
    monkeypatch.setattr(endpoint, "sleep", found.append)
    return found


def opened(server, **changes) -> Endpoint:
    return Endpoint(EndpointSpec(**{"kind": "openai", "base_url": server.url, "model": "m", **changes}))


def in_turn(*replies):
    """An answer a request, in the order in which they come."""
    waiting = iter(replies)
    return lambda path, body: next(waiting)


def test_a_dialog_goes_to_the_chat_route_with_all_of_its_sampling(server):
    sampling = Sampling(n=1, temperature=0.7, top_p=0.9, top_k=5, max_new_tokens=9, stop=("END",), seed=3)
    [[completion]] = opened(server).complete([ASKED], sampling)
    assert completion == Completion("hello", usage=Usage(7, 3))
    [(path, body, _)] = server.requests
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}],
        "n": 1,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "max_tokens": 9,
        "stop": ["END"],
        "seed": 3,
    }


def test_plain_text_goes_to_the_completions_route_and_keeps_its_white_space(server):
    server.answer = lambda path, body: server.reply({"choices": [{"text": " blue\n", "finish_reason": "length"}]})
    assert opened(server).complete(["The sky is"], Sampling()) == [[Completion(" blue\n", finish_reason="length")]]
    assert server.requests[0][0] == "/v1/completions"
    assert {"messages", "top_k", "stop"}.isdisjoint(server.requests[0][1])


def test_further_fields_are_sent_and_null_leaves_one_out(server):
    opened(server, body={"seed": None, "reasoning_effort": "low"}).complete([ASKED], Sampling())
    assert server.requests[0][1]["reasoning_effort"] == "low"
    assert "seed" not in server.requests[0][1]


def test_the_key_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "abc")
    opened(server, api_key_env="SOME_KEY").complete([ASKED], Sampling())
    assert server.requests[0][2]["authorization"] == "Bearer abc"
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(SettingsError, match="the environment variable SOME_KEY holds no key"):
        opened(server, api_key_env="SOME_KEY")


def test_an_address_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="is no address"):
        Endpoint(EndpointSpec(kind="openai", base_url="http://[::1/v1", model="m"))


def test_half_a_surrogate_pair_goes_there_and_back(server):
    server.answer = lambda path, body: server.chat(body["messages"][0]["content"])
    [[completion]] = opened(server).complete([Dialog((Message("user", "odd \ud800 text"),))], Sampling())
    assert completion.text == "odd \ud800 text"


def test_an_endpoint_that_gives_fewer_is_asked_for_the_rest_with_another_seed(server):
    server.answer = in_turn(server.chat("a", "b"), server.chat("c"), server.chat("d", "e", "f"))
    [some] = opened(server).complete([ASKED], Sampling(n=5, seed=10))
    assert [completion.text for completion in some] == ["a", "b", "c", "d", "e"]
    assert [(body["n"], body["seed"]) for _, body, _ in server.requests] == [(5, 10), (3, 12), (2, 13)]
    assert [completion.usage for completion in some] == [Usage(7, 3), None, Usage(7, 3), Usage(7, 3), None]


def test_failures_that_may_pass_are_tried_again_and_waits_double(server, waits):
    server.answer = in_turn(
        server.reply("slow down", 429),
        server.reply("oops", 500),
        server.reply("not json"),
        server.reply({"choices": []}),
        server.chat("ok"),
    )
    assert opened(server).complete([ASKED], Sampling())[0][0].text == "ok"
    assert [low <= wait <= 2 * low for low, wait in zip((0.5, 1, 2, 4), waits, strict=True)] == [True] * 4


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_the_endpoint_asks_for_is_kept(server, waits, status):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.answer = in_turn(
        server.reply("", status, {"retry-after": "17"}),
        server.reply("", status, {"retry-after": date}),
        server.reply("", status),
        server.chat("ok"),
    )
    assert opened(server).complete([ASKED], Sampling())[0][0].text == "ok"
    assert waits[0] == 17
    assert waits[1] == pytest.approx(39.5, abs=2)
    assert waits[2] <= 4


def test_a_wait_of_an_hour_is_a_failure_at_once(server, waits):
    server.answer = lambda path, body: server.reply({"error": {"message": "quota"}}, 429, {"retry-after": "3600"})
    [[completion]] = opened(server).complete([ASKED], Sampling())
    assert (completion.finish_reason, completion.error) == ("error", "HTTP 429: quota; it asks to wait 3600 s")
    assert waits == []


def test_what_fails_for_good_is_an_error_with_its_reason_and_the_rest_goes_on(server, waits):
    def answer(path, body):
        bad = body["messages"][-1]["content"] == "bad"
        return server.reply({"error": {"message": "context length exceeded"}}, 400) if bad else server.chat("ok")

    server.answer = answer
    prompts = [Dialog((Message("user", text),)) for text in ("good", "bad", "good")]
    found = opened(server).complete(prompts, Sampling(n=2))
    assert [[c.text for c in some] for some in found] == [["ok", "ok"], ["", ""], ["ok", "ok"]]
    assert {c.error for c in found[1]} == {"HTTP 400: context length exceeded"}
    assert waits == []


def test_the_last_try_is_followed_by_no_wait_and_the_reason_says_how_often(server, waits):
    server.answer = lambda path, body: server.reply("busy", 503)
    [[completion]] = opened(server, tries=3).complete([ASKED], Sampling())
    assert completion.error == "HTTP 503: busy; tried 3 times"
    assert (len(server.requests), len(waits)) == (3, 2)


def test_an_endpoint_that_hangs_is_given_up(server, waits):
    server.answer = lambda path, body: server.reply("", hangs=True)
    [[completion]] = opened(server, tries=2, timeout=0.1).complete([ASKED], Sampling())
    assert completion.error == "no answer within 0.1 s; tried 2 times"


def test_an_address_where_nobody_listens_is_a_failed_completion(waits):
    spec = EndpointSpec(kind="openai", base_url="http://127.0.0.1:9/v1", model="m", tries=2)
    [[completion]] = Endpoint(spec).complete([ASKED], Sampling())
    assert completion.finish_reason == "error"
    assert "ConnectError" in completion.error


@pytest.mark.parametrize(("status", "mend"), [(401, "refuses the key"), (404, "often ends in /v1")])
def test_a_wrong_key_or_address_stops_the_work(server, status, mend):
    server.answer = lambda path, body: server.reply("", status)
    with pytest.raises(PaddockError, match=mend):
        opened(server, concurrency=1).complete([ASKED] * 500, Sampling())
    assert len(server.requests) < 20


def test_text_that_a_filter_held_back_is_an_error(server):
    nothing = {"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]}
    server.answer = in_turn(server.chat("half", reason="content_filter"), server.reply(nothing))
    found = opened(server, concurrency=1).complete([ASKED, ASKED], Sampling())
    assert [some[0].error for some in found] == ["no text: content_filter", "no text: tool_calls"]


def test_no_more_requests_are_under_way_than_the_settings_allow_and_answers_keep_their_order(server):
    lock, both, under_way, most = threading.Lock(), threading.Event(), 0, 0

    def answer(path, body):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way == 3:
                both.set()
        both.wait(5)
        with lock:
            under_way -= 1
        return server.chat(body["messages"][-1]["content"])

    server.answer = answer
    prompts = [Dialog((Message("user", str(number)),)) for number in range(12)]
    found = opened(server, concurrency=3).complete(prompts, Sampling())
    assert [some[0].text for some in found] == [str(number) for number in range(12)]
    assert most == 3


def echo(server):
    """`The sky is blue today` by tokens, one of which spans the end of the prompt, and one token more."""
    tokens = ["The", " sky", " is bl", "ue", " to", "day", "!"]
    offsets = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    numbers = [None, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0]
    columns = {"tokens": tokens, "text_offset": offsets, "token_logprobs": numbers}
    return lambda path, body: server.reply({"choices": [{"text": "", "logprobs": columns}]})


def test_log_probs_are_those_of_the_tokens_that_end_in_the_continuation(server):
    server.answer = echo(server)
    assert opened(server).log_probs(["The sky is"], [" blue today"]) == [[-2.0, -3.0, -4.0, -5.0]]
    assert (server.requests[0][1]["echo"], server.requests[0][1]["prompt"]) == (True, "The sky is blue today")


def test_log_probs_that_no_endpoint_can_tell_are_refused(server):
    server.answer = lambda path, body: server.reply({"choices": [{"text": "x", "logprobs": None}]})
    with pytest.raises(UnsupportedError, match="does not echo"):
        opened(server).log_probs(["a"], ["b"])
    with pytest.raises(UnsupportedError, match="Give plain text"):
        opened(server).log_probs([ASKED], ["b"])


def test_an_endpoint_that_does_not_echo_the_prompt_is_not_mistaken_for_one_that_does(server):
    columns = {"tokens": ["x"], "text_offset": [4], "token_logprobs": [-1.0]}
    server.answer = lambda path, body: server.reply({"choices": [{"text": "x", "logprobs": columns}]})
    with pytest.raises(UnsupportedError, match="does not echo"):
        opened(server).log_probs(["abcd"], ["x"])
