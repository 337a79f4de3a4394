"""The score from which on an object is taken for one: by hand."""

from striate.tasks.detect.evaluation.kinds import judge
from striate.tasks.detect.evaluation.threshold import best_threshold, threshold_of
from striate.tasks.detect.objects import Objects

TRUTH = Objects.of([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0, 0, 0])


def judged(scores):
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], [100, 100, 110, 110], [40, 0, 50, 10]]
    return [judge(Objects.of(boxes, [0] * 4, scores=scores), TRUTH)]


def test_what_is_gained_is_weighed_against_what_is_invented():
    # After two right ones F1 is 4 / 5, with the wrong one 4 / 6, with the last right one 6 / 7.
    assert best_threshold(judged([0.9, 0.808, 0.5, 0.3])) == 0.3
    # Where the last one comes after five more wrong ones it does not pay.
    wrong = [[100, 100 + 20 * i, 110, 110 + 20 * i] for i in range(5)]
    boxes = [[0, 0, 10, 10], [20, 0, 30, 10], *wrong, [40, 0, 50, 10]]
    made = judge(Objects.of(boxes, [0] * 8, scores=[0.9, 0.808, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3]), TRUTH)  # fmt: skip
    assert best_threshold([made]) == 0.8


def test_without_a_right_object_nothing_is_chosen():
    assert best_threshold([judge(Objects.of([], [], scores=[]), TRUTH)]) is None
    assert best_threshold([]) is None
    assert threshold_of({}) == 0.3
    assert threshold_of({"score": 0.42}) == 0.42
