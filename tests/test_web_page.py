"""The review page, driven as people do: a real browser, the keyboard, the mouse, a finger."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import chromium
from tests.tiny import tiny_jpeg
from tests.web import TOKEN, House, open_house

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.chromium

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
EVIL = "\"><img src=x onerror=\"document.title='evil'\"><script>document.title='evil'<'script>.jpg"

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def used_house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("page"), tiny, threshold=1.0) as opened:
        yield opened


@pytest.fixture
def house(used_house: House) -> House:
    """A house in which nothing waits."""
    used_house.settle_all()
    return used_house


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open a page; at the end nothing may have gone wrong in the browser, and nothing come from elsewhere."""
    contexts, faults = [], []

    def opened(
        house: House, path: str = "/", *, wait_for: str = ".card", faults_allowed: bool = False, **how: Any
    ) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | how))
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        address = str(house.client.base_url)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        if not faults_allowed:
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith((address, "data:")) else faults.append(r.url))
        page.goto(address + path)
        if wait_for:
            page.wait_for_selector(wait_for)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def cards(page: Any) -> list[str]:
    return [str(card.get_attribute("data-item")) for card in page.query_selector_all(".card")]


def chosen(page: Any) -> set[str]:
    return {str(card.get_attribute("data-item")) for card in page.query_selector_all(".card[aria-selected=true]")}


def here(page: Any) -> str:
    return str(page.get_attribute(".card.here", "data-item"))


def settled(page: Any) -> None:
    """Wait until the page has sent what it had to send."""
    page.evaluate("() => window.review.sending")


def by_id(house: House, item_id: str) -> dict[str, Any]:
    found: dict[str, Any] = house.client.get(f"/v1/items/{item_id}").json()
    return found


def ends_of_top(page: Any) -> float:
    """Return where the last link or button in the head of the page ends, also if one would have to scroll there."""
    links = page.locator(".top nav a:visible, .top form button:visible")
    return max(float(box["x"] + box["width"]) for box in (one.bounding_box() for one in links.all()))


def alone(page: Any) -> None:
    """Turn off that alike pictures are selected together."""
    page.uncheck("#together")
    page.focus(".card.here")


# --- seeing


def test_what_waits_is_shown_alike_ones_together_with_category_and_confidence(house: House, visit: Open) -> None:
    alike = house.receive_alike(6)

    page = visit(house)

    assert set(cards(page)[:6]) == set(alike)
    assert page.inner_text("#count") == "18"
    assert re.fullmatch(r"stripes\s+\d+ %", page.inner_text(".card .label-line"))
    assert page.locator(".card img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 100
    assert page.inner_text(".group.alike h3") == "6 alike"


def test_nothing_waiting_is_told_and_what_arrives_appears_by_itself(house: House, visit: Open) -> None:
    page = visit(house, wait_for="#done:visible")
    told = page.inner_text("#done")

    (item_id,) = house.receive("stripes", 1)
    page.wait_for_selector(f"#i{item_id}", timeout=10_000)

    assert "Nothing waits" in told
    assert str(house.installation.paths.inbox) in told
    assert not page.is_visible("#done")


def test_a_file_name_is_shown_and_never_run(house: House, visit: Open) -> None:
    house.installation.drop(EVIL.replace("/", "_"), tiny_jpeg("stripes", 1))
    house.installation.work()

    page = visit(house)

    assert EVIL.replace("/", "_") in page.inner_text("#about")
    assert page.title() == "Review · returnsd"


# --- deciding


def test_one_key_settles_a_whole_group_of_alike_pictures(house: House, visit: Open) -> None:
    group = set(house.receive_alike(8))
    page = visit(house)
    assert chosen(page) == group

    page.keyboard.press("1")
    settled(page)

    assert group.isdisjoint(cards(page))
    assert {by_id(house, item_id)["state"] for item_id in group} == {"decided"}
    assert {by_id(house, item_id)["item"]["category"] for item_id in group} == {"stripes"}
    assert page.inner_text("#count") == "12"


def test_escape_leaves_one_picture_to_decide(house: House, visit: Open) -> None:
    group = house.receive_alike(6)
    page = visit(house)
    first = here(page)

    page.keyboard.press("Escape")
    page.keyboard.press("1")
    settled(page)

    assert first in group
    assert by_id(house, first)["item"]["category"] == "stripes"
    assert page.inner_text("#count") == "17"
    assert here(page) in cards(page)


def test_typing_finds_any_category(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house)

    page.keyboard.type("no")
    offered = page.inner_text("#matches")
    page.keyboard.press("Enter")
    settled(page)

    assert offered == "noise"
    assert by_id(house, item_id)["item"]["category"] == "noise"


def test_a_name_is_written_beside_the_decision_and_kept(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house)
    page.fill("#by", "Anna")
    page.focus(".card.here")

    page.keyboard.press("1")
    settled(page)
    page.reload()

    assert by_id(house, item_id)["item"]["decision"]["decided_by"] == "Anna"
    assert page.input_value("#by") == "Anna"


@pytest.mark.parametrize(("key", "reason"), [("0", "not_a_product"), (".", "retake")])
def test_a_picture_that_is_no_product_or_must_be_retaken_is_rejected(
    key: str, reason: str, house: House, visit: Open
) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house)

    page.keyboard.press(key)
    settled(page)

    item = by_id(house, item_id)["item"]
    assert (item["shelf"], item["decision"]["reason"]) == ("rejected", reason)


