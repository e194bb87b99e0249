"""Errors reach the SDK as the provider's own, or as ones its SDK understands."""

import anthropic
import openai
import pytest

from conftest import KEYS, anthropic_client, openai_client
from talk import chat, message

# A wait that no client would sit out, in seconds.
LONG_WAIT = 90


def test_a_bad_request_comes_back_at_once_with_the_providers_words(oai, mock):
    body = '{"error":{"message":"temperature is too high","type":"invalid_request_error"}}'
    mock.status_fault(400, body=body)
    with pytest.raises(openai.BadRequestError) as caught:
        chat(oai)
    assert "temperature is too high" in str(caught.value)
    assert len(mock.keys_used()) == 1


def test_an_anthropic_bad_request_comes_back_at_once_with_the_providers_words(ant, mock):
    body = '{"type":"error","error":{"type":"invalid_request_error","message":"too long"}}'
    mock.status_fault(400, body=body)
    with pytest.raises(anthropic.BadRequestError) as caught:
        message(ant)
    assert "too long" in str(caught.value)
    assert len(mock.keys_used()) == 1


def test_something_unknown_is_a_404_and_touches_one_key_only(oai, mock):
    with pytest.raises(openai.NotFoundError):
        oai.get("/no/such/thing", cast_to=object)
    assert len(mock.keys_used()) == 1


def test_an_unknown_path_is_an_anthropic_404(ant, mock):
    mock.status_fault(404)
    with pytest.raises(anthropic.NotFoundError) as caught:
        message(ant)
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert len(mock.keys_used()) == 1


@pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
def test_when_every_key_is_exhausted_the_client_learns_when_to_come_back(sdk, proxy, mock):
    for number, key in enumerate(KEYS):
        wait = {"retry-after": str(LONG_WAIT + 100 * number)}
        mock.status_fault(429, key=key, headers=wait)
    if sdk is openai:
        client, ask = openai_client(proxy), chat
    else:
        client, ask = anthropic_client(proxy), message
    with client:
        with pytest.raises(sdk.RateLimitError):
            ask(client)
        assert sorted(mock.keys_used()) == sorted(KEYS), "each key is tried once"
        with pytest.raises(sdk.RateLimitError) as caught:
            ask(client)
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= LONG_WAIT
    assert 1 <= int(headers["retry-after-ms"]) <= LONG_WAIT * 1000
    assert "error" in caught.value.response.json()
    assert len(mock.keys_used()) == len(KEYS), "no key is tried again before its time"


def test_when_every_key_is_refused_the_providers_own_answer_passes(start_proxy, mock):
    proxy = start_proxy(keys=["sk-wrong-one-1111", "sk-wrong-two-2222"])
    with openai_client(proxy) as client, pytest.raises(openai.AuthenticationError) as caught:
        chat(client)
    assert caught.value.code == "invalid_api_key"
    assert "Incorrect API key provided" in str(caught.value)
    assert len(mock.keys_used()) == 2


def test_when_every_key_is_refused_the_anthropic_answer_passes(start_proxy):
    proxy = start_proxy(keys=["sk-wrong-one-1111", "sk-wrong-two-2222"])
    with anthropic_client(proxy) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            message(client)
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_an_overloaded_provider_is_reported_as_such_after_few_tries(ant, proxy, mock):
    mock.status_fault(529)
    with pytest.raises(anthropic.APIStatusError) as caught:
        message(ant)
    assert caught.value.status_code == 529
    assert caught.value.body["error"]["type"] == "overloaded_error"
    assert 1 <= len(mock.keys_used()) <= 3
    assert {key["status"] for key in proxy.health()["keys"]} == {"ready"}, "no key's fault"


def test_a_provider_that_is_down_is_a_server_error(start_proxy, mock):
    proxy = start_proxy()
    mock.fault(kind="reset")
    with openai_client(proxy) as client, pytest.raises(openai.InternalServerError) as caught:
        chat(client)
    assert caught.value.status_code == 502
    assert "error" in caught.value.response.json()


def test_the_retries_of_the_sdk_itself_still_work(proxy, mock):
    mock.status_fault(429, times=3, headers={"retry-after": "1"})
    with openai_client(proxy, max_retries=3) as client:
        assert chat(client)
