"""Links to files of the repository that are no pages: shown as their path, not as a broken link.

The pages are also read in the repository, where ``[experiments/](../experiments/)`` leads there.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

PAGES = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "examples": "examples/index",
    "docs": "index",
}
"""What stands for a file of the repository on the site."""


class OutsideLinks(SphinxPostTransform):
    """Lead a link to a file outside ``docs`` to its page, or leave its words without a link."""

    default_priority = 5  # before MyST resolves its references

    def run(self, **kwargs: Any) -> None:
        """Change the links of one page."""
        root = Path(self.env.srcdir).parent
        here = Path(self.env.doc2path(self.env.docname)).parent
        found = [*self.document.findall(addnodes.pending_xref)]
        found += [*self.document.findall(addnodes.download_reference)]
        for link in found:
            target, _, anchor = str(link.get("reftarget", "")).partition("#")
            if link.get("refdomain") == "doc":  # a page, without its ending
                target = "" if target in self.env.found_docs else f"{target}.md"
            if not target or "://" in target or link.get("refdomain") in ("py", "std"):
                continue
            # A page that is included keeps the paths of the folder that it comes from.
            places = [(here / target).resolve(), (root / target).resolve()]
            place = next((p for p in places if p.exists() and p.is_relative_to(root)), None)
            if place is None:
                continue
            page = self.page_of(place, root)
            words = [child.deepcopy() for child in link.children]
            if page is None:
                link.replace_self(nodes.inline("", "", *words))
                continue
            uri = self.app.builder.get_relative_uri(self.env.docname, page)
            anchor = anchor or str(link.get("reftargetid") or "")
            uri = f"{uri}#{anchor}" if anchor else uri
            link.replace_self(nodes.reference("", "", *words, internal=True, refuri=uri))

    def page_of(self, place: Path, root: Path) -> str | None:
        """Return the name of the page that stands for a file, or None where there is none."""
        source = Path(self.env.srcdir)
        if place.is_relative_to(source):
            name = place.relative_to(source).with_suffix("").as_posix()
            for page in (name, f"{name}/index"):
                if page in self.env.found_docs:
                    return page
            return None
        return PAGES.get(place.relative_to(root).as_posix())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform."""
    app.add_post_transform(OutsideLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
