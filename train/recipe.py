"""What a recipe is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .config import Config


@dataclass(frozen=True)
class Recipe:
    """Complete settings, and what is to be known of them.

    Args:
        name: What `--recipe` calls it.
        config: The settings.
        description: Source, command, and what was measured.
        needs: What the user has to add, by setting, such as the network to start from.
    """

    name: str
    config: Config
    description: str
    needs: Mapping[str, str] = field(default_factory=dict)
