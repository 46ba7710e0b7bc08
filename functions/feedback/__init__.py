"""Collect what people say of answers: thumbs, ratings, comments and the right label, each tied to a signed receipt."""
