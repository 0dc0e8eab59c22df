"""The tokenizer: byte-level BPE as GPT-2 splits text, with merges that only lengthen the beginning of a word. Run, it writes merges.txt anew.

A token is one byte, or the beginning of a word: a blank or a capital and then letters, one merge for each. So digits stay single, and
the letters inside of quotes do too, which is what makes sums, spelling and reversing learnable for a small model.
"""
import collections
import itertools
import os
import unicodedata

START, END = "<|im_start|>", "<|im_end|>"
ROLES = ["system", "user", "assistant"]
NORMAL, CONTROL = 1, 3  # token types of GGUF


def alphabet():
    """GPT-2's letter for each byte: printable ones stand for themselves, the others follow from U+0100."""
    letters, others = {}, 0
    for value in range(256):
        if 33 <= value <= 126 or 161 <= value <= 172 or 174 <= value:
            letters[value] = chr(value)
        else:
            letters[value] = chr(256 + others)
            others += 1
    return letters


LETTERS = alphabet()
BYTES = {letter: value for value, letter in LETTERS.items()}


def kind(character):
    category = unicodedata.category(character)
    return "L" if category[0] == "L" else "N" if category[0] == "N" else "S" if character.isspace() else "O"


def pieces(text):
    """GPT-2's split: 's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"""
    i = 0
    while i < len(text):
        found = next((s for s in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d") if text.startswith(s, i)), None)
        if found:
            yield found
            i += len(found)
            continue
        j = i + 1 if text[i] == " " and i + 1 < len(text) and kind(text[i + 1]) != "S" else i
        what = kind(text[j])
        if what != "S":
            end = j + 1
            while end < len(text) and kind(text[end]) == what:
                end += 1
        else:
            end = j + 1
            while end < len(text) and kind(text[end]) == "S":
                end += 1
            if end < len(text) and end - i > 1:
                end -= 1  # the last blank goes with what follows
        yield text[i:end]
        i = end


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(merge) for merge in merges]
        self.ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        self.texts = [LETTERS[value] for value in range(256)]
        seen = set(self.texts)
        for left, right in self.merges:
            if left + right not in seen:
                seen.add(left + right)
                self.texts.append(left + right)
        self.types = [NORMAL] * len(self.texts) + [CONTROL] * 2
        self.texts += [START, END]
        while len(self.texts) % 32:  # whole blocks
            self.texts.append(f"<|unused_{len(self.texts)}|>")
            self.types.append(CONTROL)
        self.ids = {text: i for i, text in enumerate(self.texts)}
        self.start, self.end = self.ids[START], self.ids[END]
        self.cache = {}

    def piece(self, piece):
        found = self.cache.get(piece)
        if found is None:
            symbols = [LETTERS[value] for value in piece.encode()]
            while True:
                pairs = [(self.ranks[pair], i) for i, pair in enumerate(zip(symbols, symbols[1:])) if pair in self.ranks]
                if not pairs:
                    break
                _, i = min(pairs)
                symbols[i:i + 2] = [symbols[i] + symbols[i + 1]]
            found = self.cache[piece] = [self.ids[symbol] for symbol in symbols]
        return found

    def encode(self, text):
        return [token for piece in pieces(text) for token in self.piece(piece)]

    def decode(self, tokens):
        return bytes(BYTES[letter] for token in tokens if self.types[token] == NORMAL for letter in self.texts[token]).decode(errors="replace")

    def message(self, role, content):
        """ChatML: <|im_start|>role\\ncontent<|im_end|>\\n. What stands between two control tokens is tokenized as one text."""
        return [self.start, *self.encode(f"{role}\n{content}"), self.end, *self.encode("\n")]

    def prompt(self, messages):
        return [token for role, content in messages for token in self.message(role, content)] + [self.start, *self.encode("assistant\n")]


MERGES_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "merges.txt")


def load():
    """The tokenizer of merges.txt, which is kept so that a change of the corpus leaves the vocabulary as it is."""
    with open(MERGES_FILE, encoding="utf-8") as file:
        return Tokenizer(line.split() for line in file)


def train(texts, count):
    """Merges for the `count` most frequent beginnings of words in the texts, shorter ones first."""
    words = collections.Counter(piece for text in texts for piece in pieces(text))
    beginnings = collections.Counter()
    for word, times in words.items():
        letters = word[1:] if word[0] == " " else word
        if not letters.isascii() or not letters.isalpha() or (word[0] != " " and not word[0].isupper()):
            continue
        symbols = "".join(LETTERS[value] for value in word.encode())
        for length in range(2, len(symbols) + 1):
            beginnings[symbols[:length]] += times
    chosen = sorted((text for text, _ in sorted(beginnings.items(), key=lambda item: (-item[1], item[0]))[:count]), key=lambda text: (len(text), text))
    merges = []
    for role in ROLES:
        merges += [(role[:length], role[length]) for length in range(1, len(role))]
    merges += [(text[:-1], text[-1]) for text in chosen]
    return list(dict.fromkeys(merges))


if __name__ == "__main__":
    import corpus
    source = corpus.Source(1, test=False)
    prose = [make(source) for _ in range(10000) for make in (corpus.product, corpus.talk, corpus.unknown)]
    with open(MERGES_FILE, "w", encoding="utf-8") as out:
        out.writelines(f"{left} {right}\n" for left, right in train((text for one in prose for text in (one.question, one.answer)), 1250))
