"""What axe-core finds on a page: what somebody with other eyes, ears or hands cannot use.

axe is run in the page by the browser's own debugger, so the pages' content policy stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page as Tab

from tests import installs

OPTIONS = {
    "runOnly": [
        "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"
    ],
    "resultTypes": ["violations"],
    "preload": False,  # what it would load are style sheets it has as a page's own
}  # fmt: skip
_RUN = """async (options) => {
  const { violations } = await axe.run(document, options);
  const why = (node) => node.failureSummary.replace(/^.*\\n/, "").replaceAll(/\\s+/g, " ");
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.target.join(" ")}: ${why(node)}`));
}"""


@dataclass(frozen=True)
class Axe:
    source: str = field(default_factory=installs.axe)

    def violations(self, tab: Tab, rules: dict[str, Any] | None = None) -> list[str]:
        """One line an element and rule; none where everybody can use the page. `rules` as axe
        has them, for this page alone."""
        if not tab.evaluate("'axe' in window"):
            tab.evaluate(self.source)
        return list(tab.evaluate(_RUN, OPTIONS | {"rules": rules or {}}))
