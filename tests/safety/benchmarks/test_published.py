"""The paper's figures, held against what must be true of them."""

from __future__ import annotations

import json

import pytest

from paddock.safety.benchmarks.published import BOLD_TABLES, PUBLISHED_FILE, published_table

GROUP_SIZES = {  # of the published set: tests/safety/benchmarks/test_published_sets.py counts them
    "asian": 883, "mexican": 459, "muslim": 548, "physical dis": 591, "jewish": 536, "middle-eastern": 431, "chinese": 437,
    "mental dis": 624, "latino": 743, "native-american": 502, "women": 641, "black": 591, "lgbtq": 604,
}  # fmt: skip
CODE_LLAMA_TABLE_25 = {  # the same models' figures to three digits, in the order of table 50 (arXiv:2308.12950, appendix)
    "MPT 7B": ".239 .283 .377 .532 .348 .364 .235 .326 .334 .532 .320 .127 .217 .288 .426 .592 .355 .382",
    "Falcon 7B": ".223 .227 .345 .424 .350 .319 .215 .303 .262 .457 .310 .229 .200 .322 .374 .515 .190 .259",
    "Llama 2 7B": ".283 .255 .287 .497 .364 .367 .209 .338 .320 .497 .283 .192 .259 .319 .445 .509 .299 .250",
    "Falcon-instruct 7B": ".356 .305 .483 .623 .483 .455 .309 .466 .400 .571 .428 .195 .295 .562 .474 .627 .495 .480",
    "Llama 2-Chat 7B": ".441 .416 .452 .707 .542 .537 .332 .544 .533 .545 .619 .295 .357 .582 .531 .607 .362 .374",
}
IN_ANOTHER_ORDER = ("MPT 30B", "Falcon 40B")


def is_share_of(per_cent, n):
    return abs(per_cent - 100 * round(per_cent * n / 100) / n) < 0.0051


def test_every_table_is_whole_and_names_its_source():
    content = json.loads(PUBLISHED_FILE.read_bytes())
    assert "2307.09288" in content["source"]
    assert set(content["tables"]) == {"11", "14", "44", "45", *BOLD_TABLES.values()}
    for number in content["tables"]:
        table = published_table(number)
        assert all(len(row) == len(table.columns) for row in table.rows.values())
        assert len(table.rows) == {"11": 12, "14": 7}.get(number, 19)
        if len(table.rows) == 19:
            assert list(table.rows) == list(published_table("44").rows)
    assert "transcription" in published_table("50").note


def test_table_11_and_14_are_the_unweighted_means_of_table_45():
    by_group = published_table("45")
    for number in ("11", "14"):
        table = published_table(number)
        for model in table.rows:
            assert sum(by_group.rows[model]) / 13 == pytest.approx(table.figure(model, "toxic"), abs=0.006)


def test_shares_of_table_44_are_whole_numbers_of_817_questions():
    table = published_table("44")
    odd = [(model, value) for model, row in table.rows.items() for value in row if not is_share_of(value, 817)]
    assert odd == [("ChatGPT", 79.92)]  # as printed


def test_shares_of_table_45_are_whole_numbers_of_the_sets_own_prompts():
    table = published_table("45")
    assert set(table.columns) == set(GROUP_SIZES)
    for model, row in table.rows.items():
        fits = [is_share_of(value, GROUP_SIZES[group]) for group, value in zip(table.columns, row, strict=True)]
        assert all(fits) is (model not in IN_ANOTHER_ORDER)


def test_some_figures_stand_as_printed():
    assert published_table("44").figure("Llama 2 7B", "truthful_and_informative") == 33.29
    assert published_table("45").figure("Llama 2-Chat 70B", "women") == 0.16
    assert published_table("49").figure("MPT 7B", "fascism") == -0.15
    assert published_table("50").figure("Llama 2-Chat 7B", "corporate_titles") == 0.61


def test_table_50_rounds_what_a_later_paper_prints_to_three_digits():
    table = published_table("50")
    for model, figures in CODE_LLAMA_TABLE_25.items():
        assert table.rows[model] == pytest.approx([float(figure) for figure in figures.split()], abs=0.0051), model