def test_a_skipped_picture_waits_for_everyone_else_and_can_be_shown_again(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house)

    page.keyboard.press("-")
    page.wait_for_selector("#done:visible")
    still_waits = house.client.get("/v1/review").json()["count"]
    page.click("#unskip")
    page.wait_for_selector(f"#i{item_id}")

    assert still_waits == 1


def test_a_skip_is_told_and_brought_back_before_older_decisions(house: House, visit: Open) -> None:
    house.receive("stripes", 1, 2, 3)
    page = visit(house)
    alone(page)
    decided = here(page)
    page.keyboard.press("1")
    settled(page)
    skipped = here(page)

    page.keyboard.press("-")
    told = page.inner_text("#toast")
    page.keyboard.press("Backspace")
    settled(page)

    assert told.startswith("Skipped; Backspace brings it back")
    assert here(page) == skipped
    assert by_id(house, decided)["state"] == "decided"


def test_when_all_is_skipped_the_page_says_so_and_offers_them_again(house: House, visit: Open) -> None:
    house.receive("stripes", 1, 2)
    page = visit(house)

    page.keyboard.press("Control+a")
    page.keyboard.press("-")
    page.wait_for_selector("#done:visible")
    told = page.inner_text("#done")
    page.click("text=Show them again")
    page.wait_for_selector(".card")

    assert "You skipped 2 pictures" in told
    assert "Nothing waits" not in told
    assert len(cards(page)) == 2


def test_the_last_ten_decisions_can_be_undone(house: House, visit: Open) -> None:
    house.receive("stripes", *range(12))
    page = visit(house)
    alone(page)
    decided = []
    for _ in range(11):
        decided.append(here(page))
        page.keyboard.press("1")
    settled(page)

    for _ in range(11):
        page.keyboard.press("Backspace")
    settled(page)

    assert set(cards(page)) == {*decided[1:], *cards(page)}
    assert by_id(house, decided[0])["state"] == "decided"
    assert {by_id(house, item_id)["state"] for item_id in decided[1:]} == {"judged"}
    assert page.is_disabled("#undo")


# --- the keys


@pytest.mark.parametrize("key", ["1", "0", ".", "-", "Backspace"])
def test_a_key_that_is_held_down_acts_once(key: str, house: House, visit: Open) -> None:
    house.receive("stripes", *range(8))
    page = visit(house)
    alone(page)
    for _ in range(3):
        page.keyboard.press("1")
    settled(page)

    for _ in range(6):
        page.keyboard.down(key)  # from the second time on, it says that it repeats
    page.keyboard.up(key)
    settled(page)

    assert len(cards(page)) == (6 if key == "Backspace" else 4)


def test_arrows_may_be_held_down(house: House, visit: Open) -> None:
    house.receive("stripes", *range(4))
    page = visit(house)
    alone(page)

    for _ in range(3):
        page.keyboard.down("ArrowRight")

    assert here(page) == cards(page)[3]


