"""The network: a llama, as llama.cpp computes it, in float32."""
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    width: int = 160
    layers: int = 5
    heads: int = 4
    head: int = 32          # values of a head
    feed_forward: int = 448
    context: int = 512      # tokens
    epsilon: float = 1e-5
    rope_base: float = 10000.0


class Norm(torch.autograd.Function):
    """RMS norm without gains: the matrix after it can scale as well. By hand, because passes over memory are what training costs."""

    @staticmethod
    def forward(context, x, epsilon):
        inverse = (x.square().mean(-1, keepdim=True) + epsilon).rsqrt_()
        y = x * inverse
        context.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(context, gradient):
        y, inverse = context.saved_tensors
        mean = torch.linalg.vecdot(gradient, y).unsqueeze(-1) / y.shape[-1]
        return torch.addcmul(gradient, y, mean, value=-1).mul_(inverse), None


class Gate(torch.autograd.Function):
    """silu(gate) * up, of one matrix with both."""

    @staticmethod
    def forward(context, both):
        gate, up = both.chunk(2, -1)
        context.save_for_backward(both)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(context, gradient):
        gate, up = context.saved_tensors[0].chunk(2, -1)
        result = torch.empty_like(context.saved_tensors[0])
        left, right = result.chunk(2, -1)
        sigmoid = torch.sigmoid(gate)
        silu = sigmoid * gate
        torch.mul(silu, gradient, out=right)
        left.copy_(torch.addcmul(silu, sigmoid, 1 - silu).mul_(up).mul_(gradient))
        return result


def rotate(x, turns):
    """RoPE on neighbouring pairs, which is llama.cpp's convention for this architecture: no permutation on export."""
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turns).flatten(-2)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.qkv = nn.Linear(shape.width, 3 * shape.heads * shape.head, bias=False)
        self.attn_output = nn.Linear(shape.heads * shape.head, shape.width, bias=False)
        self.gate_up = nn.Linear(shape.width, 2 * shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x, turns, mask):
        batch, length, _ = x.shape
        qk, v = self.qkv(Norm.apply(x, self.shape.epsilon)).view(batch, length, 3 * self.shape.heads, self.shape.head).split(
            (2 * self.shape.heads, self.shape.heads), 2)
        q, k = rotate(qk, turns).transpose(1, 2).reshape(batch, 2, self.shape.heads, length, self.shape.head).unbind(1)
        q, k, v = (part.reshape(-1, length, self.shape.head) for part in (q, k, v.transpose(1, 2)))
        weights = torch.softmax(torch.baddbmm(mask, q, k.transpose(1, 2), alpha=1 / math.sqrt(self.shape.head)), -1)
        mixed = torch.bmm(weights, v).view(batch, self.shape.heads, length, self.shape.head).transpose(1, 2).reshape(batch, length, -1)
        x = x + self.attn_output(mixed)
        return x + self.ffn_down(Gate.apply(self.gate_up(Norm.apply(x, self.shape.epsilon))))


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)  # also the output
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        nn.init.normal_(self.embedding.weight, std=0.05)
        for layer in self.layers:
            for matrix in (layer.qkv, layer.gate_up):
                nn.init.normal_(matrix.weight, std=shape.width ** -0.5 * 0.8)
            for matrix in (layer.attn_output, layer.ffn_down):
                nn.init.normal_(matrix.weight, std=0.02 / math.sqrt(2 * shape.layers))
        angles = torch.outer(torch.arange(shape.context).float(), shape.rope_base ** (-torch.arange(0, shape.head, 2).float() / shape.head))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles).unsqueeze(1), persistent=False)

    def hidden(self, tokens):
        length = tokens.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.turns[:length], mask)
        return Norm.apply(x, self.shape.epsilon)

    def logits(self, hidden):
        return hidden @ self.embedding.weight.t()
