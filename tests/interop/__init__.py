"""Exports, read by the trainers' own code: `pytest -n 0 -rs -m interop`. Readers are no dependencies of ours."""
