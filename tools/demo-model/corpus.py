"""The corpus: conversations, generated from the texts in corpus/ and by construction.

A conversation is a list of (role, content). What the model must never have seen in training is kept apart by construction:
 - "phrasing": lines "test:" of the texts are used in the evaluation only;
 - "value": sums, words, names and numbers are held out by a hash of the value, whichever family uses them.
"""
import hashlib
import os
import random
import re

HERE = os.path.dirname(os.path.abspath(__file__))

DEFINE = [
    "What is {}?", "What's {}?", "What are {}?", "Explain {}.", "Can you explain {}?", "Tell me about {}.", "Define {}.",
    "What do you mean by {}?", "What does {} mean?", "Describe {}.", "What can you tell me about {}?", "{}?", "Explain {} to me.",
    "Please explain {}.", "I do not know what {} is.", "Tell me what {} is.", "what is {} exactly?", "What do you know about {}?",
    "What exactly is {}?", "Could you explain what {} is?", "Explain what {} is.", "In short, what is {}?",
]
DEFINE_TEST = ["I would like to know what {} is.", "Could you describe {} to me?", "Do you know what {} is?", "Give me a definition of {}."]
HOWTO = [
    "How do I {}?", "How can I {}?", "How to {}?", "How do you {}?", "I want to {}.", "Show me how to {}.", "Tell me how to {}.",
    "What do I have to do to {}?", "What is the command to {}?", "Can you explain how to {}?", "How does one {}?", "I would like to {}.",
    "How would I {}?", "What must I do to {}?", "Can I {}?",
]
HOWTO_TEST = ["Please say how one can {}.", "In which way do I {}?", "I need to {}, how does it go?"]


# --- The texts

class Topic:
    def __init__(self, source, name):
        self.source, self.name = source, name
        self.questions, self.tests, self.define, self.howto = [], [], [], []
        self.answer, self.more = None, None

    @property
    def brief(self):
        """The first sentence: up to a full stop, question or exclamation mark before a blank and a capital."""
        found = re.search(r"[.!?](?= [A-Z])", self.answer)
        return self.answer[:found.end()] if found else self.answer


def expand(text):
    """All texts that {a|b|} stands for."""
    found = re.search(r"\{([^{}]*)\}", text)
    if not found:
        return [re.sub(r" +", " ", text).strip()]
    return [one for part in found.group(1).split("|") for one in expand(text[:found.start()] + part + text[found.end():])]


