"""The peer that training steps are timed beside: GPT-2 in PyTorch, with fused causal attention."""

from __future__ import annotations

from typing import Any

from gpt_jax.config import ModelConfig


def torch_gpt(config: ModelConfig) -> Any:
    """A `torch.nn.Module` of tokens `(B, T)` to logits `(B, T, V)`: pre-LN, dense attention, without dropout."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    width, heads = config.d_model, config.n_head

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = self.qkv(self.ln_1(x)).view(b, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).reshape(b, t, width))
            return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))

    class TorchGPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(config.vocab_size, width), nn.Embedding(config.context_length, width)
            self.blocks, self.ln_f = nn.Sequential(*(Block() for _ in range(config.n_layer))), nn.LayerNorm(width)
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, std=0.02)

        def forward(self, tokens):
            h = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
            return self.ln_f(self.blocks(h)) @ self.wte.weight.T

    torch.manual_seed(0)
    return TorchGPT()
