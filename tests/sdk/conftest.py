"""Fixtures: one mock provider for all tests, one fresh proxy and fresh clients for each."""

import os

import anthropic
import openai
import pytest

from servers import Mock, Proxy

# Three accounts with one key each and no limits; tests script what goes wrong.
KEYS = ("sk-mock-one-1111", "sk-mock-two-2222", "sk-mock-three-3333")
# What clients have instead of a key; it must never reach the provider.
PLACEHOLDER = "sk-placeholder-of-the-client"
# Time an SDK waits for an answer, in seconds.
CLIENT_LIMIT = 20
# Environment variables that change what an SDK sends or where.
SDK_PREFIXES = ("OPENAI_", "ANTHROPIC_")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def pytest_configure(config):
    for name in list(os.environ):
        if name.startswith(SDK_PREFIXES) or name.upper() in PROXY_VARIABLES:
            del os.environ[name]


@pytest.fixture(scope="session")
def _mock():
    mock = Mock(["account-%d:%s" % pair for pair in enumerate(KEYS, 1)])
    yield mock
    mock.stop()


@pytest.fixture
def mock(_mock):
    _mock.reset()
    return _mock


@pytest.fixture
def start_proxy(mock, tmp_path):
    """Starts proxies that end with the test: start_proxy(keys=…, environment=…, name=…).

    Proxies of one name share their home, as one that was restarted does.
    """
    proxies = []

    def start(keys=KEYS, environment=None, name="proxy"):
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        proxy = Proxy(home, mock.url, keys, environment)
        proxies.append(proxy)
        return proxy

    yield start
    for proxy in proxies:
        died = None if proxy.stopped else proxy.process.poll()
        proxy.stop()
        # Shown by pytest when the test fails.
        print("the proxy wrote:\n" + proxy.output())
        assert died is None, "the proxy ended during the test, with code %s" % died


@pytest.fixture
def proxy(start_proxy):
    return start_proxy()


def openai_client(proxy, kind=openai.OpenAI, **options):
    options.setdefault("max_retries", 0)
    return kind(
        base_url=proxy.url + "/v1", api_key=PLACEHOLDER, timeout=CLIENT_LIMIT, **options
    )


def anthropic_client(proxy, kind=anthropic.Anthropic, **options):
    options.setdefault("max_retries", 0)
    return kind(base_url=proxy.url, api_key=PLACEHOLDER, timeout=CLIENT_LIMIT, **options)


@pytest.fixture
def oai(proxy):
    with openai_client(proxy) as client:
        yield client


@pytest.fixture
def ant(proxy):
    with anthropic_client(proxy) as client:
        yield client
