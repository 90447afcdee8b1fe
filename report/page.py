"""The page: one HTML file with its style, its script and its pictures.

Everything that comes from files (names of classes, ids, paths) goes through `_text`, and the page
has a policy that lets the browser run the script of this package alone and load nothing.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from html import escape as _text
from importlib.resources import files
from string import Template
from typing import Any

import keras_fcn
from keras_fcn.evaluation import Evaluation

from .sections import HeadContent, HeadSection

_ROLES = {
    "selection": "Validation of the training.",
    "training": "Training images.",
    "other": "Independent images.",
    "unknown": "Role unknown.",
}


def page(heads: Sequence[HeadContent], role: tuple[str, str]) -> str:
    """Returns the HTML of a report on these heads.

    Args:
        heads: The content of each head.
        role: See `split_role`.
    """
    pictures: dict[str, Any] = {"buttons": {}, "examples": {}}
    sections = [HeadSection(content, f"s{i}", pictures) for i, content in enumerate(heads)]
    evaluation = heads[0].evaluation
    script = _file("script.js")
    return Template(_file("template.html")).substitute(
        policy=_policy(script),
        title=_text(f"{evaluation.model} on {evaluation.dataset}, {evaluation.split}"),
        style=_file("style.css"),
        heading=_heading(evaluation),
        facts=_facts(evaluation) + _role(*role) + _notes(heads),
        nav="".join(section.links() for section in sections),
        main="".join(section.html() for section in sections),
        footer=_footer(),
        pictures=_json(pictures),
        script=script,
    )


def _heading(evaluation: Evaluation) -> str:
    return (
        f"<h1>{_text(evaluation.dataset)}, {_text(evaluation.split)}</h1>"
        f"<p>{_text(evaluation.model)}</p>"
    )


def _facts(evaluation: Evaluation) -> str:
    counted = evaluation.confusion_matrix.num_pixels
    ignored = evaluation.confusion_matrix.num_ignored
    facts = {
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "format": evaluation.format,
        "images": f"{evaluation.num_images:,}",
        "pixels": f"{counted:,}",
        "ignored pixels": f"{ignored:,} ({ignored / max(1, counted + ignored):.1%} of all)",
    }
    entries = (
        f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="facts">{"".join(entries)}</dl>'


def _role(role: str, sentence: str) -> str:
    return f'<p class="role {role}"><b>{_ROLES[role]}</b>{_text(sentence)}</p>'


def _notes(heads: Sequence[HeadContent]) -> str:
    notes = dict.fromkeys(note for content in heads for note in content.evaluation.notes)
    return "".join(f'<p class="remark">{_text(note)}</p>' for note in notes)


def _footer() -> str:
    version = _text(keras_fcn.__version__)
    return f"Written by keras_fcn {version}, <code>keras-fcn evaluate --report</code>."


def _json(value: Any) -> str:
    """Returns JSON that cannot end the element it is in."""
    return json.dumps(value).replace("<", "\\u003c").replace("&", "\\u0026")


def _policy(script: str) -> str:
    """Returns the policy of the page: this script alone, no file and no address is loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@cache
def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
