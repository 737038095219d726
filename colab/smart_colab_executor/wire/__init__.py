"""What goes over the wire, as types. API.md has an example of each; the bridge's are in its `src/wire/`."""