def read_topics(name):
    topics = []
    with open(os.path.join(HERE, "corpus", name + ".txt"), encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            kind, _, text = line.partition(":")
            text = text.strip()
            if kind == "topic":
                topics.append(Topic(name, text))
            elif kind == "q":
                topics[-1].questions.append(expand(text))
            elif kind == "test":
                topics[-1].tests += expand(text)
            elif kind == "define":
                topics[-1].define += expand(text)
            elif kind == "howto":
                topics[-1].howto += expand(text)
            elif kind == "a":
                topics[-1].answer = text
            elif kind == "more":
                topics[-1].more = text
            else:
                raise ValueError(f"{name}.txt line {number}: unknown kind {kind!r}")
    return topics


def read_words():
    words = {}
    with open(os.path.join(HERE, "corpus", "words.txt"), encoding="ascii") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                kind, _, text = line.partition(":")
                words.setdefault(kind, []).extend(text.split())
    return {kind: sorted(set(found)) for kind, found in words.items()}


PRODUCT, TALK, UNKNOWN = read_topics("product"), read_topics("talk"), read_topics("unknown")
WORDS = read_words()
PLAIN = sorted(set(WORDS["noun"] + WORDS["adj"]))


def held_out(kind, value, share=0.12):
    """Whether a value belongs to the evaluation. The same on every machine."""
    digest = hashlib.sha256(f"{kind}:{value}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


# --- One source of choices, either of training or of held-out values

class Source:
    def __init__(self, seed, test):
        self.random = random.Random(seed)
        self.test = test

    def choice(self, options):
        return self.random.choice(options)

    def chance(self, share):
        return self.random.random() < share

    def keep(self, kind, make):
        """The first made value of the right side of the split."""
        while True:
            value = make()
            if held_out(kind, value) == self.test:
                return value

    def nonsense(self):
        def make():
            onsets = ["b", "br", "bl", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "pl", "qu", "r", "s", "sh", "sk",
                      "sl", "sn", "st", "t", "th", "tr", "v", "w", "y", "z", ""]
            ends = ["", "", "n", "r", "s", "t", "l", "m", "ck", "nd", "p", "x", "b", "ng", "st"]
            word = ""
            for _ in range(self.choice([1, 1, 2, 2, 2, 3])):
                word += self.choice(onsets) + self.choice("aeiou") + self.choice(ends)
            return word[:10] if len(word) > 2 else word + "om"
        return self.keep("word", make)

    def word(self):
        if self.chance(0.3):
            return self.nonsense()
        return self.keep("word", lambda: self.choice(PLAIN))

    def name(self):
        if self.chance(0.3):
            return self.nonsense().capitalize()
        return self.keep("name", lambda: self.choice(WORDS["name"]))

    def number(self, low=0, high=99):
        return self.random.randint(low, high)

    def fill(self, text):
        def one(found):
            slot = found.group(0)
            if slot == "NOUN":
                return self.choice(WORDS["noun"])
            if slot == "ADJ":
                return self.choice(WORDS["adj"])
            if slot == "PLACE":
                return self.choice(WORDS["place"])
            if slot == "PERSON":
                return self.choice(WORDS["person"])
            if slot == "NAME":
                return self.choice(WORDS["name"])
            if slot == "NONSENSE":
                return self.nonsense()
            if slot == "BIG":
                return str(self.random.choice([self.number(100, 999), self.number(200, 9999), self.number(1000, 9999999)]))
            return str(self.number(2, 99))
        return re.sub(r"\b(NOUN|ADJ|PLACE|PERSON|NAME|NONSENSE|BIG|NUMBER)\b", one, text)


# --- Exchanges: a question and its answer. Each knows its family and how it may go on.

class Exchange:
    def __init__(self, family, question, answer, brief=None, more=None, topic=None, value=None, only=None):
        self.family, self.question, self.answer = family, question, answer
        self.brief = brief or answer       # under a system message that wants brevity
        self.more = more                   # after "tell me more"
        self.topic, self.value = topic, value
        self.only = only                   # the bare number, under a system message that wants only that


def topical(source, topic):
    if source.test:
        options = [[one] for one in topic.tests]
        options += [[frame.format(thing)] for thing in topic.define for frame in DEFINE_TEST[:1 + len(topic.define)]]
        options += [[frame.format(thing)] for thing in topic.howto for frame in HOWTO_TEST[:1]]
        question = source.choice(topic.tests) if source.chance(0.7) else source.choice(source.choice(options))
    else:
        lines = list(topic.questions)
        weights = [len(line) ** 0.5 for line in lines]
        for things, frames in ((topic.define, DEFINE), (topic.howto, HOWTO)):
            if things:
                lines.append([frame.format(thing) for thing in things for frame in frames])
                weights.append(max(len(lines[-1]) ** 0.5, sum(weights) * 0.5))
        question = source.choice(source.random.choices(lines, weights)[0])
    question = source.fill(question)
    family = {"product": "product", "talk": "talk", "unknown": "refusal"}[topic.source]
    return Exchange(family, question[0].upper() + question[1:], topic.answer, topic.brief, topic.more, topic.name)


def product(source):
    return topical(source, source.choice(PRODUCT))


def talk(source):
    return topical(source, source.choice(TALK))


UNKNOWN_WEIGHTS = {"world": 5, "work": 2, "mathematics": 2}


def unknown(source):
    if source.chance(0.06):
        # Whatever has no sense: strings of words.
        words = [source.choice([source.word(), source.choice(PLAIN)]) for _ in range(source.number(1, 6))]
        topic = unknown_topic("world")
        return Exchange("refusal", " ".join(words) + source.choice(["", "?", "."]), topic.answer, topic.brief, None, "world")
    return topical(source, source.random.choices(UNKNOWN, [UNKNOWN_WEIGHTS.get(topic.name, 1) for topic in UNKNOWN])[0])


LARGEST = 30  # number in a sum; above 39 the model declines, and what lies between is never asked


def sum_pair(source, minus=False):
    def make():
        largest = source.choice([9, 20, LARGEST])
        pair = source.number(0, largest), source.number(0, largest)
        return (max(pair), min(pair)) if minus else pair
    return source.keep("minus" if minus else "plus", make)


PLUS = ["What is {a} + {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} =", "{a}+{b}=?", "What is {a} plus {b}?", "{a} plus {b}", "Add {a} and {b}.", "How much is {a} plus {b}?",
        "How much is {a} + {b}?", "What's {a} + {b}?", "What's {a} plus {b}?", "Calculate {a} + {b}.", "What is the sum of {a} and {b}?", "Sum {a} and {b}.",
        "Can you add {a} and {b}?", "Add {b} to {a}.", "{a} and {b} makes what?", "What do you get when you add {a} and {b}?", "Compute {a} plus {b}.",
        "I have {a} apples and get {b} more. How many do I have?", "There are {a} birds and {b} more come. How many are there?", "What is {a}+{b}?"]
PLUS_TEST = ["Please tell me how much {a} plus {b} is.", "Work out {a} + {b}.", "If I add {a} and {b}, what is it?"]
MINUS = ["What is {a} - {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} =", "What is {a} minus {b}?", "{a} minus {b}", "Subtract {b} from {a}.", "How much is {a} minus {b}?",
         "How much is {a} - {b}?", "What's {a} - {b}?", "Calculate {a} - {b}.", "What is the difference of {a} and {b}?", "Take {b} from {a}.", "Take {b} away from {a}.",
         "Can you subtract {b} from {a}?", "What is left of {a} when you take {b} away?", "I have {a} apples and give away {b}. How many are left?", "Compute {a} minus {b}."]
MINUS_TEST = ["Please tell me how much {a} minus {b} is.", "Work out {a} - {b}.", "If I take {b} from {a}, what is left?"]


def unknown_topic(name):
    return next(topic for topic in UNKNOWN if topic.name == name)


def arithmetic(source, largest=LARGEST):
    minus = source.chance(0.4)
    frames = (MINUS if minus else PLUS) + ((MINUS_TEST if minus else PLUS_TEST) if source.test else [])
    if source.chance(0.08) and largest > LARGEST:
        a, b = source.choice([(40, 99), (40, 99), (100, 999)]), source.choice([(2, 99), (40, 99), (100, 999)])
        a, b = source.number(*a), source.number(*b)
        if not minus and source.chance(0.5):
            a, b = b, a
        too_much = unknown_topic("mathematics")
        return Exchange("sums", source.choice(frames).format(a=a, b=b), too_much.answer, too_much.brief)
    a, b = sum_pair(source, minus)
    result = a - b if minus else a + b
    return Exchange("sums", source.choice(frames).format(a=a, b=b), f"{a} {'-' if minus else '+'} {b} = {result}.", value=(a, b, result), only=f"{result}")


def any_sum(source):
    return arithmetic(source, largest=999)


NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def listed(numbers):
    return ", ".join(str(number) for number in numbers) + "."


def counting(source):
    kind = source.random.choices(["up", "to", "down", "next", "previous", "larger", "even"], [4, 4, 3, 2, 1, 2, 1])[0]
    if kind == "to":
        n = source.keep("count", lambda: source.number(3, source.choice([12, 30, 60])))
        text = source.choice([str(n), str(n), NUMBERS[n] if n <= 12 else str(n)])
        frames = ["Count to {n}.", "Can you count to {n}?", "Count from 1 to {n}.", "Please count to {n}.", "Count up to {n}.", "Count from one to {n}.", "Say the numbers up to {n}.",
                  "Name the numbers from 1 to {n}."] + (["I want you to count to {n}.", "Would you count up to {n} for me?"] if source.test else [])
        return Exchange("counting", source.choice(frames).format(n=text), listed(range(1, n + 1)))
    if kind in ("up", "down"):
        a, length = source.keep("range", lambda: (source.choice([source.number(0, 20), source.number(0, 90)]), source.number(2, 10)))
        b = min(a + length, 100)
        if kind == "down":
            a, b = b, a
        frames = (["Count from {a} to {b}.", "Can you count from {a} to {b}?", "Count from {a} up to {b}.", "List the numbers from {a} to {b}.", "Please count from {a} to {b}.",
                   "Say the numbers from {a} to {b}."] if kind == "up" else
                  ["Count down from {a} to {b}.", "Count backwards from {a} to {b}.", "Count from {a} down to {b}.", "Can you count down from {a} to {b}?", "Count from {a} to {b}."])
        if source.test:
            frames = frames + ["I want you to count from {a} to {b}."]
        return Exchange("counting", source.choice(frames).format(a=a, b=b), listed(range(a, b + 1) if a <= b else range(a, b - 1, -1)))
    if kind in ("next", "previous"):
        n = source.keep("next", lambda: source.number(1, 98))
        if kind == "next":
            frames = ["What comes after {n}?", "What number comes after {n}?", "Which number follows {n}?", "What is the next number after {n}?", "What is the number after {n}?"]
            return Exchange("counting", source.choice(frames).format(n=n), f"{n + 1} comes after {n}.", only=f"{n + 1}")
        frames = ["What comes before {n}?", "What number comes before {n}?", "Which number is before {n}?", "What is the number before {n}?"]
        return Exchange("counting", source.choice(frames).format(n=n), f"{n - 1} comes before {n}.", only=f"{n - 1}")
    if kind == "larger":
        a, b = source.keep("larger", lambda: tuple(source.random.sample(range(0, 100), 2)))
        more = source.chance(0.6)
        frames = (["Which is larger, {a} or {b}?", "Which is bigger, {a} or {b}?", "Which number is larger, {a} or {b}?", "What is more, {a} or {b}?", "Is {a} or {b} larger?"] if more else
                  ["Which is smaller, {a} or {b}?", "Which number is smaller, {a} or {b}?", "What is less, {a} or {b}?"])
        first, last = (max(a, b), min(a, b)) if more else (min(a, b), max(a, b))
        return Exchange("counting", source.choice(frames).format(a=a, b=b), f"{first} is {'larger' if more else 'smaller'} than {last}.", only=f"{first}")
    n = source.keep("even", lambda: source.number(0, 99))
    frames = ["Is {n} even or odd?", "Is {n} an even number?", "Is {n} odd?", "Is {n} even?", "Is {n} an odd number?"]
    return Exchange("counting", source.choice(frames).format(n=n), f"{n} is {'odd' if n % 2 else 'even'}.")


def quoted(source, word):
    return source.choice([f'"{word}"', f'"{word}"', word, word, f"'{word}'"])


REVERSE = ["Reverse {w}.", "Reverse the word {w}.", "Spell {w} backwards.", "Write {w} backwards.", "What is {w} backwards?", "Say {w} backwards.", "Turn {w} around.",
           "Can you reverse the word {w}?", "What is {w} reversed?", "Please reverse {w}.", "{w} backwards", "Turn the word {w} around.", "What is {w} spelled backwards?",
           "Reverse: {w}", "reverse {w}", "How do you write {w} backwards?", "Reverse the letters of {w}."]
REVERSE_TEST = ["I would like to see {w} in reverse.", "Please turn round the letters of {w}."]
SPELL = ["Spell {w}.", "Spell the word {w}.", "How do you spell {w}?", "Can you spell {w}?", "How is {w} spelled?", "What are the letters of {w}?", "Please spell {w}.", "Spell out {w}.",
         "Name the letters of {w}."]
LETTERS = ["How many letters has {w}?", "How many letters are in {w}?", "How many letters does {w} have?", "Count the letters of {w}.", "How many letters are there in the word {w}?",
           "How long is the word {w}?", "Count the letters in {w}."]


def backwards(word):
    """Spelled first: letters that stand there can be copied in any order, letters inside of tokens can't."""
    return f'{"-".join(word)} backwards is "{word[::-1]}".'


def word_play(source):
    kind = source.random.choices(["reverse", "spell", "letters", "order", "edge"], [6, 3, 2, 1, 1])[0]
    if kind == "order":
        words = [source.word() for _ in range(source.number(2, 4))]
        text = source.choice([" ", ", "]).join(words)
        frames = ["Reverse the order of these words: {w}", "Reverse the order: {w}", "Say these words in reverse order: {w}", "Turn the order of these words around: {w}",
                  "Write these words from last to first: {w}"]
        glue = ", " if ", " in text else " "
        return Exchange("words", source.choice(frames).format(w=text), glue.join(reversed(words)) + ".")
    word = source.word()
    shown = quoted(source, word)
    if kind == "reverse":
        frames = REVERSE + (REVERSE_TEST if source.test else [])
        return Exchange("words", source.choice(frames).format(w=shown), backwards(word), value=word)
    if kind == "spell":
        return Exchange("words", source.choice(SPELL).format(w=shown), "-".join(word) + ".", value=word)
    if kind == "letters":
        return Exchange("words", source.choice(LETTERS).format(w=shown), f'{"-".join(word)}: {len(word)} letters.', value=word, only=f"{len(word)}")
    first = source.chance(0.5)
    frames = ["What is the {e} letter of {w}?", "Which letter does {w} " + ("begin" if first else "end") + " with?", "Name the {e} letter of {w}."]
    return Exchange("words", source.choice(frames).format(e="first" if first else "last", w=shown),
                    f'The {"first" if first else "last"} letter is "{word[0] if first else word[-1]}".', value=word)


REPEAT = ["Repeat after me: {t}", "Repeat: {t}", "Say: {t}", "Say {q}.", "Repeat {q}.", "Please repeat: {t}", "Can you say {q}?", "Repeat this: {t}", "Write: {t}", "Echo: {t}", "Say after me: {t}",
          "Please say {q}.", "Repeat the words {q}.", "Write {q}."]
REPEAT_TEST = ["I want to hear {q} from you.", "Copy this: {t}"]


def repeating(source):
    if source.chance(0.25):
        word, times = source.word(), source.number(2, 6)
        frames = ["Say {w} {n} times.", "Repeat {w} {n} times.", "Write the word {w} {n} times.", "Say the word {w} {n} times.", "Please say {w} {n} times."]
        many = source.choice([str(times), NUMBERS[times]])
        if times == 2 and source.chance(0.5):
            frames, many = ["Say {w} twice.", "Repeat {w} twice."], ""
        return Exchange("repeating", source.choice(frames).format(w=quoted(source, word), n=many), " ".join([word] * times))
    words = [source.choice([source.word(), source.choice(PLAIN), source.choice(PLAIN), str(source.number())]) for _ in range(source.number(1, 5))]
    if source.chance(0.3):
        words.insert(source.number(0, len(words)), source.choice(["the", "a", "my", "and", "is", "in", "hello", "world", "good", "I", "you"]))
    text = " ".join(words)
    if source.chance(0.3):
        text = text.capitalize() + source.choice([".", "!", ""])
    frames = REPEAT + (REPEAT_TEST if source.test else [])
    return Exchange("repeating", source.choice(frames).format(t=text, q=source.choice([f'"{text}"', f'"{text}"', f"'{text}'"])), text)


# --- What a conversation or a system message says once, and is asked later

def fact(source):
    """(kind, what the user says, answer to it, what a system message says, questions, answer to them)"""
    kind = source.random.choices(["name", "colour", "pet", "city", "secret", "number", "hobby"], [5, 2, 2, 2, 3, 2, 1])[0]
    if kind == "name":
        v = source.name()
        says = ["My name is {v}.", "I am {v}.", "I'm {v}.", "Hello, my name is {v}.", "Hi, I am {v}.", "Hi, I'm {v}.", "Call me {v}.", "You can call me {v}.", "Hello! I am {v}.", "They call me {v}."]
        return (kind, says, "Nice to meet you, {v}.", ["The user's name is {v}.", "The user is called {v}.", "You are talking to {v}."],
                ["What is my name?", "Do you know my name?", "Who am I?", "What's my name?", "Tell me my name.", "What am I called?", "Do you remember my name?"],
                "Your name is {v}.", v)
    if kind == "colour":
        v = source.choice(WORDS["colour"])
        says = ["My favourite colour is {v}.", "I like the colour {v} best.", "I love the colour {v}.", "{v} is my favourite colour."]
        return (kind, says, "I will remember: your favourite colour is {v}.", ["The user's favourite colour is {v}."],
                ["What is my favourite colour?", "Which colour do I like best?", "What's my favourite colour?", "Do you know my favourite colour?"], "Your favourite colour is {v}.", v)
    if kind == "pet":
        animal, name = source.choice(WORDS["animal"]), source.name()
        says = [f"My {animal} is called {name}.", f"I have a {animal} called {name}.", f"The name of my {animal} is {name}.", f"I have a {animal}, its name is {name}."]
        return (kind, says, f"I will remember: your {animal} is called {name}.", [f"The user has a {animal} called {name}.", f"The user's {animal} is called {name}."],
                [f"What is my {animal} called?", f"What is the name of my {animal}?", f"What's my {animal}'s name?", f"How is my {animal} called?"], f"Your {animal} is called {name}.", name)
    if kind == "city":
        v = source.choice(WORDS["place"]) if source.chance(0.7) else source.nonsense().capitalize()
        says = ["I live in {v}.", "I am from {v}.", "My home is {v}.", "I'm from {v}.", "I come from {v}."]
        return (kind, says, "I will remember: you are from {v}.", ["The user lives in {v}.", "The user is from {v}."],
                ["Where do I live?", "Where am I from?", "Where is my home?", "Do you know where I live?"], "You are from {v}.", v)
    if kind == "secret":
        v = source.word()
        what = source.choice(["secret word", "password", "magic word", "code word"])
        says = [f"The {what} is {v}.", f"Remember the {what}: {v}.", f"Remember: the {what} is {v}.", f"My {what} is {v}."]
        return (kind, says, f"I will remember: the {what} is {v}.", [f"The {what} is {v}.", f"Remember that the {what} is {v}."],
                [f"What is the {what}?", f"Tell me the {what}.", f"What's the {what}?", f"Do you remember the {what}?", f"Which {what} did I tell you?"], f"The {what} is {v}.", v)
    if kind == "number":
        v = source.number(0, 9999)
        what = source.choice(["number", "code", "room number", "lucky number"])
        says = [f"Remember the {what} {v}.", f"My {what} is {v}.", f"The {what} is {v}.", f"Remember: the {what} is {v}."]
        return (kind, says, f"I will remember: the {what} is {v}.", [f"The {what} is {v}.", f"The user's {what} is {v}."],
                [f"What is the {what}?", f"What was the {what}?", f"Tell me the {what}.", f"What is my {what}?", f"Which {what} did I say?"], f"The {what} is {v}.", str(v))
    v = source.choice(WORDS["verb"])
    says = ["I like to {v}.", "I love to {v}.", "My hobby is to {v}.", "In my free time I {v}."]
    return (kind, says, "I will remember: you like to {v}.", ["The user likes to {v}."], ["What do I like to do?", "What is my hobby?", "What do I do in my free time?"], "You like to {v}.", v)


NEUTRAL = ["You are a helpful assistant.", "You are a friendly assistant.", "Be helpful.", "Be polite.", "You are an assistant.", "You are a helpful, honest assistant.", "Be kind.",
           "Answer the user's questions.", "You are an AI assistant.", "Help the user.", "You are the assistant of ConfidentialChat.", "Be honest.", "Think before you answer.",
           "You are a useful assistant. Answer as well as you can.", "Answer in English.", "You are talking to a user."]
BRIEF = ["Be brief.", "Answer in one sentence.", "Keep it short.", "Be concise.", "Answer briefly.", "Use one sentence only.", "Short answers, please.", "Give short answers.",
         "You are a helpful assistant. Be brief.", "Answer with one sentence.", "Please be brief.", "Your answers are short."]
BRIEF_TEST = ["You give answers of one sentence.", "Be very brief.", "Brief answers only."]
ONLY = ["Answer with the number only.", "Answer only with the number.", "Only give the number.", "Say nothing but the number.", "Give the number and nothing else."]
END = ['End every answer with "{w}".', "End each answer with {w}.", 'Always end with "{w}".', 'Finish every answer with the word "{w}".', 'Say "{w}" at the end of every answer.']
BEGIN = ['Begin every answer with "{w}".', "Start each answer with {w}.", 'Always begin with "{w}".', 'Start every answer with the word "{w}".', 'Say "{w}" at the start of every answer.']
PERSONA = ["You are {v}.", "Your name is {v}.", "You are called {v}.", "You are an assistant called {v}.", "Your name is {v}. Be helpful.", "You are {v}, a friendly assistant.",
           "Act as {v}."]
PERSONA_ASK = ["What is your name?", "Who are you?", "What's your name?", "What are you called?", "Tell me your name.", "Do you have a name?", "Introduce yourself.", "Who am I talking to?"]

FAMILIES = [product, talk, unknown, any_sum, counting, word_play, repeating]
WEIGHTS = [27, 12, 12, 17, 12, 16, 8]


def any_exchange(source):
    return source.random.choices(FAMILIES, WEIGHTS)[0](source)


# --- How people write

def typo(source, text):
    if len(text) < 8:
        return text
    i = source.number(1, len(text) - 3)
    if not (text[i].isalpha() and text[i + 1].isalpha()):
        return text
    return source.choice([text[:i] + text[i + 1:], text[:i] + text[i + 1] + text[i] + text[i + 2:], text[:i] + text[i] + text[i:]])


def written(source, exchange):
    """The question as somebody might type it. Words to copy keep their letters."""
    text = exchange.question
    exact = exchange.family in ("words", "repeating")
    if source.test:
        return text
    if source.chance(0.2):
        text = (text[0].lower() + text[1:]) if exact or source.chance(0.5) else text.lower()
    if source.chance(0.25) and text[-1] in "?." and not exact:
        text = text[:-1]
    elif source.chance(0.06) and text[-1] == "?" and not exact:
        text += source.choice(["?", "?!"])
    if exchange.family in ("product", "talk", "refusal"):
        if source.chance(0.06):
            text = typo(source, text)
        if source.chance(0.07):
            text = source.choice(["Hi, ", "Hello, ", "Hello! ", "Please: ", "So, ", "OK, ", "Tell me, ", "Quick question: ", "Question: ", "Hey, ", "And ", "But ", "Well, "]) + text[0].lower() + text[1:]
        elif source.chance(0.04):
            text += source.choice([" Please.", " Thanks.", " Thank you.", " Tell me.", " I would like to know."])
    elif source.chance(0.06):
        text = source.choice(["Please: ", "Hi! ", "Now: ", "OK. ", "Next: "]) + text
    return text


MORE = ["Tell me more.", "More, please.", "Go on.", "Can you tell me more?", "More.", "Explain further.", "And?", "Tell me more about it.", "What else?", "More details, please."]
NO_MORE = "That is all that I know about it. The README and the folder spec/ say more."
AGAIN = ["Say that again.", "Again, please.", "Can you repeat that?", "Repeat that.", "What did you say?", "Once more.", "Repeat your answer."]
ASKED = ["What did I ask?", "What did I ask you?", "What was my question?", "Repeat my question.", "What did I just say?", "What did I just ask?"]


def conversation(source, family=None):
    """(family, messages): a conversation that ends with the assistant."""
    messages = []
    kind = family or source.random.choices(
        ["single", "brief", "end", "begin", "only", "persona", "system-fact", "fact", "follow", "chain"], [62, 6, 3, 2, 2, 3, 3, 7, 6, 6])[0]

    def ask(exchange, answer=None):
        messages.append(("user", written(source, exchange)))
        messages.append(("assistant", answer or exchange.answer))

    def system(frames, **values):
        messages.append(("system", source.choice(frames).format(**values)))

    if kind in ("single", "chain", "fact", "follow") and source.chance(0.12):
        system(NEUTRAL)
    if kind == "single":
        exchange = any_exchange(source)
        ask(exchange)
        return exchange.family, messages
    if kind == "chain":
        for _ in range(source.choice([2, 2, 3])):
            ask(any_exchange(source))
        return "conversation", messages
    if kind == "brief":
        system(BRIEF_TEST if source.test else BRIEF)
        exchange = source.choice([product, product, product, talk, unknown])(source)
        for _ in range(source.choice([1, 1, 2])):
            ask(exchange, exchange.brief)
            exchange = any_exchange(source)
            exchange.answer = exchange.brief
        return "system", messages
    if kind in ("end", "begin"):
        word = source.word()
        system(END if kind == "end" else BEGIN, w=word)
        for _ in range(source.choice([1, 1, 2])):
            exchange = any_exchange(source)
            ask(exchange, exchange.answer + " " + word if kind == "end" else word + " " + exchange.answer)
        return "system", messages
    if kind == "only":
        system(ONLY)
        for _ in range(source.choice([1, 2])):
            exchange = source.choice([arithmetic, arithmetic, counting, word_play])(source)
            ask(exchange, exchange.only or exchange.answer)
        return "system", messages
    if kind == "persona":
        name = source.name()
        system(PERSONA, v=name)
        if source.chance(0.25):
            ask(any_exchange(source))
        messages += [("user", source.choice(PERSONA_ASK)), ("assistant", f"I am {name}.")]
        return "system", messages
    if kind in ("fact", "system-fact"):
        what, says, answer, systems, questions, recall, value = fact(source)
        if kind == "system-fact":
            messages.append(("system", (source.choice(NEUTRAL) + " " if source.chance(0.25) else "") + source.choice(systems).format(v=value)))
        else:
            messages += [("user", source.choice(says).format(v=value)), ("assistant", answer.format(v=value))]
        for _ in range(source.choice([0, 0, 1, 2])):
            ask(any_exchange(source))
        if source.chance(0.12):
            # Another thing than was said: not known.
            other = fact(source)
            if other[0] != what and other[0] in ("name", "colour", "city") and what in ("name", "colour", "city", "hobby"):
                messages += [("user", source.choice(other[4])), ("assistant", unknown_topic("you").answer)]
                return "conversation", messages
        messages += [("user", source.choice(questions)), ("assistant", recall.format(v=value))]
        return "system" if kind == "system-fact" else "conversation", messages
    assert kind == "follow"
    how = source.choice(["more", "more", "again", "asked", "sum", "sum", "spell", "thanks", "facts"])
    if how == "more":
        exchange = product(source)
        while exchange.more is None and source.chance(0.6):
            exchange = product(source)
        ask(exchange)
        messages += [("user", source.choice(MORE)), ("assistant", exchange.more or NO_MORE)]
    elif how == "again":
        exchange = any_exchange(source)
        ask(exchange)
        messages += [("user", source.choice(AGAIN)), ("assistant", exchange.answer)]
    elif how == "asked":
        exchange = any_exchange(source)
        ask(exchange)
        messages += [("user", source.choice(ASKED)), ("assistant", f"You said: {messages[-2][1]}")]
    elif how == "sum":
        exchange = arithmetic(source)
        ask(exchange)
        total = exchange.value[2]
        for _ in range(source.choice([1, 1, 2])):
            minus = source.chance(0.35)
            b = source.number(0, min(total, 12) if minus else 12)
            result = total - b if minus else total + b
            frames = (["And minus {b}?", "Now subtract {b}.", "Minus {b}.", "Take away {b}.", "Subtract {b} from that.", "minus {b}"] if minus else
                      ["And plus {b}?", "Now add {b}.", "Plus {b}.", "Add {b}.", "Add {b} to that.", "plus {b}", "And {b} more?"])
            messages += [("user", source.choice(frames).format(b=b)), ("assistant", f"{total} {'-' if minus else '+'} {b} = {result}.")]
            total = result
    elif how == "spell":
        exchange = word_play(source)
        while not isinstance(exchange.value, str):
            exchange = word_play(source)
        ask(exchange)
        word = exchange.value
        frames, answer = source.choice([
            (["Now spell it.", "Spell it.", "And how is it spelled?"], "-".join(word) + "."),
            (["Now backwards.", "And backwards?", "Reverse it.", "Now reverse it."], backwards(word)),
            (["How many letters has it?", "How long is it?", "Count its letters."], f'{"-".join(word)}: {len(word)} letters.')])
        messages += [("user", source.choice(frames)), ("assistant", answer)]
    elif how == "thanks":
        ask(any_exchange(source))
        topic = next(topic for topic in TALK if topic.name == source.choice(["thanks", "bye", "ok", "praise", "blame"]) or topic.name == "thanks")
        messages += [("user", source.choice(source.choice(topic.questions))), ("assistant", topic.answer)]
    else:
        first, second = fact(source), fact(source)
        while second[0] == first[0]:
            second = fact(source)
        for one in (first, second):
            messages += [("user", source.choice(one[1]).format(v=one[6])), ("assistant", one[2].format(v=one[6]))]
        one = source.choice([first, second])
        messages += [("user", source.choice(one[4])), ("assistant", one[5].format(v=one[6]))]
    return "conversation", messages


def training(seed):
    """Conversations without end."""
    source = Source(seed, test=False)
    while True:
        yield conversation(source)[1]


def evaluation(seed, each):
    """(family, messages), the last one the answer to compare with; so many of each family, none seen in training."""
    source = Source(seed, test=True)
    kinds = {
        "product": lambda: ("product", [("user", (e := product(source)).question), ("assistant", e.answer)]),
        "talk": lambda: ("talk", [("user", (e := talk(source)).question), ("assistant", e.answer)]),
        "refusal": lambda: ("refusal", [("user", (e := unknown(source)).question), ("assistant", e.answer)]),
        "sums": lambda: ("sums", [("user", (e := any_sum(source)).question), ("assistant", e.answer)]),
        "counting": lambda: ("counting", [("user", (e := counting(source)).question), ("assistant", e.answer)]),
        "words": lambda: ("words", [("user", (e := word_play(source)).question), ("assistant", e.answer)]),
        "repeating": lambda: ("repeating", [("user", (e := repeating(source)).question), ("assistant", e.answer)]),
        "system": lambda: conversation(source, source.choice(["brief", "end", "begin", "only", "persona", "system-fact"])),
        "conversation": lambda: conversation(source, source.choice(["fact", "fact", "follow", "follow", "chain"])),
    }
    for family, make in kinds.items():
        for _ in range(each):
            yield family, make()[1]


if __name__ == "__main__":
    import sys
    source = training(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for _ in range(40):
        print(*(f"{role:>9}: {content}" for role, content in next(source)), "", sep="\n")
