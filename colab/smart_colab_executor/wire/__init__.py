"""The protocol as types. API.md has an example of each; the bridge's types are in its `src/wire/`."""

API_VERSION = 2
"""The version of the API that both sides name in `X-Smart-Colab-Api`."""
