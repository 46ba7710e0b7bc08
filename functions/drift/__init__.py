"""Watch for drift: `collect` makes captured traffic a lake and profiles, `check` compares them with the reference."""
