#!/usr/bin/python3
"""Trains the demonstration model from nothing and writes it as a GGUF file. See README.md.

    tools/demo-model/train.py OUT.gguf [--steps N] [--seed N] [--checkpoint FILE]
"""
import argparse
import ctypes
import multiprocessing
import os
import sys
import time

try:
    import numpy  # noqa: F401
    import torch
except ImportError:
    sys.exit("error: python3-torch is missing\n"
             "hint: apt-get install --no-install-recommends python3-torch python3-numpy libopenblas0-openmp, and run it with /usr/bin/python3")

import corpus
import export
import tokenizer as tokenization
from model import Model, Shape
from torch.nn import functional as F

SEED = 1               # of the file in the repository
PROCESSES = 2         # of one thread each: they meet once a step, where threads would meet at every operation
BATCH = 2048          # tokens of a step and process, padding counted
STEPS = 4000
WARMUP = 60           # steps
COOLDOWN = 0.6        # share of the steps, the last ones, in which the rates go down to zero
MATRIX_RATE, EMBEDDING_RATE = 0.02, 0.004
DECAY = 0.05
MOMENTUM = 0.95
FIRST, RESULT = 3.0, 4.0  # how much more these tokens of an answer count
BLANK = tokenization.LETTERS[ord(" ")]
POOL = 64             # batches that are sorted by length together, so that little is padding


