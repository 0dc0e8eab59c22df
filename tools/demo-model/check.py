#!/usr/bin/python3
"""Holds the corpus to its promises: no question has two answers, none of the evaluation's is trained on, and all of it is ASCII."""
import collections
import sys

import corpus


def questions(topic):
    yield from (one for line in topic.questions for one in line)
    yield from (frame.format(thing) for thing in topic.define for frame in corpus.DEFINE)
    yield from (frame.format(thing) for thing in topic.howto for frame in corpus.HOWTO)


def plain(text):
    return (text if any(slot in text for slot in ("NOUN", "NONSENSE", "NAME")) else text.lower()).strip(" .?!")


topics = corpus.PRODUCT + corpus.TALK + corpus.UNKNOWN
owners = collections.defaultdict(set)
for topic in topics:
    for question in questions(topic):
        owners[plain(question)].add(topic.name)
faults = [f"{question!r} is asked by {', '.join(sorted(names))}" for question, names in owners.items() if len(names) > 1]
faults += [f"{question!r} of {topic.name} is trained on" for topic in topics for question in topic.tests if plain(question) in owners]
faults += [f"{topic.name} has no {what}" for topic in topics for what, there in (("answer", topic.answer), ("held-out question", topic.tests)) if not there]
print(f"{len(topics)} topics, {len(owners):,} questions, {sum(len(topic.tests) for topic in topics)} kept out", *faults, sep="\n")
sys.exit(bool(faults))
