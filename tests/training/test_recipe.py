from __future__ import annotations

import pytest

from striate.errors import UsageError
from striate.tasks.defaults import Facts, choose, choose_model
from striate.tasks.segment.settings import SegmentSettings
from striate.training import Recipe, parse_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400), ("1m30s", 90), (45, 45)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "0s", "-3s", "5 apples", "..s"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="budget must be"):
        parse_seconds(text)


def test_settings_from_text_have_their_types() -> None:
    recipe = Recipe.from_dict(
        {
            "data": "digits",
            "epochs": "2.5",
            "flip": "no",
            "batch": "64",
            "lr": "1e-3",
            "size": "none",
        }
    )
    assert (recipe.epochs, recipe.flip, recipe.batch, recipe.lr, recipe.size) == (
        2.5,
        False,
        64,
        1e-3,
        None,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "0"}, "epochs must be greater than 0 and at most 1,000,000, got 0"),
        ({"epochs": "many"}, "epochs must be a number, got 'many'"),
        ({"batch": "12.5"}, "batch must be a whole number, got '12.5'"),
        ({"bacth": "12"}, "no setting is called 'bacth'; did you mean batch?"),
        ({"flip": "maybe"}, "flip must be true or false"),
        ({"optimizer": "lion"}, "optimizer must be one of muon, sgd, adamw"),
        ({"val": 0.6, "test": 0.5}, "val .* test must leave images"),
        ({"lr": "nan"}, "lr must be greater than 0"),
        ({"erase": 1.5}, "erase must be between 0 and 1"),
        ({"device": "tpu"}, "device must be auto, cpu, cuda"),
        ({"channels": 4}, "channels must be 1"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe.from_dict({"data": "digits", **settings})


def test_a_recipe_survives_its_dictionary() -> None:
    recipe = Recipe(data="digits", epochs=3.0, flip=False, seed=4)
    assert Recipe.from_dict(recipe.to_dict()) == recipe


FACTS = Facts(
    images=50_000,
    height=28,
    width=28,
    channels=1,
    classes=10,
    photographs=False,
    flip=True,
    gpu=False,
)


def test_choices_fill_every_gap_and_keep_what_was_given() -> None:
    recipe, why = choose(
        Recipe(data="x", model="compact", pretrained=False, lr=0.5, flip=False), FACTS
    )
    assert recipe.lr == 0.5
    assert recipe.flip is False
    assert not any(line.startswith(("lr", "flip =")) for line in why)
    left = {
        "width",
        "weights",
        "size",
        "channels",
        "fit",
        "val",
        "test",
        "limit",
        "count",
        "budget",
        "workers",
        "outside",
    }
    left |= {"black", "white"}  # of images deeper than 8 bits
    left |= {"task", "settings"}
    left |= {"frozen", "fsdp", "snapshots"}  # nothing is, unless it is asked for
    assert {k for k, v in vars(recipe).items() if v is None} == left


def test_a_budget_takes_the_place_of_epochs() -> None:
    recipe, _ = choose(Recipe(data="x", model="compact", pretrained=False, budget=60), FACTS)
    assert recipe.epochs is None


@pytest.mark.parametrize(
    ("photographs", "size", "asked", "expected"),
    [
        (False, 28, None, ("compact", False)),
        (True, 224, None, ("efficientnet-lite0", True)),
        (True, 224, False, ("compact", False)),
        (False, 28, True, ("efficientnet-lite0", True)),
    ],
)
def test_photographs_are_fine_tuned_and_small_images_are_not(
    photographs: bool, size: int, asked: bool | None, expected: tuple[str, bool]
) -> None:
    assert (
        choose_model(Recipe(data="x", pretrained=asked), photographs=photographs, size=size)[:2]
        == expected
    )


def test_a_task_s_own_settings_are_nested_and_may_be_given_beside_the_others() -> None:
    recipe = Recipe.from_dict(
        {"data": "x", "task": "segment", "dice": "0.5", "lr": "0.1"}, SegmentSettings
    )
    assert recipe.settings == SegmentSettings(dice=0.5) and recipe.lr == 0.1
    assert recipe.to_dict()["segment"] == {"dice": 0.5} and "dice" not in recipe.to_dict()
    assert Recipe.from_dict(recipe.to_dict(), SegmentSettings) == recipe
    with pytest.raises(UsageError, match="no setting is called 'dise'; did you mean dice"):
        Recipe.from_dict({"data": "x", "task": "segment", "dise": 1}, SegmentSettings)
    with pytest.raises(UsageError, match="no setting is called 'dice'"):
        Recipe.from_dict({"data": "x", "task": "classify", "dice": 1})


def test_none_is_a_value_of_ignore_and_auto_is_not() -> None:
    for given, kept in (("none", "none"), ("255", "255"), ("auto", None)):
        recipe = Recipe.from_dict(
            {"data": "x", "task": "segment", "ignore": given}, SegmentSettings
        )
        assert recipe.settings.ignore == kept


def test_a_named_network_whose_weights_are_here_says_that_it_begins_from_nothing() -> None:
    named = Recipe(data="x", model="efficientnet-lite0")
    spec, pretrained, reason = choose_model(named, photographs=True, size=224)
    assert (spec, pretrained) == ("efficientnet-lite0", False)
    assert "pretrained=true starts from the ImageNet weights" in reason
    for other in (
        named.replace(pretrained=False),
        named.replace(pretrained=True),
        named.replace(model="resnet18"),
    ):
        assert choose_model(other, photographs=True, size=224)[2] == "as asked"
