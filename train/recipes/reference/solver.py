"""How the reference trains, as settings: its solver files, and what its data layers do."""

from ...config import Config
from ...recipe import Recipe

# One image a step at its own size, drawn with replacement, and a loss that is summed over its
# pixels: hence a learning rate of 1e-10, and hardly any decay in effect.
HEAVY = Config(
    backbone="vgg16",
    backbone_weights="imagenet",
    geometry="reference",
    upsampling="fixed",
    batch_size=1,
    crop=None,
    augment=False,
    replacement=True,
    optimizer="sgd",
    schedule="constant",
    learning_rate=1e-10,
    momentum=0.99,
    weight_decay=5e-4,
    normalization="batch",
    save_every=1000,
)

# The mean over the pixels, and gradients that are averaged over twenty images.
ACCUMULATED = HEAVY.replace(
    normalization="valid", learning_rate=1e-4, momentum=0.9, accumulate=20, save_every=2000
)


def reference_recipe(
    name: str,
    title: str,
    config: Config,
    *,
    source: str,
    published: str,
    after: tuple[str, ...] = (),
    note: str = "",
) -> Recipe:
    """Returns the recipe of a network that was published, and was not trained here.

    Args:
        name: Name of the recipe, and of its folder below `runs/`.
        title: What it trains, on what.
        config: The settings.
        source: Where they are from: a folder of the reference, or a paper.
        published: Scores, with their split and source.
        after: The recipes whose networks it starts from: one for `init`, two for `init_streams`.
        note: What else there is to know.
    """
    setting = "init_streams" if len(after) > 1 else "init"
    networks = ",".join(f"runs/{stage}/last.keras" for stage in after)
    lines = [
        f"{title}.",
        "",
        *([note, ""] if note else []),
        f"Source:    {source}",
        f"Run:       keras-fcn train --recipe {name} --source FOLDER",
        *([f"           --{setting.replace('_', '-')} {networks}"] if after else []),
        "BatchNorm: there is none.",
        f"Published: {published}",
        "Result:    not trained here.",
    ]
    needs = {setting: f"the network of {' and '.join(after)}, such as {networks}."} if after else {}
    return Recipe(name, config.replace(workdir=f"runs/{name}"), "\n".join(lines), needs)


def solver_of(folder: str) -> str:
    """Returns how a recipe names a folder of the reference as its source."""
    return f"{folder}/solver.prototxt and train.prototxt of the reference"
