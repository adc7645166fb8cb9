"""The documentation site: Sphinx's configuration. ``make docs`` builds it in build/docs.

Nothing is downloaded when it is built, and no page loads anything from the network.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))

mpl.use("Agg")

from deltarule import __version__  # noqa: E402

project = "deltarule"
author = "The deltarule developers"
project_copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # in extensions/
    "api_pages",
    "docstrings",
    "item_table",
    "links",
    "mathml",
    "run_python",
    "site_check",
    "subscripts",
]
exclude_patterns = ["extensions", "gallery/*.py", "gallery/*.ipynb", "sg_execution_times.rst"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"
highlight_language = "none"
show_warning_types = True

# --- Markdown -------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# --- the reference of public names ----------------------------------------------------------------

autodoc_typehints = "none"  # the sections of numpydoc give the types
autodoc_member_order = "bysource"
autosummary_generate = False
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
# Unknown parameters, their order, sections that are unknown or in the wrong order, and a missing
# summary. tests/docs/test_site.py checks that functions describe every parameter.
numpydoc_validation_checks = {"PR02", "PR03", "PR10", "GL06", "GL07", "SS01"}

# --- the gallery of examples ----------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "gallery.ExampleOrder",
    "image_scrapers": ("gallery",),
    "reset_argv": "gallery.example_arguments",
    "doc_module": ("deltarule",),
    "backreferences_dir": "gallery/backreferences",
    "inspect_global_variables": False,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 10_000,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "write_computation_times": False,
    "remove_config_comments": True,
}

# --- the look -------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"deltarule {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "deltarule"},
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": []}
