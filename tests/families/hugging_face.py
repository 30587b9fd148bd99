"""Networks that others wrote: ``transformers``, of tiny random configurations; no download."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

IDS = torch.arange(18).view(2, 9)
IMAGE = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)
WORDS = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LAYERS = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip
SMALL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
PATCHES = {"image_size": 32, "patch_size": 8}
TWO = {"hidden_sizes": [16, 32], "depths": [1, 1]}
WAVES = {
    "conv_dim": (16, 16), "conv_kernel": (5, 3), "conv_stride": (2, 2),
    "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
PYRAMID = {
    "num_encoder_blocks": 2, "sr_ratios": [2, 1], "patch_sizes": [3, 3], "strides": [2, 2],
    "num_attention_heads": [1, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 16,
}  # fmt: skip
CLIP = {
    "text_config": {**WORDS, **LAYERS, "max_position_embeddings": 16},
    "vision_config": {**LAYERS, **PATCHES},
}

MODELS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "BERT": (
        "BertForSequenceClassification",
        {**WORDS, **LAYERS, "max_position_embeddings": 16},
        {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)},
    ),
    "DistilBERT": ("DistilBertModel", {**WORDS, **SMALL}, {"input_ids": IDS}),
    "GPT-2": (
        "GPT2LMHeadModel",
        {**WORDS, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 16},
        {"input_ids": IDS},
    ),
    "Llama": ("LlamaForCausalLM", {**WORDS, **LAYERS}, {"input_ids": IDS}),
    "T5": (
        "T5ForConditionalGeneration",
        {**WORDS, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
        {"input_ids": IDS, "decoder_input_ids": IDS},
    ),
    "ViT": ("ViTForImageClassification", {**LAYERS, **PATCHES}, IMAGE),
    "DINOv2": ("Dinov2Model", {**LAYERS, **PATCHES}, IMAGE),
    "Swin": (
        "SwinForImageClassification",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2],
         "num_heads": [2, 4], "window_size": 4},
        IMAGE,
    ),
    "ConvNeXt": ("ConvNextForImageClassification", {**TWO, "num_stages": 2}, IMAGE),
    "ResNet": ("ResNetForImageClassification", {**TWO, "embedding_size": 16}, IMAGE),
    "RegNet": (
        "RegNetForImageClassification", {**TWO, "embedding_size": 16, "groups_width": 8}, IMAGE,
    ),
    "MobileNet v2": (
        "MobileNetV2ForImageClassification", {"image_size": 32, "depth_multiplier": 0.25}, IMAGE,
    ),
    "SegFormer": ("SegformerForSemanticSegmentation", {**TWO, **PYRAMID}, IMAGE),
    "wav2vec 2.0": ("Wav2Vec2Model", {**LAYERS, **WAVES}, IMAGE.flatten(1)[:, :400]),
    "CLIP": ("CLIPModel", CLIP, {"input_ids": IDS, "pixel_values": IMAGE}),
}  # fmt: skip
"""class, configuration and example by family"""


def made(name: str) -> nn.Module:
    """Return the model of a family; ``transformers`` must be installed."""
    import transformers

    kind, settings, _ = MODELS[name]
    model = getattr(transformers, kind)
    return model(model.config_class(**settings))
