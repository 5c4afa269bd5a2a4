"""What a config takes from its data: the form of an example, and the words of its captions."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from score_sde import config as configs
from score_sde.config.settings import Example
from score_sde.data import Source
from score_sde.data.captioned import captions_of
from score_sde.data.source import entries_of


def facts_of(source: Source) -> Example:
    """The form of one example of a source."""
    return Example(tuple(source.shape), source.levels, source.num_classes)


def with_facts(sections: dict[str, Any]) -> dict[str, Any]:
    """The config, with ``example`` filled in from the data if it is missing."""
    if sections["example"] is not None:
        return sections
    source = configs.build(sections, "data", split="train")
    facts = dataclasses.asdict(facts_of(source))
    texts = {name: leaf for name, leaf in sections["conditions"].items() if leaf.get("text")}
    for name, leaf in configs.build_many({"conditions": texts}, "conditions").items():
        key = leaf.entry(name)
        if key not in entries_of(source):
            raise ValueError(
                f"config.conditions.{name} is made from the captions {key!r} of an example, which the data "
                f"({source.name}) lack; they have {', '.join(map(repr, entries_of(source))) or 'none'}. Set its key"
            )
        facts["words"] = getattr(leaf.text.knowing(captions_of(source, key)), "words", ())
    return {**sections, "example": facts}


def told_words(text: Any, words: Sequence[str]) -> Any:
    """The encoder, with the words of the training data if it takes words and has none of its own."""
    return dataclasses.replace(text, words=tuple(words)) if getattr(text, "words", None) == () else text
