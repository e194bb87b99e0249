"""Everything a program does with the official OpenAI SDK works through the proxy."""

import json

import openai

from conftest import KEYS, PLACEHOLDER, openai_client
from talk import CHAT_TOOL, CITY_ARGUMENTS, MODEL, RESPONSES_TOOL, chat, conversation, user


def test_a_chat_completion_arrives_with_text_and_usage(oai):
    answer = oai.chat.completions.create(model=MODEL, messages=conversation("hello"))
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == MODEL


def test_a_streamed_chat_completion_has_the_same_text_and_ends_with_usage(oai):
    whole = chat(oai, "stream me")
    stream = oai.chat.completions.create(
        model=MODEL,
        messages=conversation("stream me"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole
    assert len(chunks) > 5
    assert chunks[-1].usage.completion_tokens > 0


def test_a_chat_tool_call_and_its_result_make_two_turns_on_one_key(oai, mock):
    messages = conversation("What is the weather?")
    first = oai.chat.completions.create(model=MODEL, messages=messages, tools=[CHAT_TOOL])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == CITY_ARGUMENTS
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    second = oai.chat.completions.create(model=MODEL, messages=messages, tools=[CHAT_TOOL])
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content
    assert len(set(mock.keys_used())) == 1


def test_a_streamed_chat_tool_call_is_put_together_from_its_deltas(oai):
    stream = oai.chat.completions.create(
        model=MODEL, messages=conversation("weather?"), tools=[CHAT_TOOL], stream=True
    )
    name, arguments, finish = "", "", None
    for chunk in stream:
        choice = chunk.choices[0]
        for call in choice.delta.tool_calls or []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
        finish = choice.finish_reason or finish
    assert (name, json.loads(arguments), finish) == ("weather", CITY_ARGUMENTS, "tool_calls")


def test_a_response_arrives_with_text_and_usage(oai):
    response = oai.responses.create(model=MODEL, instructions="Be brief.", input="hello")
    assert response.status == "completed"
    assert response.output_text
    assert response.usage.output_tokens > 0


def test_a_streamed_response_has_every_event_in_order(oai):
    whole = oai.responses.create(model=MODEL, input="hello").output_text
    events = list(oai.responses.create(model=MODEL, input="hello", stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))


def test_a_responses_tool_call_and_its_result_make_two_turns_on_one_key(oai, mock):
    items = [user("What is the weather?")]
    first = oai.responses.create(model=MODEL, input=items, tools=[RESPONSES_TOOL])
    call = first.output[0]
    assert (call.type, call.name) == ("function_call", "weather")
    assert json.loads(call.arguments) == CITY_ARGUMENTS
    items.append(call.model_dump(exclude_none=True))
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = oai.responses.create(model=MODEL, input=items, tools=[RESPONSES_TOOL])
    assert second.output_text
    assert len(set(mock.keys_used())) == 1


def test_embeddings_come_one_per_input(oai):
    one = oai.embeddings.create(model="mock-embedding", input="a")
    many = oai.embeddings.create(model="mock-embedding", input=["a", "b", "c"])
    assert len(many.data) == 3
    assert many.data[0].embedding == one.data[0].embedding
    assert many.data[0].embedding != many.data[1].embedding


def test_models_can_be_listed_and_retrieved_with_the_path_as_the_client_wrote_it(oai, mock):
    assert list(oai.models.list())
    assert oai.models.retrieve("some-model").id == "some-model"
    # Not decoded and encoded again, as many a proxy does.
    odd = oai.models.with_raw_response.retrieve("maker%2Fmodel: free")
    sent = odd.http_request.url.raw_path.decode()
    targets = [request["target"] for request in mock.requests()]
    assert targets == ["/v1/models", "/v1/models/some-model", sent]
    assert "%" in sent


def test_the_provider_sees_exactly_one_credential_and_it_is_a_key_of_the_pool(proxy, mock):
    with openai_client(proxy, organization="org-mine", project="proj-mine") as client:
        chat(client)
    (request,) = mock.requests()
    assert request["key"] in KEYS
    assert len(request["credentials"]) == 1
    names = {name.lower() for name, _ in request["headers"]}
    assert not names & {"openai-organization", "openai-project"}
    assert PLACEHOLDER not in json.dumps(request)


def test_the_body_arrives_byte_for_byte(oai, mock):
    answer = oai.chat.completions.with_raw_response.create(
        model=MODEL, messages=conversation('naïve "quoted" 🦀\n\x00 text'), seed=7
    )
    sent = answer.http_request.content
    (request,) = mock.requests()
    assert request["body_bytes"] == len(sent)
    assert request["body"].encode() == sent


def test_a_long_conversation_goes_through(oai, mock):
    messages = conversation("x" * 1000)
    for number in range(400):
        messages.append({"role": "assistant", "content": "a" * 2000})
        messages.append(user("%d %s" % (number, "u" * 2000)))
    assert chat(oai, messages=messages)
    (request,) = mock.requests()
    assert request["body_bytes"] > 1500000
    assert request["body_complete"]


def test_a_client_with_the_root_as_its_base_url_works_too(proxy):
    with openai.OpenAI(base_url=proxy.url, api_key=PLACEHOLDER, max_retries=0) as client:
        assert chat(client)
