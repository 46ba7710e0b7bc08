"""Collect what people say of answers, each piece tied to a signed receipt, and tell when there is enough to learn."""
