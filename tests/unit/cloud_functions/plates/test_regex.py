"""Regular expressions over plates: they agree with Python's ``re`` where both accept them, and run in bounded time."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_functions.plates.regex import compile_glob, compile_regex
from cloud_functions.plates.regex_syntax import MAX_POSITIONS, required_substrings

ATOMS = st.sampled_from(["A", "B", "1", ".", "[AB]", "[^A]", r"\d", r"\D", r"\w", "[A-C1]"])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: f"({'|'.join(options)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    )


BRANCHES = st.tuples(st.sampled_from(["", "^"]), st.recursive(ATOMS, _grow, max_leaves=5), st.sampled_from(["", "$"]))
EXPRESSIONS = st.lists(BRANCHES.map("".join), min_size=1, max_size=2).map("|".join)
PLATES = st.text("ABC12", min_size=1, max_size=6)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, PLATES)
@example("^A|B$", "CB")
@example("(A*)*", "B1")
@example("^(A?){2}$", "AA")
def test_expressions_agree_with_re(expression: str, plate: str) -> None:
    """Anchored or not, and at any nesting."""
    assert compile_regex(expression).matches(plate) == (re.search(expression, plate) is not None)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, PLATES)
def test_a_matching_plate_contains_the_required_substrings(expression: str, plate: str) -> None:
    """The index does not try a pattern if the plate lacks its required substrings."""
    compiled = compile_regex(expression)
    if compiled.matches(plate):
        assert any(
            all(any(run in f"^{plate}$" for run in runs) for runs in required_substrings(branch))
            for branch in compiled.branches
        )


@pytest.mark.parametrize(
    ("expression", "required"),
    [
        (r"^AB\d+", [{"^AB"}]),
        (r"\d{3}XYZ$", [{"XYZ$"}]),
        (r"A+BC", [{"A"}, {"BC"}]),
        (r"(AB){2}", [{"ABAB"}]),
        (r"(AB)+C", [{"AB"}, {"C"}]),
        (r"A(B|C)DEF", [{"A"}, {"B", "C"}, {"DEF"}]),
        (r"(ABC|X\dYZ)", [{"ABC", "YZ"}]),
        (r"(ABC|\d)1", [{"1"}]),
        (r"[A-Z]{2}\d{3}", []),
        (r"(ABC)?1", [{"1"}]),
        (r"^AB$", [{"^AB$"}]),
        (r"^.*$", []),
    ],
)
def test_the_required_substrings_of_an_expression(expression: str, required: list[set[str]]) -> None:
    """Substrings include the anchors; of alternatives, one substring is required."""
    [branch] = compile_regex(expression).branches
    assert required_substrings(branch) == required


def test_expressions_ignore_case() -> None:
    """Plates are stored in upper case."""
    assert compile_regex("^ab[c-d]$").matches("ABD")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "A" * 201,
        r"(A)\1",
        "(?=A)B",
        "(?P<x>A)",
        "(?<!A)B",
        r"\bA",
        r"A\.B",
        "A-B",
        "A B",
        "Ä-1",
        "🚗",
        "A\u200bB",
        "[Б-Д]",
        "[А-К]",
        "[Æ]",
        "1÷2",
        "(",
        "(A",
        "A)",
        "[A",
        "[]",
        "[B-A]",
        "[A-9]",
        "[[:alpha:]]",
        "*A",
        "A**",
        "A{2}{3}",
        "A{3,2}",
        "A{17}",
        "A{,3}",
        "A{x}",
        "A{",
        "A^B",
        "A$B",
        "(^A)",
        "\\",
        "A\x00",
        "(" * 21 + "A" + ")" * 21,
        "(A{16}){16}B{16}",
        "(((((){16}){16}){16}){16}){16}",
        "((((((A|){16}){16}){16}){16}){16}){16}",
    ],
)
def test_an_invalid_or_unmatchable_expression_is_rejected(expression: str) -> None:
    """The error gives the reason. The size is checked before the automaton is built."""
    with pytest.raises(ValueError, match=r"\w"):
        compile_regex(expression)


@settings(max_examples=400, deadline=None)
@given(st.text("AB1.*+?{}()[]|^$\\d,-2", max_size=30))
def test_any_text_is_compiled_or_rejected(text: str) -> None:
    """No text raises another error than ValueError."""
    try:
        compile_regex(text).matches("AB12")
    except ValueError:
        return


@pytest.mark.parametrize(
    "expression", ["^(A+)+$", "^(A|A)*B$", "^(A*)*(A*)*B$", "^((A?){3}){4}(A{3}){4}$", "(.*A){10}$"]
)
def test_expressions_that_backtrack_exponentially_run_in_bounded_time(expression: str) -> None:
    """The number of steps is limited by the number of positions. With ``re``, one of these plates would take hours."""
    compiled = compile_regex(expression)
    assert sum(len(automaton._follow) for automaton in compiled.build()) <= MAX_POSITIONS
    for _ in range(1000):
        compiled.matches("A" * 15 + "C")


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("B*ABC", ["BABC", "B123ABC"], ["B123ABCD", "XB1ABC"]),
        ("AB?2", ["AB12", "ABX2"], ["AB2", "AB112"]),
        ("[AB]1*", ["A1", "B19"], ["C1", "1"]),
        ("[!AB]1", ["C1"], ["A1"]),
        ("ab*", ["AB1"], ["BAB1"]),
        ("*", ["A"], []),
    ],
)
def test_a_glob_matches_the_whole_plate(glob: str, matching: list[str], other: list[str]) -> None:
    """A plate with more characters does not match."""
    compiled = compile_glob(glob)
    assert all(compiled.matches(plate) for plate in matching)
    assert not any(compiled.matches(plate) for plate in other)


@pytest.mark.parametrize(
    ("expression", "matching", "other"),
    [
        ("^А\\d{3}ВС77$", ["A123BC77"], ["12377", "O123BC77"]),
        ("^Ä+$", ["A", "AA"], ["B", "ÄÄ"]),
        ("^Æ+$", ["AE", "AEAE"], ["A", "AEE"]),
        ("ı", ["1I"], ["11"]),
        ("^京[A-C]", ["京A12345"], ["沪A12345", "A12345"]),
        ("^.A", ["京A1", "1A1"], ["A1"]),
        (r"^\D\d", ["京1", "B1"], ["11"]),
        ("^[^京B]1", ["沪1", "A1"], ["京1", "B1"]),
        (r"^[\D1]2", ["京2", "12"], ["22"]),
        (r"^[^\D1]2", ["02"], ["京2", "12", "A2"]),
        (r"^[京\d]2", ["京2", "12"], ["沪2", "A2"]),
        ("^b\u0308$", ["B"], ["B\u0308"]),
    ],
)
def test_cloud_a3_expressions_use_the_normal_form_of_letters(
    expression: str, matching: list[str], other: list[str]
) -> None:
    """Letters are converted as in plates, letters without a Latin equivalent stay, and ``.`` matches any script."""
    compiled = compile_regex(expression)
    assert all(compiled.matches(plate) for plate in matching)
    assert not any(compiled.matches(plate) for plate in other)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["京", "A", ".", r"\D", r"\d", "[^A]", "[京A]", "[^京]", "A*"]), max_size=4).map("".join),
    st.text("A1京沪", min_size=1, max_size=5),  # a plate in normal form is never empty
)
def test_cloud_a3_expressions_agree_with_re_in_any_alphabet(expression: str, plate: str) -> None:
    """Letters outside A-Z are ordinary characters."""
    if expression:
        whole = f"^{expression}$"
        assert compile_regex(whole).matches(plate) == (re.search(whole, plate) is not None)


@pytest.mark.parametrize("glob", ["", "A.B", "A(B)", "A|B", "A+", "A{2}", "[A", "^A", "A$", "A\\d", "Ä🚗*", "A\u200b*"])
def test_a_glob_rejects_regular_expression_syntax(glob: str) -> None:
    """The syntax is an error and is not matched as characters."""
    with pytest.raises(ValueError, match=r"\w"):
        compile_glob(glob)
