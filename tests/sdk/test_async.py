"""Many conversations at once, through the asynchronous clients."""

import asyncio

import anthropic
import openai

from conftest import KEYS, anthropic_client, openai_client
from servers import wait_until
from talk import MODEL, conversation, user

CONCURRENT = 50
TURNS = 3


async def converse(client, number):
    """A conversation of a few turns, every second one streamed; its answers."""
    messages = conversation("conversation %d" % number)
    answers = []
    for turn in range(TURNS):
        if (number + turn) % 2:
            answer = await client.chat.completions.create(model=MODEL, messages=messages)
            text = answer.choices[0].message.content
        else:
            text = ""
            stream = await client.chat.completions.create(
                model=MODEL, messages=messages, stream=True
            )
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        answers.append(text)
        messages += [{"role": "assistant", "content": text}, user("turn %d" % turn)]
    return answers


def converse_all(proxy):
    async def everything():
        async with openai_client(proxy, openai.AsyncOpenAI) as client:
            return await asyncio.gather(
                *(converse(client, number) for number in range(CONCURRENT))
            )

    return asyncio.run(everything())


def keys_by_conversation(mock):
    keys = {}
    for request in mock.requests():
        text = request["body"]
        start = text.index("conversation ")
        keys.setdefault(text[start : text.index('"', start)], []).append(request["key"])
    return keys


def test_fifty_conversations_at_once_each_stay_on_a_key_of_their_own(proxy, mock):
    answers = converse_all(proxy)
    assert all(text for texts in answers for text in texts)
    keys = keys_by_conversation(mock)
    assert len(keys) == CONCURRENT
    assert all(len(used) == TURNS for used in keys.values())
    assert all(len(set(used)) == 1 for used in keys.values())
    assert {used[0] for used in keys.values()} == set(KEYS)


def test_fifty_conversations_at_once_succeed_while_a_key_is_throttled(proxy, mock):
    whole = converse_all(proxy)
    mock.status_fault(429, key=KEYS[1], headers={"retry-after": "60"})
    assert converse_all(proxy) == whole


def test_fifty_messages_at_once_succeed_while_a_key_is_dead(proxy, mock):
    mock.status_fault(401, key=KEYS[2])

    async def everything():
        async with anthropic_client(proxy, anthropic.AsyncAnthropic) as client:
            return await asyncio.gather(
                *(
                    client.messages.create(
                        model=MODEL, max_tokens=32, messages=[user("message %d" % number)]
                    )
                    for number in range(CONCURRENT)
                )
            )

    answers = asyncio.run(everything())
    assert all(answer.content[0].text for answer in answers)


def test_a_client_that_leaves_a_stream_stops_the_request_upstream(proxy, mock):
    mock.fault(kind="stall_after", events=2)

    async def leave():
        async with openai_client(proxy, openai.AsyncOpenAI) as client:
            stream = await client.chat.completions.create(
                model=MODEL, messages=conversation("hello"), stream=True
            )
            async for _ in stream:
                break
            await stream.close()

    asyncio.run(leave())
    wait_until(
        "the upstream request has ended",
        lambda: mock.counters()["total"]["in_flight"] == 0,
    )
    assert mock.counters()["total"]["client_gone"] == 1
