"""Builds what the layers hold; `scripts/build` is its command, `sam build` its caller."""
