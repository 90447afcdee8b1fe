"""Text for a terminal, which takes some characters for commands."""


def printable(text: str) -> str:
    r"""Returns a text with every character escaped that would change more than its own place.

    Names of files, classes and datasets come from others, and may contain escape sequences, which
    color, move or replace what a terminal shows, marks that reverse the direction of writing, or
    bytes that are no text. Line breaks and tabs stay.

    >>> printable("sky\x1b[2J, caf\u00e9\n")
    'sky\\x1b[2J, café\n'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
