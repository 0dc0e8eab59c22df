#!/usr/bin/python3
"""Asks the model what was kept out of its training, on the real engine at temperature 0. See README.md.

    tools/demo-model/evaluate.py MODEL.gguf [--each N] [--show] [--engine-dir DIR]      figures for each family
    tools/demo-model/evaluate.py MODEL.gguf --ask "QUESTION" [--system TEXT]            one answer
    tools/demo-model/evaluate.py MODEL.gguf --speed                                     tokens a second
"""
import argparse
import collections
import sys
import time

try:
    import numpy
except ImportError:
    sys.exit("error: python3-numpy is missing\nhint: apt-get install --no-install-recommends python3-numpy, and run it with /usr/bin/python3")

import corpus
import tokenizer as tokenization
from engine import Engine

SEED = 7
LONGEST = 420  # tokens of an answer


def read_tokenizer(path):
    """The vocabulary and the merges out of the file itself."""
    import struct
    with open(path, "rb") as file:
        data = file.read()
    at = 24

    def take(form):
        nonlocal at
        result = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return result[0]

    def text():
        nonlocal at
        length = take("Q")
        at += length
        return data[at - length:at].decode()

    def item(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, count = take("I"), take("Q")
            return [item(inner) for _ in range(count)]
        return take({4: "I", 5: "i", 6: "f", 7: "?"}[kind])

    metadata = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        key = text()
        metadata[key] = item(take("I"))
    result = tokenization.Tokenizer(merge.split(" ") for merge in metadata["tokenizer.ggml.merges"])
    assert result.texts == metadata["tokenizer.ggml.tokens"]
    return result


class Speaker:
    def __init__(self, path, directory=None):
        self.tokenizer, self.engine = read_tokenizer(path), Engine(path, directory=directory)

    def best(self, tokens):
        return int(numpy.ctypeslib.as_array(self.engine.logits(tokens), (self.engine.count,)).argmax())

    def answer(self, messages):
        """(text, whether it ended by itself)"""
        self.engine.forget()
        prompt, tokens = self.tokenizer.prompt(messages), []
        token = self.best(prompt)
        while token != self.tokenizer.end and len(tokens) < LONGEST and len(prompt) + len(tokens) < self.engine.size - 1:
            tokens.append(token)
            token = self.best([token])
        return self.tokenizer.decode(tokens), token == self.tokenizer.end


def figures(speaker, each, show):
    right, ended, count = collections.Counter(), collections.Counter(), collections.Counter()
    for family, messages in corpus.evaluation(SEED, each):
        text, by_itself = speaker.answer(messages[:-1])
        expected = messages[-1][1]
        count[family] += 1
        ended[family] += by_itself
        right[family] += text == expected
        if show and text != expected:
            print(f"--- {family}", *(f"{role}: {content}" for role, content in messages[:-1]), f"said:     {text}", f"expected: {expected}", sep="\n")
    print(f"{'family':<14}{'right':>8}{'ended':>8}{'asked':>8}")
    for family in count:
        print(f"{family:<14}{right[family] / count[family]:>8.1%}{ended[family] / count[family]:>8.1%}{count[family]:>8}")
    print(f"{'all':<14}{sum(right.values()) / sum(count.values()):>8.1%}{sum(ended.values()) / sum(count.values()):>8.1%}{sum(count.values()):>8}")


def speed(speaker):
    prompt = speaker.tokenizer.prompt([("user", "What happens to my words on their way to the model?")])
    best = 0
    for _ in range(5):
        speaker.engine.forget()
        token = speaker.best(prompt)
        began = time.perf_counter()
        for _ in range(300):
            token = speaker.best([token])
        best = max(best, 300 / (time.perf_counter() - began))
    print(f"{best:,.0f} tokens a second on one thread")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("model")
    arguments.add_argument("--each", type=int, default=200)
    arguments.add_argument("--show", action="store_true", help="print what was wrong")
    arguments.add_argument("--ask")
    arguments.add_argument("--system")
    arguments.add_argument("--speed", action="store_true")
    arguments.add_argument("--engine-dir")
    options = arguments.parse_args()
    speaker = Speaker(options.model, options.engine_dir)
    if options.ask:
        print(speaker.answer(([("system", options.system)] if options.system else []) + [("user", options.ask)])[0])
    elif options.speed:
        speed(speaker)
    else:
        figures(speaker, options.each, options.show)


if __name__ == "__main__":
    main()
