from __future__ import annotations


def test_a_study_that_is_not_there_is_named(paddock, tmp_path):
    outcome = paddock("studio", tmp_path / "nowhere.yaml", "--out", tmp_path / "out")
    assert outcome == (2, "", f"error: {tmp_path}/nowhere.yaml: there is no such study\n")


def test_an_export_of_a_folder_without_a_study_says_what_makes_one(paddock, tmp_path):
    outcome = paddock("studio", "export", "--out", tmp_path)
    assert outcome.code == 2
    assert "holds no study" in outcome.err
    assert f"paddock studio STUDY.yaml --out {tmp_path}" in outcome.err


def test_a_file_is_served_without_saying_so_and_help_names_both_commands(paddock):
    assert "STUDY.yaml" in paddock("studio", "serve", "--help").out
    shown = paddock("studio", "--help").out
    assert " serve " in shown
    assert " export " in shown
