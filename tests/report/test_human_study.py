"""Human studies on the page."""

from paddock.report import human_study
from paddock.report.blocks import Table
from paddock.report.page import write_report
from paddock.report.run_folder import read_run
from paddock.statistics import wilson_interval


def results():
    shares = {
        name: {**wilson_interval(wins, 150).as_row(), "implied": 0.01 * place, "truth": 0.005 * place}
        for place, (name, wins) in enumerate((("win", 60), ("tie", 75), ("loss", 15)), start=1)
    }
    agreement = [
        {"weights": weights, "value": value, "lower": value - 0.05, "upper": value + 0.05, "n": 150, "implied": value + 0.01}
        for weights, value in (("identity", 0.3), ("quadratic", 0.8))
    ]
    noise = {"annotator-1": 0.15, "annotator-2": 0.25}
    return {
        **{"pairs": 150, "ratings": 300, "raters": 2, "names": ["V5", "<SFT>"], "noise": noise},
        **{"agreement": agreement, "shares": shares},
    }


def test_what_was_measured_stands_beside_what_the_noise_implies_and_the_truth(tmp_path, add):
    add("study", "study", results())
    shares, agreement = [b for b in human_study.section(read_run(tmp_path)).blocks if isinstance(b, Table)]
    assert shares.rows[0].cells == ("V5: win", "40.0%\n32.5 to 48.0%", "1.0%", "0.5%")
    assert [row.cells for row in agreement.rows] == [
        ("AC2, identity weights", "0.300\n0.250 to 0.350", "0.310"),
        ("AC2, quadratic weights", "0.800\n0.750 to 0.850", "0.810"),
        ("Llama 2, people, weights not given", "0.37 to 0.55", "–"),
    ]
    assert agreement.rows[-1].published


def test_names_are_escaped_and_a_run_without_a_study_has_no_section(tmp_path, add):
    add("sft", "sft", {})
    assert human_study.section(read_run(tmp_path)) is None
    add("study", "study", results())
    page = write_report(tmp_path).read_text()
    assert "&lt;SFT&gt;" in page
    assert "<SFT>" not in page
