"""Mel tokens: a clip's spectrogram as integers that a TTS model of TorToiSe's kind learns to predict."""
