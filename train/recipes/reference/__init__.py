"""The reference's fifteen networks, stage by stage, and the paper's FCN-GoogLeNet.

One file a dataset. The reference is github.com/shelhamer/fcn.berkeleyvision.org.
"""

from . import nyud, pascal_context, siftflow, voc

RECIPES = (*voc.RECIPES, *pascal_context.RECIPES, *nyud.RECIPES, *siftflow.RECIPES)
