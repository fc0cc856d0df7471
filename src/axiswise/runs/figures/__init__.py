"""The papers' figures, made again."""
