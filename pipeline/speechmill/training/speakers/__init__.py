"""Evaluates speaker models."""
