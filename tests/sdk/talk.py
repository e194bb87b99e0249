"""What the tests say to a model, and the shortest way to say it."""

MODEL = "mock-large"
SYSTEM = "You are a helpful assistant. Answer in few words."

CITY_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "unit"],
}
# What the mock answers for that schema.
CITY_ARGUMENTS = {"city": "text", "unit": "C"}

CHAT_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "Weather", "parameters": CITY_SCHEMA},
}
RESPONSES_TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Weather",
    "parameters": CITY_SCHEMA,
    "strict": False,
}
ANTHROPIC_TOOL = {"name": "weather", "description": "Weather", "input_schema": CITY_SCHEMA}


def user(text):
    return {"role": "user", "content": text}


def conversation(text):
    return [{"role": "system", "content": SYSTEM}, user(text)]


def chat(client, text="hello", **options):
    """One chat completion; the answer's text."""
    messages = options.pop("messages", None) or conversation(text)
    answer = client.chat.completions.create(model=MODEL, messages=messages, **options)
    return answer.choices[0].message.content


def message(client, text="hello", **options):
    """One Anthropic message; the answer's text."""
    messages = options.pop("messages", None) or [user(text)]
    options.setdefault("max_tokens", 64)
    answer = client.messages.create(model=MODEL, system=SYSTEM, messages=messages, **options)
    return answer.content[0].text
