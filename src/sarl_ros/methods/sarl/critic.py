"""The critics of SARL: an ensemble Q(image, proprio, prompt) over one shared CNN, and its losses as pure functions.

Shapes: E critics, B states, K candidate prompts, N rows of the prompt pool, D state features, W hidden units.
After arXiv 2606.31958 (64x64 RGB, 8-D proprio, one-hot prompt, 3x128 MLP with LayerNorm, minimum over the critics in
the target). The CNN is that of nakamotoo/dsrl_pi0, whose other sizes the paper shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sarl_ros.store.images import CRITIC_PIXELS

PROPRIO = 8
CHANNELS = 32
BOTTLENECK = 50
# Smaller first weights of the last layer: with usual ones critics start 0.4 apart, though values span 1 in all.
LAST_LAYER_SCALE = 0.1


class CriticEnsemble(nn.Module):
    """E critics as batched matrix products.

    The first layer is split: its product with the one-hot is a look-up, so K candidates share the state's part.

    Args:
        prompts: N, rows of the one-hot.
        critics: E.
        hidden: W.
        strides: of the four 3x3 convolutions.
        bias: value that every critic starts near.
    """

    def __init__(self, prompts: int, critics: int, hidden: int, strides: tuple[int, ...], bias: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, CRITIC_PIXELS
        for stride in strides:
            layers += [
                _Stem() if stride == 2 and channels == 3 else nn.Conv2d(channels, CHANNELS, 3, stride),
                nn.ReLU(),
            ]
            channels, side = CHANNELS, (side - 3) // stride + 1
        self.convolutions = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bottleneck = nn.Linear(CHANNELS * side * side, BOTTLENECK)
        self.bottleneck_norm = nn.LayerNorm(BOTTLENECK)
        features = BOTTLENECK + PROPRIO
        fan = features + prompts
        self.state_weight = _uniform(fan, critics, features, hidden)
        self.prompt_weight = _uniform(fan, critics, prompts, hidden)
        self.first_bias = _uniform(fan, critics, 1, hidden)
        self.hidden_weights = nn.ParameterList(_uniform(hidden, critics, hidden, hidden) for _ in range(2))
        self.hidden_biases = nn.ParameterList(_uniform(hidden, critics, 1, hidden) for _ in range(2))
        self.gains = nn.ParameterList(nn.Parameter(torch.ones(critics, 1, hidden)) for _ in range(3))
        self.offsets = nn.ParameterList(nn.Parameter(torch.zeros(critics, 1, hidden)) for _ in range(3))
        self.last_weight = _uniform(hidden / LAST_LAYER_SCALE**2, critics, hidden, 1)
        self.last_bias = nn.Parameter(torch.full((critics, 1, 1), bias))

    def features(self, images: Tensor, proprio: Tensor) -> Tensor:
        """Images uint8 (B, 64, 64, 3) and proprio float32 (B, 8) to (B, D)."""
        pixels = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
        encoded = self.bottleneck(self.convolutions(pixels).flatten(1))
        return torch.cat([torch.tanh(self.bottleneck_norm(encoded)), proprio], 1)

    def values(self, features: Tensor, rows: Tensor) -> Tensor:
        """Q of prompts `rows` int64 (B, K) in states (B, D), as (E, B, K)."""
        state = torch.matmul(features, self.state_weight) + self.first_bias
        critics, batch, hidden = state.shape
        candidates = rows.shape[1]
        by_prompt = self.prompt_weight[:, rows.reshape(-1)]
        joint = state[:, :, None] + by_prompt.view(critics, batch, candidates, hidden)
        layer = self._normalise(joint.reshape(critics, batch * candidates, hidden), 0)
        for number, (weight, bias) in enumerate(zip(self.hidden_weights, self.hidden_biases, strict=True), 1):
            layer = self._normalise(torch.baddbmm(bias, layer, weight), number)
        return torch.baddbmm(self.last_bias, layer, self.last_weight).view(critics, batch, candidates)

    def forward(self, images: Tensor, proprio: Tensor, rows: Tensor) -> Tensor:
        return self.values(self.features(images, proprio), rows)

    def _normalise(self, layer: Tensor, number: int) -> Tensor:
        normal = functional.layer_norm(layer, layer.shape[-1:])
        return functional.relu(torch.addcmul(self.offsets[number], normal, self.gains[number]))


class _Stem(nn.Conv2d):
    """The 3x3 convolution of stride 2 over RGB, computed as a 2x2 one over 2x2 pixel blocks: a fifth of the time.

    Convolution kernels are slow with three input channels; twelve suit them better. The result is the same.
    """

    def __init__(self) -> None:
        super().__init__(3, CHANNELS, 3, 2)

    def forward(self, input: Tensor) -> Tensor:
        batch, _, height, width = input.shape
        blocks = input.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, 3)
        blocks = blocks.permute(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, 12).permute(0, 3, 1, 2)
        weight = functional.pad(self.weight, (0, 1, 0, 1)).view(CHANNELS, 3, 2, 2, 2, 2)
        return functional.conv2d(blocks, weight.permute(0, 3, 5, 1, 2, 4).reshape(CHANNELS, 12, 2, 2), self.bias)


def _uniform(fan: float, *shape: int) -> nn.Parameter:
    return nn.Parameter((torch.rand(*shape) * 2 - 1) / math.sqrt(fan))


def soft_policy(values: Tensor, offered: Tensor, temperature: float) -> Tensor:
    """softmax(Q / T) over the offered candidates: values (..., K), offered bool (..., K) to probabilities (..., K).

    Temperature 0 is greedy: all weight on the best candidate, on the first of equals.
    """
    masked = values.masked_fill(~offered, -math.inf)
    if temperature == 0:
        return functional.one_hot(masked.argmax(-1), values.shape[-1]).to(values.dtype)
    return torch.softmax(masked / temperature, -1)


def soft_value(values: Tensor, offered: Tensor, temperature: float) -> Tensor:
    """Value of states for the bootstrap: target critics (E, B, K) and offered (B, K) to (B,).

    The expectation, under the policy that acts (softmax of the mean over critics), of the minimum over critics.
    """
    policy = soft_policy(values.mean(0), offered, temperature)
    return (policy * values.amin(0)).sum(-1)


def td_target(reward: Tensor, done: Tensor, next_value: Tensor, gamma: float) -> Tensor:
    """r + gamma (1 - done) V(s'), each (B,). `done` is 1 after success only: failure and time-out bootstrap."""
    return reward + gamma * (1 - done) * next_value


def critic_loss(values: Tensor, target: Tensor) -> Tensor:
    """Squared error of (E, B) against the common target (B,): mean over states, sum over critics."""
    return (values - target).square().mean(1).sum()


def crop(padded: Sequence[Tensor], offsets: Sequence[tuple[int, int]], side: int) -> Tensor:
    """Windows of `side` pixels at (row, column) offsets of images (S, S, 3), as (B, side, side, 3).

    With images padded by a margin of edge pixels and offsets drawn from 0 .. 2 margin it is the random crop of DrQ
    (arXiv 2004.13649).
    """
    windows = zip(padded, offsets, strict=True)
    return torch.stack([image[row : row + side, column : column + side] for image, (row, column) in windows])
