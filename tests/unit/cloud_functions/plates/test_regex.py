"""Expressions over plates: the same answers as Python's re where both understand them, and never a long wait."""

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
def test_it_finds_what_re_finds(expression: str, plate: str) -> None:
    """Anywhere unless anchored, in any nesting: what the usual engine says, without its backtracking."""
    assert compile_regex(expression).matches(plate) == (re.search(expression, plate) is not None)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, PLATES)
def test_a_plate_that_matches_holds_what_is_required(expression: str, plate: str) -> None:
    """Patterns whose run of characters a plate lacks are not tried: so none that matches may lack it."""
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
def test_what_is_required(expression: str, required: list[set[str]]) -> None:
    """Runs of characters that must come, with the ends where it is anchored; of a choice, one of several."""
    [branch] = compile_regex(expression).branches
    assert required_substrings(branch) == required


def test_small_letters_mean_their_capitals() -> None:
    """Plates are kept in capitals."""
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
def test_what_cannot_be_or_could_never_match_is_refused(expression: str) -> None:
    """With a reason; nothing is built before its size is known."""
    with pytest.raises(ValueError, match=r"\w"):
        compile_regex(expression)


@settings(max_examples=400, deadline=None)
@given(st.text("AB1.*+?{}()[]|^$\\d,-2", max_size=30))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    """Nothing but ValueError, whatever is sent."""
    try:
        compile_regex(text).matches("AB12")
    except ValueError:
        return


@pytest.mark.parametrize(
    "expression", ["^(A+)+$", "^(A|A)*B$", "^(A*)*(A*)*B$", "^((A?){3}){4}(A{3}){4}$", "(.*A){10}$"]
)
def test_what_drives_backtracking_engines_mad_is_quick(expression: str) -> None:
    """The steps are bounded by the positions: a thousand plates are soon done, where re would take hours for one."""
    compiled = compile_regex(expression)
    assert sum(len(automaton._follow) for automaton in compiled.build()) <= MAX_POSITIONS
    for _ in range(1000):
        compiled.matches("A" * 15 + "C")


@pytest.mark.parametrize(
    ("glob", "fits", "fits_not"),
    [
        ("B*ABC", ["BABC", "B123ABC"], ["B123ABCD", "XB1ABC"]),
        ("AB?2", ["AB12", "ABX2"], ["AB2", "AB112"]),
        ("[AB]1*", ["A1", "B19"], ["C1", "1"]),
        ("[!AB]1", ["C1"], ["A1"]),
        ("ab*", ["AB1"], ["BAB1"]),
        ("*", ["A"], []),
    ],
)
def test_globs(glob: str, fits: list[str], fits_not: list[str]) -> None:
    """The whole plate must fit."""
    compiled = compile_glob(glob)
    assert all(compiled.matches(plate) for plate in fits)
    assert not any(compiled.matches(plate) for plate in fits_not)


@pytest.mark.parametrize(
    ("expression", "fits", "fits_not"),
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
def test_cloud_a3_expressions_compare_letters_as_plates_do(
    expression: str, fits: list[str], fits_not: list[str]
) -> None:
    """Letters are mapped as in plates; kept ones are themselves, and any character is any of any script."""
    compiled = compile_regex(expression)
    assert all(compiled.matches(plate) for plate in fits)
    assert not any(compiled.matches(plate) for plate in fits_not)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["京", "A", ".", r"\D", r"\d", "[^A]", "[京A]", "[^京]", "A*"]), max_size=4).map("".join),
    st.text("A1京沪", min_size=1, max_size=5),  # a plate in normal form is never empty
)
def test_cloud_a3_it_finds_what_re_finds_in_any_alphabet(expression: str, plate: str) -> None:
    """Letters that have no place in A-Z are characters like others."""
    if expression:
        whole = f"^{expression}$"
        assert compile_regex(whole).matches(plate) == (re.search(whole, plate) is not None)


@pytest.mark.parametrize("glob", ["", "A.B", "A(B)", "A|B", "A+", "A{2}", "[A", "^A", "A$", "A\\d", "Ä🚗*", "A\u200b*"])
def test_a_glob_is_no_regular_expression(glob: str) -> None:
    """What only an expression can say is refused rather than taken for a character."""
    with pytest.raises(ValueError, match=r"\w"):
        compile_glob(glob)
