"""Trains and measures ASR models."""
