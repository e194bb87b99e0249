"""What one key cannot serve, another does, and the SDK never notices."""

import openai
import pytest

from conftest import KEYS
from servers import wait_until
from talk import MODEL, chat, conversation, message, user

# Time in which a cooldown of one second is over for certain, in seconds.
RECOVERY_LIMIT = 15


def home_of(mock, ask):
    """The key that serves this conversation."""
    ask()
    key = mock.keys_used()[-1]
    assert key in KEYS
    return key


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 502, 503])
def test_a_chat_is_served_by_another_key_when_its_own_answers(status, oai, mock):
    home = home_of(mock, lambda: chat(oai))
    mock.status_fault(status, key=home)
    assert chat(oai)
    used = mock.keys_used()
    assert used[1] == home
    assert used[-1] != home


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_message_is_served_by_another_key_when_its_own_answers(status, ant, mock):
    home = home_of(mock, lambda: message(ant))
    mock.status_fault(status, key=home)
    assert message(ant)
    assert mock.keys_used()[-1] != home


def test_a_key_whose_connection_breaks_is_replaced_by_another(oai, mock):
    home = home_of(mock, lambda: chat(oai))
    mock.fault(home, kind="reset")
    assert chat(oai)
    assert mock.keys_used()[-1] != home


def test_a_stream_is_served_by_another_key_when_its_own_is_throttled(oai, mock):
    home = home_of(mock, lambda: chat(oai))
    whole = chat(oai)
    mock.status_fault(429, key=home, headers={"retry-after": "30"})
    stream = oai.chat.completions.create(
        model=MODEL, messages=conversation("hello"), stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole
    assert mock.keys_used()[-1] != home


def test_a_throttled_key_is_left_alone_until_its_time_and_shown_as_throttled(oai, proxy, mock):
    home = home_of(mock, lambda: chat(oai))
    mock.status_fault(429, key=home, headers={"retry-after": "60"})
    for _ in range(4):
        assert chat(oai)
    assert mock.keys_used().count(home) == 2
    states = sorted(key["status"] for key in proxy.health()["keys"])
    assert states == ["ready", "ready", "throttled"]


def test_a_conversation_returns_to_its_key_when_that_recovers(oai, mock):
    home = home_of(mock, lambda: chat(oai))
    mock.status_fault(429, key=home, times=1, headers={"retry-after": "1"})
    assert chat(oai)
    assert mock.keys_used()[-1] != home

    def back():
        chat(oai)
        return mock.keys_used()[-1] == home

    wait_until("the conversation is back on its key", back, RECOVERY_LIMIT)


def test_everything_works_while_one_key_is_dead(oai, ant, mock):
    mock.status_fault(401, key=KEYS[0])
    for number in range(12):
        assert chat(oai, "conversation %d" % number)
        assert message(ant, "conversation %d" % number)
    assert oai.embeddings.create(model="mock-embedding", input="a").data
    assert list(oai.models.list())
    assert ant.messages.count_tokens(model=MODEL, messages=[user("hi")]).input_tokens


def test_a_stream_that_is_cut_raises_and_is_neither_resent_nor_spliced(oai, mock):
    whole = chat(oai)
    mock.fault(kind="cut_events", events=4)
    before = len(mock.keys_used())
    stream = oai.chat.completions.create(
        model=MODEL, messages=conversation("hello"), stream=True
    )
    text = ""
    with pytest.raises(Exception) as caught:
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    # The SDKs let some transport errors through as they are; which ones changes with their version.
    assert type(caught.value).__module__.split(".")[0].startswith(("openai", "httpx"))
    assert text and whole.startswith(text) and text != whole
    assert len(mock.keys_used()) == before + 1


def test_a_message_stream_that_is_cut_raises_and_is_not_resent(ant, mock):
    mock.fault(kind="cut_events", events=5)
    with pytest.raises(Exception) as caught:
        with ant.messages.stream(
            model=MODEL, max_tokens=64, messages=[user("hello")]
        ) as stream:
            list(stream.text_stream)
    assert type(caught.value).__module__.split(".")[0].startswith(("anthropic", "httpx"))
    assert len(mock.keys_used()) == 1


def test_an_error_inside_a_stream_reaches_the_client_as_it_is(oai, mock):
    mock.fault(kind="error_event", events=3)
    stream = oai.chat.completions.create(
        model=MODEL, messages=conversation("hello"), stream=True
    )
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert "The server had an error" in str(caught.value)
    assert len(mock.keys_used()) == 1
