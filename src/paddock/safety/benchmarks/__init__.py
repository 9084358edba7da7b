"""Automatic safety benchmarks (paper section 4.1 and 4.4, appendix A.4.7): TruthfulQA, ToxiGen, BOLD, and false refusal."""
