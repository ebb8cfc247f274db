"""What a value may be: each rule reads what it allows, and refuses the rest in words that help."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnsd import rules
from returnsd.rules import Rule

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
RULES = [
    rules.number(0, 3600, "seconds"),
    rules.between(0.5, 1),
    rules.whole(1, 64, "processes"),
    rules.choice("debug", "info"),
    rules.optional(rules.whole(1, 10)),
    rules.SWITCH,
    rules.TEXT,
    rules.PATH,
    rules.PATTERNS,
    rules.REGEX,
]


def refused(rule: Rule, value: object) -> str:
    """Return the words with which a value is refused, as a message of the configuration shows them."""
    with pytest.raises(ValueError) as failed:
        rule.read(value)
    return str(failed.value) or rule.allowed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.allowed[:30])
@given(value=ANYTHING)
def test_a_rule_reads_a_value_or_raises_value_error(rule: Rule, value: object) -> None:
    try:
        rule.read(value)
    except ValueError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.allowed[:30])
def test_what_a_rule_allows_is_said_in_words_that_follow_must_be(rule: Rule) -> None:
    assert re.match(r"(an? |one of |true or |text )", rule.allowed)


# --- numbers


@pytest.mark.parametrize(("value", "read"), [(0, 0.0), (3600, 3600.0), (0.5, 0.5)])
def test_a_number_is_read_as_a_float_ends_included(value: float, read: float) -> None:
    found = rules.number(0, 3600).read(value)

    assert (found, type(found)) == (read, float)


@pytest.mark.parametrize("value", [-0.001, 3600.001, float("nan"), float("inf"), True, None, "many", [1]])
def test_what_is_no_number_in_the_range_is_refused(value: object) -> None:
    assert refused(rules.number(0, 3600, "seconds"), value) == "a number of seconds from 0 to 3600"


@pytest.mark.parametrize("value", ["5", "1e3", "+2.5", ".5", "3."])
def test_a_number_in_quotes_is_told_how_to_be_written(value: str) -> None:
    assert refused(rules.number(0, 3600), value).endswith("from 0 to 3600, written without quotes or exponent")


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_between_two_numbers_the_ends_are_refused(value: float) -> None:
    rule = rules.between(0, 1)

    assert rule.read(value) == value
    for end in (0, 1, 0.0, 1.0):
        assert refused(rule, end) == "a number above 0 and below 1"


@pytest.mark.parametrize(("value", "read"), [(1, 1), (64, 64), (2.0, 2)])
def test_a_whole_number_is_read_as_one_however_it_is_written(value: float, read: int) -> None:
    found = rules.whole(1, 64).read(value)

    assert (found, type(found)) == (read, int)


@pytest.mark.parametrize("value", [0, 65, 2.5, True, float("nan"), None])
def test_what_is_no_whole_number_in_the_range_is_refused(value: object) -> None:
    assert refused(rules.whole(1, 64, "MiB"), value) == "a whole number of MiB from 1 to 64"


# --- words


def test_a_choice_is_one_of_its_words() -> None:
    rule = rules.choice("debug", "info")

    assert rule.read("info") == "info"
    for value in ("INFO", "", True, None, ["info"]):
        assert refused(rule, value) == "one of debug, info"


@pytest.mark.parametrize("value", ["true", "yes", 1, 0, None])
def test_a_switch_is_true_or_false_and_nothing_like_it(value: object) -> None:
    assert [rules.SWITCH.read(True), rules.SWITCH.read(False)] == [True, False]
    assert refused(rules.SWITCH, value) == "true or false"


@pytest.mark.parametrize("text", ["retail21", "var/my bundle", "Größe", "日本", "'quoted'"])
def test_a_line_of_text_is_read_as_it_is(text: str) -> None:
    assert rules.TEXT.read(text) == text


@pytest.mark.parametrize(
    "value", ["", " a", "a ", "a\nb", "a\tb", "a\x00", "a\x7f", "a\x9b", "a\u2028b", "\ud800", 3, None, True, ["a"]]
)
def test_text_that_would_not_show_on_one_line_is_refused(value: object) -> None:
    assert refused(rules.TEXT, value).startswith("text on one line")


def test_a_path_is_written_out_in_full() -> None:
    assert rules.PATH.read("var/in box") == Path("var/in box")
    assert "~ is not expanded" in refused(rules.PATH, "~/inbox")
    assert refused(rules.PATH, "") == "a path"


def test_null_is_allowed_where_it_says_so() -> None:
    rule = rules.optional(rules.whole(1, 10, "days"))

    assert (rule.read(None), rule.read(3)) == (None, 3)
    assert refused(rule, 0) == "a whole number of days from 1 to 10, or null"


# --- patterns


def test_patterns_are_a_list_of_file_name_patterns() -> None:
    assert rules.PATTERNS.read(["*.tmp", ".*"]) == ("*.tmp", ".*")
    assert rules.PATTERNS.read([]) == ()


@pytest.mark.parametrize("value", ["*.tmp", None, [3], ["a", ""], ["a\n"], {"a": 1}])
def test_what_is_no_list_of_patterns_is_refused(value: object) -> None:
    assert refused(rules.PATTERNS, value) == "a list of file name patterns such as '*.tmp'"


def test_a_pattern_for_a_path_is_told_that_it_never_matches() -> None:
    assert refused(rules.PATTERNS, ["*.tmp", "day/*"]) == "a list of patterns for file names, which hold no /"


@pytest.mark.parametrize("pattern", ["^(RMA-[0-9]+)", "(?P<id>x)|(y)"])
def test_an_expression_needs_a_group(pattern: str) -> None:
    assert rules.REGEX.read(pattern) == pattern
    assert "with a group in parentheses" in refused(rules.REGEX, "RMA-[0-9]+")


@pytest.mark.parametrize("pattern", ["(", "(a)**", "(a){99999999999999999999}", "(?<=a*)(b)", "[z-a](b)"])
def test_an_expression_that_is_none_is_told_why(pattern: str) -> None:
    assert refused(rules.REGEX, pattern).startswith("a regular expression (")