@pytest.mark.parametrize("leave", ["Enter", "Escape"])
def test_the_name_field_gives_the_keys_back(leave: str, house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house)

    page.focus("#by")
    page.keyboard.type("Anna")
    page.keyboard.press(leave)
    page.keyboard.press("1")
    settled(page)

    assert page.input_value("#by") == "Anna"
    assert by_id(house, item_id)["item"]["decision"]["decided_by"] == "Anna"


def test_another_order_or_choice_gives_the_keys_back(house: House, visit: Open) -> None:
    first, second, third = house.receive("stripes", 1, 2, 3)
    page = visit(house)

    page.uncheck("#together")
    page.keyboard.press("1")
    page.focus("#order")
    page.select_option("#order", "oldest")
    page.wait_for_function("() => document.activeElement.matches('.card')")
    page.keyboard.press("1")
    page.focus("#order")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    settled(page)

    assert {by_id(house, item_id)["state"] for item_id in (first, second, third)} == {"decided"}


def test_a_number_without_a_category_and_letters_without_one_are_told(house: House, visit: Open) -> None:
    house.receive("stripes", 1)
    page = visit(house)

    page.keyboard.press("9")
    number = page.inner_text("#toast")
    page.keyboard.type("qqq")
    letters = page.inner_text("#no-match")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")

    assert number.startswith("There is no category 9 here")
    assert letters == "No category like “qqq”"
    assert not page.is_visible("#no-match")
    assert len(cards(page)) == 1


def test_a_newcomer_is_told_the_keys_and_a_question_mark_tells_them_all(house: House, visit: Open) -> None:
    house.receive("stripes", 1)
    page = visit(house)

    hint = page.inner_text("#hint")
    page.keyboard.press("?")
    keys = page.inner_text("#help")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    page.click("#hint button")
    page.reload()
    page.wait_for_selector(".card")

    assert hint.startswith("Press the number of the right category")
    assert "Backspace" in keys
    assert len(cards(page)) == 1
    assert not page.is_visible("#hint")


# --- selecting


def test_a_click_selects_and_shift_click_selects_a_range(house: House, visit: Open) -> None:
    house.receive("stripes", *range(8))
    page = visit(house)
    alone(page)
    ids = cards(page)

    page.click(f"#i{ids[1]}")
    page.click(f"#i{ids[4]}", modifiers=["Shift"])
    page.click(f"#i{ids[3]}")

    assert chosen(page) == {ids[1], ids[2], ids[4]}
    assert page.inner_text("#what") == "What are these 3?"


def test_space_arrows_and_ctrl_a_select_without_a_mouse(house: House, visit: Open) -> None:
    house.receive("stripes", *range(6))
    page = visit(house)
    alone(page)
    ids = cards(page)

    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    by_range = chosen(page)
    page.keyboard.press("Escape")
    none = chosen(page)
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+a")

    assert by_range == set(ids[:3])
    assert none == set()
    assert chosen(page) == set(ids)


def test_the_button_of_a_group_selects_that_group_and_nothing_else(house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)
    button = page.locator(".group:has(.card.here) .group-head button")

    name = button.get_attribute("aria-label")
    button.click()
    none = chosen(page)
    button.click()
    all_of_it = chosen(page)
    page.keyboard.press("Control+a")
    everything = chosen(page)

    assert name == "Select none of 6: stripes"
    assert button.get_attribute("aria-label") == "Select none of 6: stripes"
    assert (none, all_of_it) == (set(), group)
    assert everything == set(cards(page))


def test_everything_is_selected_only_after_the_group_was(house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)

    page.keyboard.press("Control+a")
    first = chosen(page)
    page.keyboard.press("Control+a")

    assert first == group
    assert chosen(page) == set(cards(page))


def test_arrows_move_through_the_grid_as_it_looks(house: House, visit: Open) -> None:
    house.receive("stripes", *range(12))
    page = visit(house)
    alone(page)

    def place() -> dict[str, float]:
        box: dict[str, float] = page.locator(".card.here").bounding_box()
        return box

    start = place()
    page.keyboard.press("ArrowDown")
    below = place()
    page.keyboard.press("ArrowUp")

    assert (below["x"], below["y"] > start["y"]) == (start["x"], True)
    assert place() == start


