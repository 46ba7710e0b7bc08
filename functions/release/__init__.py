"""Let a new version through only when it has proved itself; take it back in one step."""
