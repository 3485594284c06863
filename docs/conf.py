"""How Sphinx builds these pages: `nox -s docs`."""

import trizmq
import trizmq.hook_values
import trizmq.messages

project = "trizmq"
author = "The trizmq authors"
copyright = "The trizmq authors"
release = version = trizmq.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinxcontrib_trio",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trizmq {release}"
myst_heading_anchors = 3

# In docstrings, `name` is a name of ours, of the module at hand, or of Trio.
default_role = "any"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_typehints_description_target = "documented"
napoleon_custom_sections = [("Raises in every method that calls", "Raises")]

# The pages are built without a network, so what belongs to others has no page to point to.
nitpick_ignore_regex = [
    ("py:.*|any", r"(trio|click|collections|contextlib|pathlib|typing)\..*"),
    # Names within trizmq that its annotations use: what they mean is said in words.
    ("py:class", r"(.*\.)?(Abstract(Async)?ContextManager|Converter|Executed|F|Options|Segment)"),
    ("any", "METHODS"),
]

# Autodoc reads the annotations of Structs, also those that are there for type checkers only.
for module in (trizmq.hook_values, trizmq.messages):
    for name in trizmq.__all__:
        vars(module).setdefault(name, getattr(trizmq, name))