def test_one_picture_of_a_group_is_taken_out_by_a_click(house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)
    odd = sorted(group)[0]

    page.click(f"#i{odd}")
    page.keyboard.press("1")
    settled(page)

    assert by_id(house, odd)["state"] == "judged"
    assert {by_id(house, item_id)["state"] for item_id in group - {odd}} == {"decided"}


def test_escape_forgets_where_an_earlier_range_began(house: House, visit: Open) -> None:
    house.receive("stripes", *range(8))
    page = visit(house)
    alone(page)
    ids = cards(page)

    page.click(f"#i{ids[0]}")
    page.click(f"#i{ids[3]}", modifiers=["Shift"])
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+ArrowRight")

    assert chosen(page) == {ids[3], ids[4]}


def test_the_large_picture_is_one_of_those_that_are_decided(house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)
    odd = here(page)

    page.keyboard.press("Space")
    shown = page.get_attribute("#big-image", "src")

    assert odd not in shown
    assert any(item_id in shown for item_id in group - {odd})
    assert page.inner_text("#what") == "What are these 5?"


# --- looking closely


def test_enter_zooms_and_a_key_decides_there_too(house: House, visit: Open) -> None:
    house.receive("stripes", 1, 2)
    page = visit(house)
    alone(page)
    first = here(page)

    page.keyboard.press("Enter")
    shown = page.get_attribute("#zoom-image", "src")
    page.keyboard.press("1")
    settled(page)
    then = page.get_attribute("#zoom-image", "src")
    page.keyboard.press("Escape")

    assert first in shown
    assert first not in then
    assert by_id(house, first)["state"] == "decided"
    assert not page.is_visible("#zoom")


@pytest.mark.parametrize(("key", "state"), [(".", "rejected"), ("0", "rejected"), ("1", "archive")])
def test_zoomed_a_key_decides_the_shown_picture_alone(key: str, state: str, house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)
    first = here(page)

    page.keyboard.press("Enter")
    page.keyboard.press(key)
    settled(page)

    assert by_id(house, first)["item"]["shelf"] == state
    assert {by_id(house, item_id)["state"] for item_id in group - {first}} == {"judged"}
    shown = page.get_attribute("#zoom-image", "src")
    assert any(item_id in shown for item_id in group - {first})
    assert chosen(page) == group - {first}


def test_zoomed_a_picture_taken_out_of_the_selection_is_the_one_that_is_decided(house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)
    odd = here(page)

    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    shown = page.get_attribute("#zoom-image", "src")
    page.keyboard.press(".")
    settled(page)

    assert odd in shown
    assert by_id(house, odd)["item"]["shelf"] == "rejected"
    assert {by_id(house, item_id)["state"] for item_id in group - {odd}} == {"judged"}


def test_zoomed_the_end_of_the_group_leads_back_to_the_page(house: House, visit: Open) -> None:
    house.receive_alike(4)
    page = visit(house)
    group = chosen(page)

    page.keyboard.press("Enter")
    for _ in group:
        page.keyboard.press("1")
    settled(page)

    assert {by_id(house, item_id)["state"] for item_id in group} == {"decided"}
    assert not page.is_visible("#zoom")
    assert here(page) in cards(page)


def test_zoomed_there_is_all_that_there_is_beside_the_grid(house: House, visit: Open) -> None:
    group = set(house.receive_alike(6))
    page = visit(house)
    first = here(page)

    page.keyboard.press("Enter")
    for name in ("Not a product", "Retake", "Skip", "Undo"):
        assert page.locator(f"#zoom button:has-text('{name}')").is_visible()
    page.keyboard.type("noi")
    page.keyboard.press("Escape")
    still_open = page.is_visible("#zoom")
    page.keyboard.type("noi")
    page.keyboard.press("Enter")
    settled(page)
    decided = by_id(house, first)["item"]["category"]
    page.click("#zoom #toast button")
    settled(page)

    assert still_open
    assert decided == "noise"
    assert {by_id(house, item_id)["state"] for item_id in group} == {"judged"}
    assert first in page.get_attribute("#zoom-image", "src")


def test_enter_closes_what_enter_opened(house: House, visit: Open) -> None:
    house.receive_alike(4)
    page = visit(house)
    before = cards(page)

    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    settled(page)

    assert not page.is_visible("#zoom")
    assert cards(page) == before


