"""A conversation stays on one key; conversations spread over all of them."""

import pytest

from conftest import KEYS, openai_client
from talk import MODEL, SYSTEM, chat, conversation, message, user

# Enough conversations that each of three keys must have some.
CONVERSATIONS = 40


def used_by(mock, ask):
    """The keys of the requests that ask() makes."""
    before = len(mock.keys_used())
    ask()
    return mock.keys_used()[before:]


def test_a_growing_chat_stays_on_one_key(oai, mock):
    messages = conversation("first question")
    for turn in range(6):
        messages.append({"role": "assistant", "content": chat(oai, messages=messages)})
        messages.append(user("question %d" % turn))
    assert len(set(mock.keys_used())) == 1


def test_a_growing_anthropic_conversation_stays_on_one_key(ant, mock):
    messages = [user("first question")]
    for turn in range(6):
        messages.append({"role": "assistant", "content": message(ant, messages=messages)})
        messages.append(user("question %d" % turn))
    assert len(set(mock.keys_used())) == 1


def test_a_growing_response_stays_on_one_key(oai, mock):
    items = [user("first question")]
    for turn in range(6):
        answer = oai.responses.create(model=MODEL, instructions=SYSTEM, input=items)
        items.append({"role": "assistant", "content": answer.output_text})
        items.append(user("question %d" % turn))
    assert len(set(mock.keys_used())) == 1


def test_conversations_with_one_system_prompt_spread_over_all_keys(oai, mock):
    for number in range(CONVERSATIONS):
        chat(oai, "conversation %d" % number)
    used = mock.keys_used()
    counts = {key: used.count(key) for key in KEYS}
    assert min(counts.values()) >= 2, counts


@pytest.mark.parametrize(
    "identity",
    [
        {"extra_headers": {"x-session-id": "one-session"}},
        {"extra_headers": {"session-id": "one-session"}},
        {"extra_headers": {"session_id": "one-session"}},
        {"extra_body": {"session_id": "one-session"}},
        {"extra_body": {"sessionId": "one-session"}},
        {"extra_body": {"conversation_id": "one-session"}},
        {"extra_body": {"thread_id": "one-session"}},
        {"prompt_cache_key": "one-session"},
    ],
    ids=lambda identity: "/".join(str(part) for part in identity.values()),
)
def test_requests_that_name_one_session_go_to_one_key_whatever_they_say(identity, oai, mock):
    for number in range(8):
        chat(oai, "unrelated text %d" % number, **identity)
    assert len(set(mock.keys_used())) == 1


def test_the_same_session_has_the_same_key_after_a_restart(start_proxy, mock):
    homes = []
    for _ in range(2):
        proxy = start_proxy()
        with openai_client(proxy) as client:
            texts = ["conversation %d" % number for number in range(6)]
            homes.append(used_by(mock, lambda: [chat(client, text) for text in texts]))
        proxy.stop()
    assert homes[0] == homes[1]


def test_requests_without_a_session_use_all_keys(oai, mock):
    for _ in range(3 * len(KEYS)):
        oai.models.list()
    assert set(mock.keys_used()) == set(KEYS)
