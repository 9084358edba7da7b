"""Published ratings: Gwet's four raters, two labellers, six psychiatrists (Fleiss 1971), two abstractors."""

_ = None
RAW4 = list(
    zip(
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, _],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 3],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
        strict=True,
    )
)
BENGERRY = list(
    zip(
        ["a", "a", "b", "b", "d", "c", "c", "c", "e", "d", "d", "a"],
        ["b", "a", "b", "b", "b", "c", "c", "c", "e", _, "d", "d"],
        strict=True,
    )
)
COUNTS6 = [
    "00060",
    "03003",
    "01401",
    "00006",
    "03030",
    "20400",
    "00402",
    "20310",
    "20040",
    "00006",
    "10050",
    "11040",
    "03300",
    "10050",
    "02031",
]
FLEISS6 = [[category for category in range(5) for _ in range(int(row[category]))] for row in COUNTS6]
TABLE3 = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]
ABSTRACT3 = [[k + 1, m + 1] for k in range(3) for m in range(3) for _ in range(TABLE3[k][m])]
