"""Text is readable in both themes: WCAG AA (4.5 to 1) for every pair of tokens that meet."""

import re
from pathlib import Path

import pytest

TOKENS = (Path(__file__).parents[2] / "templates/static/css/tokens.css").read_text()
PAIRS = [
    *((ink, back) for ink in ("ink", "ink-2", "ink-3") for back in ("bg", "surface", "sunken")),
    *(("accent-text", back) for back in ("bg", "surface", "accent-soft", "hover")),
    ("ink", "hover"),
    ("ink-2", "hover"),
    ("accent-ink", "accent"),
    ("accent-ink", "accent-hover"),
    ("surface", "bad"),
    *((name, f"{name}-soft") for name in ("ok", "warn", "bad")),
    *((name, "surface") for name in ("ok", "warn", "bad")),
    ("ink-2", "ok-soft"),
    ("ink-2", "warn-soft"),
    ("ink-2", "bad-soft"),
    *((f"code-{name}", "sunken") for name in ("string", "keyword", "comment")),
    ("tip-ink", "tip"),
]


def palettes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", TOKENS)
    light, system_dark, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", one)) for one in blocks)
    assert system_dark == dark, "the two dark blocks say the same"
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "back"), PAIRS)
def test_text_has_enough_contrast(theme, ink, back):
    palette = palettes()[theme]
    bright, dim = sorted((luminance(palette[ink]), luminance(palette[back])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= 4.5
