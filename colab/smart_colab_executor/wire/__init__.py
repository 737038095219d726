"""The protocol as types. API.md has an example of each; the bridge's types are in its `src/wire/`."""
