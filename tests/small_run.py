"""The configuration of a run that is finished in seconds; what it finds is worth nothing."""

from __future__ import annotations

from hypernas.config import Config

RUN = Config(
    data="digits",
    options={"width": 4, "cells": 1, "nodes": 2},
    steps=40,
    trials=40,
    finalists=2,
    seeds=2,
    epochs=1,
    best_epochs=1,
    batch=32,
    examples=600,
    score_images=100,
    workers=1,
    survey=300,
)
