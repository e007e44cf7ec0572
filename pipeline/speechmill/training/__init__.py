"""Training and evaluation of models. Nothing that a run needs imports it."""
