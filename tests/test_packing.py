"""Panels of an answer are packed: inside the board, not over one another, each on some page, and what grows gets what is left."""

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.events import Curve, Images, Matrix, Table, Text
from workbench.tui.panels.packing import Need, need_of, packed

needs = st.lists(st.builds(Need, st.integers(1, 90), st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=9)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(needs, st.integers(4, 160), st.integers(2, 60))
def test_panels_lie_inside_the_board_and_beside_one_another_and_each_has_a_page(wanted: list[Need], width: int, height: int) -> None:
    by_name = {str(place): need for place, need in enumerate(wanted)}
    for name in by_name:
        regions = packed(by_name, width, height, name)
        assert name in regions
        for region in regions.values():
            assert region.x >= 0 and region.y >= 0 and region.right <= width and region.height > 0 and region.width > 0
        cells = [(x, y) for region in regions.values() for x in range(region.x, region.right) for y in range(region.y, region.bottom)]
        if len(regions) > 1:
            assert len(cells) == len(set(cells))


def test_a_table_keeps_its_size_and_a_curve_takes_what_is_left() -> None:
    table = Table(tag="sizes", columns=["what", "how many"], rows=[["one", 1.0], ["two", 2.0]])
    curve = Curve(tag="loss", x=[0.0, 1.0], y=[1.0, 0.5])
    regions = packed({"table": need_of(table), "curve": need_of(curve)}, 80, 40)
    assert regions["table"].y == regions["curve"].y and regions["table"].right < regions["curve"].x
    assert regions["curve"].right == 80 and regions["curve"].height == 40
    # Two tables alone leave the rest of the board empty: pulled apart they would be harder to read.
    alone = packed({"one": need_of(table), "two": need_of(table)}, 80, 40)
    assert alone["one"].height == need_of(table).height


def test_what_needs_more_than_the_board_is_on_a_page_of_its_own() -> None:
    tall = Text(tag="long", text="a line\n" * 30)
    wanted = {str(number): need_of(tall) for number in range(4)}
    pages = [set(packed(wanted, 40, 20, name)) for name in wanted]
    assert pages == [{"0", "1"}, {"0", "1"}, {"2", "3"}, {"2", "3"}] or all(len(page) < 4 for page in pages)
    assert set().union(*pages) == set(wanted)


def test_a_large_matrix_and_pictures_grow_and_a_small_matrix_does_not() -> None:
    small = Matrix(tag="weights", values=[[1.0, -2.5], [0.25, 3.0]], rows=["a", "b"], columns=["x", "y"])
    assert need_of(small).grows == 0 and need_of(small).height == 5
    assert need_of(Matrix(tag="map", values=[[0.5] * 40] * 30)).grows > 0
    assert need_of(Images(tag="pictures", captions=["one", "two"], columns=2)).grows > need_of(Curve(tag="loss")).grows
