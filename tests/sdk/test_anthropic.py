"""Everything a program does with the official Anthropic SDK works through the proxy."""

import json

from conftest import KEYS, PLACEHOLDER
from talk import ANTHROPIC_TOOL, CITY_ARGUMENTS, MODEL, message, user


def test_a_message_arrives_with_text_and_usage(ant):
    answer = ant.messages.create(model=MODEL, max_tokens=64, messages=[user("hello")])
    assert answer.content[0].text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


def test_a_streamed_message_has_the_same_text_and_a_final_message(ant):
    plain = ant.messages.create(model=MODEL, max_tokens=64, messages=[user("stream me")])
    whole = plain.content[0].text
    with ant.messages.stream(
        model=MODEL, max_tokens=64, messages=[user("stream me")]
    ) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(pieces) == whole
    assert len(pieces) > 5
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == plain.usage.output_tokens


def test_a_tool_call_and_its_result_make_two_turns_on_one_key(ant, mock):
    messages = [user("What is the weather?")]
    options = {"model": MODEL, "max_tokens": 64, "tools": [ANTHROPIC_TOOL]}
    first = ant.messages.create(messages=messages, **options)
    call = first.content[0]
    assert first.stop_reason == "tool_use"
    assert (call.type, call.name, call.input) == ("tool_use", "weather", CITY_ARGUMENTS)
    messages.append({"role": "assistant", "content": [call.model_dump(exclude_none=True)]})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages.append({"role": "user", "content": [result]})
    second = ant.messages.create(messages=messages, **options)
    assert second.stop_reason == "end_turn"
    assert second.content[0].text
    assert len(set(mock.keys_used())) == 1


def test_a_streamed_tool_call_is_put_together_from_its_deltas(ant):
    with ant.messages.stream(
        model=MODEL, max_tokens=64, tools=[ANTHROPIC_TOOL], messages=[user("weather?")]
    ) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert final.content[0].input == CITY_ARGUMENTS


def test_tokens_can_be_counted(ant):
    count = ant.messages.count_tokens(model=MODEL, messages=[user("hello " * 100)])
    assert count.input_tokens > 50


def test_models_can_be_listed(ant):
    models = list(ant.models.list())
    assert models
    assert models[0].type == "model"


def test_a_long_prompt_is_read_from_the_cache_of_its_account_on_the_next_turn(ant):
    block = {"type": "text", "text": "word " * 8000, "cache_control": {"type": "ephemeral"}}
    options = {"model": MODEL, "max_tokens": 16, "system": [block]}
    messages = [user("one")]
    first = ant.messages.create(messages=messages, **options)
    messages += [{"role": "assistant", "content": first.content[0].text}, user("two")]
    second = ant.messages.create(messages=messages, **options)
    assert first.usage.cache_read_input_tokens == 0
    assert second.usage.cache_read_input_tokens > 1000


def test_the_provider_sees_exactly_one_credential_and_it_is_a_key_of_the_pool(ant, mock):
    message(ant)
    (request,) = mock.requests()
    assert request["key"] in KEYS
    assert len(request["credentials"]) == 1
    assert PLACEHOLDER not in json.dumps(request)
    assert "anthropic-version" in {name.lower() for name, _ in request["headers"]}