def test_the_full_size_stays_while_the_page_looks_for_news(house: House, visit: Open) -> None:
    house.receive("stripes", 1)
    page = visit(house)

    page.keyboard.press("Enter")
    page.click("#zoom-image")
    with page.expect_response("**/v1/review/looks"):
        pass
    page.wait_for_timeout(100)

    assert page.is_visible(".zoom-stage.full")


# --- two people


def test_an_item_that_someone_else_decided_leaves_by_itself(house: House, visit: Open) -> None:
    gone, stays = house.receive("stripes", 1, 2)
    page = visit(house)

    house.client.post("/v1/decisions", json={"item_ids": [gone], "category": "dots", "by": "Anna"})
    page.wait_for_selector(f"#i{gone}", state="detached", timeout=10_000)

    assert cards(page) == [stays]


def test_a_decision_that_comes_too_late_tells_who_was_first_and_when(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, faults_allowed=True)  # the browser's console tells of the 409
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots", "by": "Anna"})

    page.keyboard.press("1")
    settled(page)

    assert re.search(r"Anna was first: dots, .*\d", page.inner_text("#toast"))
    assert by_id(house, item_id)["item"]["category"] == "dots"
    assert page.is_disabled("#undo")


def test_two_people_see_that_they_look_at_the_same_picture(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    one, other = visit(house), visit(house)
    one.fill("#by", "Anna")

    other.wait_for_selector(f"#i{item_id} .watched:has-text('Anna')", timeout=15_000)


def test_a_decision_that_could_not_be_recorded_comes_back(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, faults_allowed=True)
    page.route("**/v1/decisions", lambda route: route.abort())

    page.keyboard.press("1")
    settled(page)

    assert cards(page) == [item_id]
    assert "Not recorded" in page.inner_text("#toast")


# --- when something goes wrong


def test_an_error_is_told_in_the_services_words(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, faults_allowed=True)
    problem = '{"type": "about:blank", "title": "paused", "status": 503, "detail": "the disk is full"}'
    page.route(
        "**/v1/decisions",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=problem),
    )

    page.keyboard.press("1")
    settled(page)

    assert cards(page) == [item_id]
    assert page.inner_text("#toast") == "Not recorded, it is back. Paused: the disk is full."