def orthogonal(update):
    """The nearest half-orthogonal matrix, by five steps of Newton and Schulz (Muon's coefficients)."""
    x = update / (update.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    for _ in range(5):
        a = x @ x.t()
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.t() if tall else x


class Parameters:
    """All weights in one block of shared memory, and for each process a block for its gradients."""

    def __init__(self, model):
        self.parameters = list(model.parameters())
        size = sum(one.numel() for one in self.parameters)
        self.weights, self.momentum = (torch.zeros(size).share_memory_() for _ in range(2))
        self.gradients = torch.zeros(PROCESSES, size).share_memory_()
        for one, view in zip(self.parameters, self.views(self.weights)):
            view.copy_(one.data)
            one.data = view

    def views(self, block):
        at = 0
        for one in self.parameters:
            yield block[at:at + one.numel()].view_as(one)
            at += one.numel()

    def use(self, process):
        """Lets this process write its gradients where the others see them."""
        for one, view in zip(self.parameters, self.views(self.gradients[process])):
            one.grad = view


def update_matrix(weight, gradient, momentum, parts, rate):
    """Muon: momentum whose matrix is made orthogonal before it is applied. About half the steps that Adam needs on these matrices."""
    momentum.lerp_(gradient, 1 - MOMENTUM)
    update = gradient.lerp(momentum, MOMENTUM)
    for matrix, part in zip(weight.chunk(parts), update.chunk(parts)):
        matrix.mul_(1 - rate * DECAY).add_(orthogonal(part), alpha=-rate * max(1, part.shape[0] / part.shape[1]) ** 0.5)


def encoded(tokenizer, messages):
    """(tokens, weights): a conversation, and for each token how much it counts. Only what the assistant says does, and long answers less for
    each token than short ones. What decides counts more: the first words, which choose among the answers, and a sum's result. Else the few
    digits of it would drown in prose."""
    tokens, weights = [], []
    for role, content in messages:
        message = tokenizer.message(role, content)
        head, counts = 1 + len(tokenizer.encode(f"{role}\n")), [0.0] * len(message)
        if role == "assistant":
            result = False
            for i in range(head, len(message) - 1):  # to the end of the turn, without the line's end behind it
                text = tokenizer.texts[message[i]]
                result = text == "=" or (result and (text.isdigit() or text in ("-", BLANK)))
                counts[i] = RESULT if result and text.isdigit() else FIRST if i < head + 2 else 1.0
        tokens += message
        weights += counts
    scale = max(1, sum(weight > 0 for weight in weights)) ** -0.5
    return tokens, [scale * weight for weight in weights]


def batches(tokenizer, seed, context):
    """Batches without end: conversations of similar length, padded at the end, where no token looks."""
    source = (encoded(tokenizer, messages) for messages in corpus.training(seed))
    source = (one for one in source if len(one[0]) <= context)
    shuffle = torch.Generator().manual_seed(seed)
    while True:
        pool, size = [], 0
        while size < BATCH * POOL:
            pool.append(next(source))
            size += len(pool[-1][0])
        pool.sort(key=lambda one: len(one[0]))
        made, batch = [], []
        for one in pool:
            if batch and (len(batch) + 1) * len(one[0]) > BATCH:
                made.append(batch)
                batch = []
            batch.append(one)
        for i in torch.randperm(len(made), generator=shuffle).tolist():
            length = len(made[i][-1][0])
            tokens = torch.zeros(len(made[i]), length, dtype=torch.long)
            weights = torch.zeros(len(made[i]), length)
            for row, (one, which) in enumerate(made[i]):
                tokens[row, :len(one)] = torch.tensor(one)
                weights[row, :len(one)] = torch.tensor(which)
            yield tokens, weights


def save(path, parameters, adam, step):
    torch.save({"weights": parameters.weights, "momentum": parameters.momentum, "adam": adam.state_dict(), "step": step}, path + ".new")
    os.replace(path + ".new", path)


def work(process, options, tokenizer, model, parameters, adam, first, barrier, losses):
    """One of the processes: each computes the gradients of batches of its own and updates every second matrix; the first does the rest."""
    torch.set_num_threads(1)
    parameters.use(process)
    data = batches(tokenizer, options.seed + 1 + process + PROCESSES * first, model.shape.context)
    matrices = []
    for layer in model.layers:
        matrices += [(layer.qkv.weight, 3), (layer.attn_output.weight, 1), (layer.gate_up.weight, 2), (layer.ffn_down.weight, 1)]
    mine = {id(matrix): parts for matrix, parts in matrices[process::PROCESSES]}
    began, shown = time.time(), 0.0
    for step in range(first, options.steps):
        rate = min(1, (step + 1) / WARMUP) * min(1, (options.steps - step) / (options.steps * COOLDOWN))
        tokens, weights = next(data)
        counts = weights[:, 1:] > 0
        hidden = model.hidden(tokens[:, :-1])[counts]
        loss = F.cross_entropy(model.logits(hidden), tokens[:, 1:][counts], reduction="none") @ weights[:, 1:][counts] / weights.sum()
        parameters.gradients[process].zero_()
        loss.backward()
        losses[process] = loss.item()
        barrier.wait()
        with torch.no_grad():
            gradient = parameters.gradients.mean(0)
            for weight, one, momentum in zip(parameters.parameters, parameters.views(gradient), parameters.views(parameters.momentum)):
                if id(weight) in mine:
                    update_matrix(weight, one, momentum, mine[id(weight)], MATRIX_RATE * rate)
            if process == 0:
                model.embedding.weight.grad = next(parameters.views(gradient))
                adam.param_groups[0]["lr"] = EMBEDDING_RATE * rate
                adam.step()
                parameters.use(process)
                shown += losses.mean().item() / 50
        barrier.wait()
        if process != 0:
            continue
        if (step + 1) % 50 == 0:
            minutes = (time.time() - began) / 60
            print(f"step {step + 1}  loss {shown:.4f}  {minutes:.1f} min, {minutes / (step + 1 - first) * (options.steps - step - 1):.0f} to go", flush=True)
            shown = 0.0
        if options.checkpoint and (step + 1) % 200 == 0:
            save(options.checkpoint, parameters, adam, step + 1)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out")
    arguments.add_argument("--steps", type=int, default=STEPS)
    arguments.add_argument("--seed", type=int, default=SEED, help="another one tells how far the figures spread")
    arguments.add_argument("--checkpoint", help="written now and then, and begun from where it is there")
    options = arguments.parse_args()
    # Memory is kept instead of being given back after each operation: page faults took half of the time.
    for parameter, value in ((-1, 1 << 30), (-2, 1 << 27), (-3, 1 << 30)):  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
        ctypes.CDLL(None).mallopt(parameter, value)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)

    tokenizer = tokenization.load()
    model = Model(Shape(vocabulary=len(tokenizer.texts)))
    print(f"{sum(one.numel() for one in model.parameters()):,} parameters, {len(tokenizer.texts)} tokens", flush=True)
    parameters = Parameters(model)
    assert parameters.parameters[0] is model.embedding.weight
    adam = torch.optim.Adam([model.embedding.weight], lr=EMBEDDING_RATE, betas=(0.9, 0.98))
    first = 0
    if options.checkpoint and os.path.exists(options.checkpoint):
        kept = torch.load(options.checkpoint)
        parameters.weights.copy_(kept["weights"])
        parameters.momentum.copy_(kept["momentum"])
        adam.load_state_dict(kept["adam"])
        first = kept["step"]

    fork = multiprocessing.get_context("fork")
    barrier, losses = fork.Barrier(PROCESSES, timeout=600), torch.zeros(PROCESSES).share_memory_()
    others = [fork.Process(target=work, args=(process, options, tokenizer, model, parameters, adam, first, barrier, losses), daemon=True)
              for process in range(1, PROCESSES)]
    for other in others:
        other.start()
    work(0, options, tokenizer, model, parameters, adam, first, barrier, losses)
    for other in others:
        other.join()
    export.write(options.out, model, tokenizer)
    print(f"written: {options.out}, {os.path.getsize(options.out):,} bytes")


if __name__ == "__main__":
    main()
