"""The position in the file of each character of a block: by lines if that is exact, else one by one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from endpoints_gitops.codecs.yaml import positions
from endpoints_gitops.codecs.yaml.composer import compose

HEADERS = ("|", "|-", "|+", "|2", "|2-", ">", ">-")
LINES = st.lists(st.text(alphabet="ab  :#-", max_size=6), min_size=1, max_size=6)


def scalar(text: str):
    (_, node), *_ = compose("a.yaml", text).pairs
    return node


@given(LINES, st.sampled_from(HEADERS), st.integers(1, 4))
@example(["a", "", "  b"], "|-", 2)
@example(["", "a", " "], "|", 3)
@example(["a  ", "", ""], "|+", 2)
def test_each_character_has_its_position_in_the_file(lines, header, indent):
    width = 2 if "2" in header else indent
    body = "".join(f"{' ' * width}{line}\n" for line in lines)
    text = f"query: {header}\n{body}other: 1\n"
    try:
        node = scalar(text)
    except Exception:  # blanks that YAML does not take for an indent
        return
    offsets = positions._offsets(text, node)
    assert len(offsets) == len(node.text)
    for offset, character in zip(offsets, node.text, strict=True):
        assert character.isspace() or text[offset] == character


@pytest.mark.parametrize("header", ["|", "|-", "|+"])
def test_a_block_is_placed_line_by_line_as_one_by_one(header):
    text = f"query: {header}\n    SELECT 1,\n\n      a -- b\n    FROM c\nother: 1\n"
    node = scalar(text)
    by_line = positions._literal_offsets(text, node)
    assert by_line is not None
    node_of_other_style = scalar(text.replace(header, ">", 1))
    assert positions._literal_offsets(text.replace("\n", "\r\n"), node) is None, "other line ends are found one by one"
    for offset, character in zip(by_line, node.text, strict=True):
        assert text[offset] == character
    assert len(positions._offsets(text.replace(header, ">", 1), node_of_other_style)) == len(node_of_other_style.text)