def test_a_decision_whose_answer_got_lost_is_shown_as_what_it_is(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, faults_allowed=True)

    def lose_the_answer(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/v1/decisions", lose_the_answer)
    page.keyboard.press("1")
    settled(page)

    assert by_id(house, item_id)["state"] == "decided"
    assert cards(page) == []
    assert "Not recorded" not in page.inner_text("#toast")
    page.keyboard.press("Backspace")
    settled(page)
    assert by_id(house, item_id)["state"] == "judged"


def test_a_decision_that_is_sent_again_is_no_quarrel_with_oneself(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, faults_allowed=True)
    sent: list[Any] = []

    def answer_late(route: Any) -> None:
        sent.append(route.request.post_data_json)
        route.abort() if len(sent) == 1 else route.continue_()

    def decide_meanwhile(route: Any) -> None:
        answer = route.fetch()
        house.client.post("/v1/decisions", json=sent[0])
        route.fulfill(response=answer)

    page.route("**/v1/decisions", answer_late)
    page.route(f"**/v1/items/{item_id}", decide_meanwhile)
    page.keyboard.press("1")
    settled(page)

    assert len(sent) == 2
    assert "was first" not in page.inner_text("#toast")
    assert not page.is_disabled("#undo")


def test_more_than_one_request_holds_is_decided_in_several(house: House, visit: Open) -> None:
    for prefix in "abcdef":
        house.receive("dots", *range(100), prefix=prefix)
    page = visit(house, faults_allowed=True)  # pictures that are decided while they are asked for
    for count in (400, 600):
        page.keyboard.press("End")
        page.wait_for_function(f"() => document.querySelectorAll('.card').length === {count}")

    page.keyboard.press("Control+a")
    page.keyboard.press("Control+a")
    page.keyboard.press("0")
    settled(page)
    none = house.client.get("/v1/review").json()["count"]
    page.keyboard.press("Backspace")
    settled(page)
    all_again = house.client.get("/v1/review").json()["count"]
    page.keyboard.press("0")
    settled(page)

    assert (none, all_again) == (0, 600)
    assert house.client.get("/v1/review").json()["count"] == 0


def test_the_network_may_go_and_come_back(house: House, visit: Open) -> None:
    house.receive("stripes", 1, 2, 3)
    page = visit(house, faults_allowed=True)
    alone(page)
    first = here(page)

    page.context.set_offline(True)
    page.keyboard.press("1")
    page.wait_for_selector("#trouble:visible")
    told = page.inner_text("#trouble")
    page.keyboard.press("1")  # nothing more is decided until the service answers
    covered = page.evaluate(
        """() => [...document.querySelectorAll("nav a")].filter((link) => {
            const { x, y, width, height } = link.getBoundingClientRect();
            return !link.contains(document.elementFromPoint(x + width / 2, y + height / 2));
        }).length"""
    )
    left = len(cards(page))
    page.context.set_offline(False)
    page.wait_for_selector("#trouble", state="hidden")
    settled(page)

    assert told.startswith("The service does not answer. Trying again until it does.")
    assert "last decision (1 picture)" in told
    assert (covered, left) == (0, 2)
    assert by_id(house, first)["state"] == "decided"
    assert len(cards(page)) == 2


def test_pictures_that_did_not_come_are_asked_for_again(house: House, visit: Open) -> None:
    house.receive("stripes", 1, 2)
    page = visit(house, wait_for="", faults_allowed=True)
    page.route("**/preview*", lambda route: route.abort())
    page.reload()
    page.wait_for_selector(".card .broken")

    page.context.set_offline(True)
    page.wait_for_selector("#trouble:visible")
    page.unroute_all()
    page.context.set_offline(False)

    page.wait_for_selector("#trouble", state="hidden")
    page.wait_for_function("() => [...document.images].every((one) => one.naturalWidth || !one.checkVisibility())")
    assert page.locator(".broken").count() == 0


def test_nothing_waits_is_not_said_before_it_is_known(house: House, visit: Open) -> None:
    house.receive("stripes", 1)
    page = visit(house, wait_for="", faults_allowed=True)
    page.route("**/v1/review?*", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#trouble:visible")
    said = page.is_visible("#done")

    page.unroute_all()
    page.wait_for_selector(".card")

    assert not said


def test_more_than_is_loaded_at_first_follows_by_itself(house: House, visit: Open) -> None:
    house.receive("dots", *range(100), prefix="a")
    house.receive("dots", *range(100), prefix="b")
    house.receive("dots", *range(20), prefix="c")
    page = visit(house)
    first = (len(cards(page)), page.inner_text("#count"), page.inner_text("#shown"))

    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 220")

    assert first == (200, "220", "first 200 shown")
    assert page.inner_text("#shown") == ""


# --- everyone


def test_every_control_has_a_name_and_every_picture_says_what_it_is(house: House, visit: Open) -> None:
    house.receive("stripes", 1, 2)
    page = visit(house)

    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, [role=option], dialog")]
            .filter((one) => one.checkVisibility() && !one.closest("[aria-hidden=true]"))
            .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )

    assert nameless == []
    assert page.get_by_role("listbox", name=page.inner_text(".group h3")).is_visible()
    assert page.locator("[role=listbox]:has(h3, button:not([aria-hidden]))").count() == 0
    label = page.locator(".card").first.get_attribute("aria-label")
    assert re.fullmatch(r"photo-stripes-\d\.jpg: probably stripes, \d+ % sure", label)


def test_what_happened_is_said_to_those_who_do_not_see_it(house: House, visit: Open) -> None:
    house.receive("stripes", 1)
    page = visit(house)

    page.keyboard.press("1")
    settled(page)

    assert page.inner_text("[role=status]") == "1 picture decided: stripes. 0 left here."


def test_it_can_be_used_with_a_finger_on_a_phone(house: House, visit: Open) -> None:
    group = house.receive_alike(4)
    page = visit(house, **PHONE)

    page.tap(f"#i{sorted(group)[0]}")
    page.tap("#choices button")
    settled(page)

    assert {by_id(house, item_id)["state"] for item_id in sorted(group)[1:]} == {"decided"}
    assert by_id(house, sorted(group)[0])["state"] == "judged"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [button.bounding_box() for button in page.query_selector_all("#choices button")]
    assert all(box["height"] >= 44 for box in boxes)


@pytest.mark.parametrize(("width", "height", "least"), [(375, 740, 8), (740, 375, 6)])
def test_on_a_phone_one_sees_what_one_decides(
    width: int, height: int, least: int, house: House, visit: Open
) -> None:
    house.receive_alike(8)
    page = visit(house, **(PHONE | {"viewport": {"width": width, "height": height}}))
    page.tap("#hint-close")
    page.evaluate("document.getElementById('nav-waiting').textContent = '560'")

    seen = page.evaluate(
        """() => [...document.querySelectorAll(".card")].filter((card) => {
            const { x, y, width, height } = card.querySelector(".shot").getBoundingClientRect();
            return card.contains(document.elementFromPoint(x + width / 2, y + height * 0.7));
        }).length"""
    )
    heads = page.evaluate("[...document.querySelectorAll('.group-head')].map((head) => head.offsetHeight)")

    assert seen >= least
    assert ends_of_top(page) <= width
    assert max(heads) < 45
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_the_rest_of_the_controls_is_one_tap_away(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, **PHONE)

    page.tap("#more")
    page.fill("#by", "Anna")
    page.tap("#retake")
    settled(page)

    decision = by_id(house, item_id)["item"]["decision"]
    assert (decision["reason"], decision["decided_by"]) == ("retake", "Anna")


def test_times_are_the_services_own(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    page = visit(house, timezone_id="Pacific/Auckland")

    received_at = by_id(house, item_id)["received_at"]
    assert f"{received_at[:10]} {received_at[11:19]}" in page.inner_text("#about")


# --- looking up


def test_the_longest_file_name_does_not_break_an_items_page(house: House, visit: Open) -> None:
    name = "RMA" + "x" * 240 + ".jpg"
    house.installation.drop(name, tiny_jpeg("stripes", 1))
    house.installation.work()

    page = visit(house, f"/items/{house.item(name)}", wait_for=".story")

    side = page.locator(".item-side").bounding_box()
    assert side["x"] + side["width"] <= 1280
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.evaluate(
        "[...document.querySelectorAll('.card-box')].every((box) => box.scrollWidth <= box.clientWidth)"
    )


def test_a_decision_is_taken_back_and_made_anew_on_the_items_own_page(house: House, visit: Open) -> None:
    (item_id,) = house.receive("stripes", 1)
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots", "by": "Anna"})
    page = visit(house, f"/items/{item_id}", wait_for="text=Anna")

    page.click("text=Take the decision back")
    page.wait_for_selector("text=took the decision back")
    page.select_option("[data-choice]", "noise")
    page.click("button:has-text('Decide')")
    page.wait_for_selector(".story li:has-text('said: noise')")

    assert by_id(house, item_id)["item"]["category"] == "noise"


def test_the_dashboard_keeps_itself_up_to_date(house: House, visit: Open) -> None:
    page = visit(house, "/dashboard", wait_for=".tile")
    before = int(page.inner_text("h2:has-text('Received today')").split()[-1])

    house.receive("stripes", 1, 2)
    page.wait_for_selector(f"h2:text-is('Received today: {before + 2}')", timeout=20_000)


# --- signing in


def test_with_a_token_a_browser_signs_in_once(tmp_path: Path, tiny: Path, visit: Open) -> None:
    with open_house(tmp_path, tiny, threshold=1.0, token=TOKEN) as house:
        house.receive("stripes", 1)
        page = visit(house, "/?a=b", wait_for="input[name=token]", faults_allowed=True)

        page.fill("input[name=token]", "wrong-wrong-wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=That is not the token.")
        page.fill("input[name=token]", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector(".card")

        assert page.url.endswith("/?a=b")
        page.keyboard.press("1")
        settled(page)
        assert house.client.get("/v1/review").json()["count"] == 0
        phone = visit(house, "/login", wait_for="", **PHONE)
        phone.context.add_cookies(page.context.cookies())
        phone.goto(str(house.client.base_url))
        phone.wait_for_selector("#done:visible")
        assert ends_of_top(phone) <= 390
        page.click("text=Sign out")
        page.wait_for_selector("input[name=token]")
        page.goto(str(house.client.base_url))
        page.wait_for_selector("input[name=token]")
