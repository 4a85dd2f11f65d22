"""The documentation site: ``make docs`` writes it to ``docs/_build/html``, and it works offline."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

from reparam.version import __version__  # noqa: E402

project = "reparam"
author = "the reparam authors"
project_copyright = author
release = version = __version__

extensions = [
    "mathml",
    "outside_links",
    "plain_docstrings",
    "written_pages",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "extensions", "**/.ipynb_checkpoints", "examples/*.ipynb"]

# Pages in Markdown. The tests run their code, not the build.
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
nb_execution_mode = "off"
# The chapters theory/ and zh/ are taken where they are there.
suppress_warnings = ["toc.empty_glob"]
# A line of a terminal has no language.
highlight_language = "none"

# Docstrings.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_custom_sections = [
    "Generative process",
    "Posterior",
    "Objective",
    ("Symbols", "params_style"),
]
python_maximum_signature_line_length = 80
add_module_names = False
# The types of other libraries are documented elsewhere, and the site is built offline.
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "reparam"
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {
    page: [] for page in ("architecture", "changelog", "contributing", "get-started", "index")
}

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["examples"],
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "default_thumb_file": str(HERE / "images" / "overview.png"),
    "min_reported_time": 5,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
    "notebook_images": False,
    "reference_url": {},
}
